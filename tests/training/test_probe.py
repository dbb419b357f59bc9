"""Truncation goes on bootstrapping and termination stops it, on environments whose values are sums of a series."""

import gymnasium
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import sac, sac_value
from entrax.environments.pool import LocalPool
from entrax.environments.source import EnvSource
from entrax.policies.controller import identity_scaling
from entrax.replay import UniformReplay
from entrax.spec import Progress
from entrax.training.collector import Collector
from entrax.training.learner import update_many

LENGTH, DISCOUNT, UPDATES, BATCH, ENVS = 5, 0.9, 600, 20, 3


class Probe(gymnasium.Env):
    """Reward 1 a step for 5 steps; observes the constant 1, or the time as a one-hot if `clock`."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, end: str, clock: bool):
        self.end, self.clock, self.t = end, clock, 0
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (LENGTH + 1 if clock else 1,), np.float32)

    def _obs(self):
        return np.eye(LENGTH + 1, dtype=np.float32)[self.t] if self.clock else np.ones(1, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._obs(), {}

    def step(self, action):
        self.t += 1
        ended = self.t == LENGTH
        return self._obs(), 1.0, ended and self.end == "terminated", ended and self.end == "truncated", {}


def collected(end, clock):
    """Four whole episodes of three environments each, as the training loop collects them."""
    pool = LocalPool(EnvSource(id="probe", factory=lambda: Probe(end, clock)), ENVS)
    replay = UniformReplay(pool.spec, 1000, ENVS)
    collector, rng = Collector(pool, replay, seed=0), np.random.default_rng(0)
    collector.start()
    for _ in range(4 * LENGTH):
        action = rng.uniform(-1.0, 1.0, (ENVS, 1)).astype(np.float32)

        def act(obs, action=action):
            return action, action

        collector.step(act)
    assert collector.pop_ended() == [(float(LENGTH), LENGTH)] * (4 * ENVS)
    return replay


def learned(agent, config, replay, spec):
    config = agent.resolve(config, spec)
    state = agent.init(config, spec, jr.key(0))
    batches = replay.sample(np.random.default_rng(1), UPDATES, BATCH)
    progress = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))
    return update_many(agent, config, state, batches, identity_scaling(spec), progress, jr.key(1), np.asarray(UPDATES))[
        0
    ]


def q_values(end, clock):
    """Both critics at every state the environment acts in, after learning without entropy."""
    replay = collected(end, clock)
    spec = LocalPool(EnvSource(id="probe", factory=lambda: Probe(end, clock)), 1).spec
    config = sac.Config(
        learning_rate=3e-3, discount=DISCOUNT, target_rate=0.5, temperature=0.0, batch_size=BATCH, hidden=(32,)
    )
    critics = learned(sac, config, replay, spec).params.critics
    states = np.eye(LENGTH + 1, dtype=np.float32)[:LENGTH] if clock else np.ones((1, 1), np.float32)
    return np.array([[critics(jnp.asarray(s), jnp.asarray([a])) for a in (-0.5, 0.5)] for s in states])


def test_truncated_episodes_are_worth_the_whole_series():
    np.testing.assert_allclose(q_values("truncated", clock=False), 1.0 / (1.0 - DISCOUNT), rtol=0.03)


def test_terminated_episodes_are_worth_what_is_left_of_them():
    values = [sum(DISCOUNT**k for k in range(LENGTH - t)) for t in range(LENGTH)]  # …, 1.9, 1
    assert values[-2:] == [1.9, 1.0]
    for q, value in zip(q_values("terminated", clock=True), values, strict=True):
        np.testing.assert_allclose(q, value, rtol=0.05)


@pytest.mark.parametrize("end", ["truncated", "terminated"])
def test_the_last_transition_holds_the_true_successor_and_the_next_one_starts_anew(end):
    rows = collected(end, clock=True).last(2 * LENGTH)
    for i in range(ENVS):
        np.testing.assert_array_equal(rows.obs[:, i].argmax(axis=-1), 2 * list(range(LENGTH)))
        np.testing.assert_array_equal(rows.next_obs[:, i].argmax(axis=-1), 2 * list(range(1, LENGTH + 1)))
        flag, other = getattr(rows, end)[:, i], (rows.terminated | rows.truncated)[:, i]
        np.testing.assert_array_equal(flag, 2 * ([False] * (LENGTH - 1) + [True]))
        np.testing.assert_array_equal(flag, other)


def test_the_state_value_of_truncated_episodes_is_the_soft_series():
    # The entropy's weight is 1 and rewards count `scale`-fold; the value's fixed point is (scale + H(π)) / (1 - γ),
    # with H(π) ≤ log 2 of the uniform policy on [-1, 1], which is optimal here: no action is better than another.
    replay = collected("truncated", clock=False)
    spec = LocalPool(EnvSource(id="probe", factory=lambda: Probe("truncated", False)), 1).spec
    config = sac_value.Config(
        learning_rate=5e-3, discount=DISCOUNT, target_rate=0.5, reward_scale=5.0, batch_size=BATCH, hidden=(32,)
    )
    state = learned(sac_value, config, replay, spec)
    value = state.params.value(jnp.ones(1))[0]
    np.testing.assert_allclose(value, (5.0 + np.log(2.0)) / (1.0 - DISCOUNT), rtol=0.06)
