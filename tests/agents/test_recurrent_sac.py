"""Recurrent soft actor-critic: windows against an unrolled computation, stored carries, a task that needs memory."""

from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from gymnasium import spaces

import entrax
from entrax.agents import recurrent_sac as agent
from entrax.policies.controller import FINISHED, identity_scaling
from entrax.replay import UniformReplay
from entrax.spec import Transition
from entrax.training.actor import Actor
from tests.agents import reference64 as ref

WINDOWS, BURN_IN, LENGTH, MEMORY = 2, 2, 3, 5
ENDS = ((0, 0), (0, 3), (1, 2))  # of episodes (window, step): in the burn-in and after it


def configured(**fields):
    given: dict[str, Any] = {
        "hidden": (8,),
        "memory": MEMORY,
        "length": LENGTH,
        "burn_in": BURN_IN,
        "batch_size": WINDOWS,
    }
    return agent.resolve(agent.Config(**given | fields), ref.SPEC)


def started(config):
    state = agent.init(config, ref.SPEC, jr.key(0))
    return eqx.tree_at(
        lambda s: (s.params, s.targets), state, (ref.shaken(state.params, 1), ref.shaken(state.targets, 2))
    )


def windows(seed=0, length=BURN_IN + LENGTH):
    rng = np.random.default_rng(seed)
    shape = (WINDOWS, length)
    ended = np.zeros(shape, bool)
    ended[tuple(np.transpose([(w, t) for w, t in ENDS if t < length]))] = True
    return Transition(
        obs=rng.normal(size=(*shape, ref.OBS)).astype(np.float32),
        action=rng.uniform(-1, 1, (*shape, ref.ACTION)).astype(np.float32),
        reward=rng.normal(size=shape).astype(np.float32),
        next_obs=rng.normal(size=(*shape, ref.OBS)).astype(np.float32),
        terminated=ended & (np.arange(length) % 2 == 0),
        truncated=ended & (np.arange(length) % 2 == 1),
        carry=rng.normal(size=(WINDOWS, 1, MEMORY)).astype(np.float32),
    )


def updated(config, state, batch, key):
    return jax.jit(lambda s, b, k: agent.update(config, s, b, FINISHED, k))(state, batch, key)


def unrolled(memory, batch, window):
    """[(m before, m after)] of every step of a window, one step after the other."""
    m, found = jnp.asarray(batch.carry[window, 0]), []
    for t in range(batch.reward.shape[1]):
        after = memory.cell(jnp.append(batch.obs[window, t], batch.action[window, t]), m)
        found.append((m, after))
        m = jnp.zeros(MEMORY) if batch.terminated[window, t] or batch.truncated[window, t] else after
    return found


def by_hand(config, state, batch, key):
    """y [window, step] and log π', one step after the other."""
    keys, alpha = jr.split(key, (WINDOWS, LENGTH)), jnp.exp(state.params.log_alpha)
    y, log_pis = ([[0.0] * LENGTH for _ in range(WINDOWS)] for _ in range(2))
    for w in range(WINDOWS):
        online, target = (unrolled(c.memory, batch, w) for c in (state.params.critics, state.targets))
        for i in range(LENGTH):
            t = BURN_IN + i
            law = state.params.policy(jnp.append(online[t][1], batch.next_obs[w, t]))
            action, log_pi = law.sample_and_log_prob(keys[w, i])
            q = state.targets.q(jnp.append(target[t][1], batch.next_obs[w, t]), action)
            value = 0.0 if batch.terminated[w, t] else jnp.min(q) - alpha * log_pi
            y[w][i], log_pis[w][i] = batch.reward[w, t] + config.discount * value, log_pi
    return jnp.array(y), jnp.array(log_pis)


def loss_by_hand(critics, fixed, batch, y):
    """J_Q, with the memory of the `fixed` critics up to the first step that is learned from."""
    total: Any = 0.0
    for w in range(WINDOWS):
        m = unrolled(fixed.memory, batch, w)[BURN_IN][0]
        for i in range(LENGTH):
            t = BURN_IN + i
            q = critics.q(jnp.append(m, batch.obs[w, t]), jnp.asarray(batch.action[w, t]))
            total += 0.5 * jnp.sum((q - y[w, i]) ** 2)
            after = critics.memory.cell(jnp.append(batch.obs[w, t], batch.action[w, t]), m)
            m = jnp.zeros(MEMORY) if batch.terminated[w, t] or batch.truncated[w, t] else after
    return total / (WINDOWS * LENGTH)


def test_an_update_is_that_of_the_unrolled_windows():
    """The critics' gradient is read off Adam's first mean, a tenth of it."""
    config = configured()
    state, batch, key = started(config), windows(), jr.key(3)
    target_key, _ = jr.split(key)
    critics = state.params.critics
    y, log_pi = jax.jit(lambda s, k: by_hand(config, s, batch, k))(state, target_key)
    loss, gradient = jax.jit(jax.value_and_grad(lambda c, y: loss_by_hand(c, critics, batch, y)))(critics, y)
    new, info = updated(config, state, batch, key)
    np.testing.assert_allclose(info["critic_loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(info["entropy"], -log_pi.mean(), rtol=1e-5)
    ref.assert_close(jax.tree.map(lambda x: 10 * x, new.opt_state.critics[0].mu), gradient, rtol=1e-3, atol=1e-6)
    assert np.abs(gradient.memory.cell.weight_hh).max() > 1e-4  # it goes back through time


def test_burn_in_renews_the_memory_and_nothing_is_learned_from_it():
    config, short = configured(), configured(burn_in=0)
    state = started(config)
    state = eqx.tree_at(lambda s: s.targets, state, state.params.critics)
    batch = windows()
    learned = jax.tree.map(lambda x: x[:, BURN_IN:], batch._replace(carry=None))
    carry = agent.burned_in(state.params.critics.memory, batch, BURN_IN)[:, None]
    whole = updated(config, state, batch, jr.key(0))[0]
    rest = updated(short, state, learned._replace(carry=carry), jr.key(0))[0]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7), whole, rest)
    other = batch._replace(obs=batch.obs + (np.arange(BURN_IN + LENGTH) < BURN_IN)[:, None].astype(np.float32))
    assert np.abs(agent.burned_in(state.params.critics.memory, other, BURN_IN)[1] - carry[1, 0]).max() > 1e-3


def test_what_is_stored_is_what_the_windows_remember():
    """With unchanged parameters, from any step on; episodes begin at 0, and a step is asked for twice."""
    config = configured(memory=MEMORY)
    state, envs = started(config), 2
    policy, data = agent.policy(config, state), agent.data(config)
    replay, rng = UniformReplay(ref.SPEC, 1000, envs, data.carry), np.random.default_rng(0)
    actor, first = Actor(ref.SPEC.action, jax.devices()[0], envs), np.ones(envs, bool)
    for t in range(40):
        if t % 8 == 0:
            actor.hand_over(actor.pack(policy, identity_scaling(ref.SPEC), FINISHED), jr.key(t))
        obs = rng.normal(size=(envs, ref.OBS)).astype(np.float32)
        actor(obs, t % 8, first)
        action = actor(obs, t % 8, first)[0]
        ended, none = rng.random(envs) < 0.2, np.zeros(envs, bool)
        replay.append(Transition(obs, action, np.zeros(envs), obs, ended, none, actor.carry_used()))
        assert (replay.rows.carry[t][first] == 0).all()
        first = ended
    batch = jax.tree.map(lambda x: x[0], replay.sample_windows(rng, 1, 20, 12))
    assert batch.carry.shape == (20, 1, MEMORY)
    before, _, _ = jax.vmap(lambda w: agent.remembered(policy.memory, w, w.carry[0]))(batch)
    rows = replay.rows
    for w in range(20):
        at = next((t, e) for t in range(29) for e in range(envs) if (rows.obs[t, e] == batch.obs[w, 0]).all())
        np.testing.assert_allclose(before[w], rows.carry[at[0] : at[0] + 12, at[1]], atol=1e-6)


def test_a_carry_is_packed_with_its_transition_and_is_zero_where_none_is_given():
    replay, again = (UniformReplay(ref.SPEC, 8, 2, carry=3) for _ in range(2))
    assert replay.packed_bytes == UniformReplay(ref.SPEC, 8, 2).packed_bytes + 2 * 3 * 4
    step = jax.tree.map(lambda x: x[:2], ref.batch(0))
    replay.append(step)
    replay.append(step._replace(carry=np.arange(6.0).reshape(2, 3)))
    again.unpack(replay.packed(2))
    assert (again.last(2).carry[0] == 0).all()
    np.testing.assert_array_equal(again.last(1).carry[0], np.arange(6.0).reshape(2, 3))


class Cue(gymnasium.Env):
    """A cue of ±½ is seen in the first step only; the reward of the last one is minus its squared distance.

    A policy of what is seen does best with 0 in the last step: -¼.
    """

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.cue = 0, float(self.np_random.integers(2)) - 0.5
        return np.array([self.cue, 0], np.float32), {}

    def step(self, action):
        self.t += 1
        last = self.t == 4
        reward = -((float(action[0]) - self.cue) ** 2) if last else 0.0
        return np.array([0, self.t == 3], np.float32), reward, last, False, {}


SMALL: dict[str, Any] = {
    "hidden": (32,),
    "eval_every": 0,
    "checkpoint_every": 0,
    "workers": 0,
    "learning_starts": 200,
    "envs": 1,
}
QUICK = SMALL | {"learning_rate": 3e-3, "target_rate": 0.05, "temperature": 0.01, "batch_size": 32}


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "fields"), [("recurrent-sac", {"memory": 16, "length": 6, "burn_in": 4}), ("sac", {})]
)
def test_a_cue_is_remembered_with_memory_and_cannot_be_without(name, fields, tmp_path):
    run = entrax.train(Cue, name, run=tmp_path / "run", steps=2500, updates_per_step=0.5, **QUICK | fields)
    mean = run.evaluate(30, env=Cue, workers=0).mean
    assert mean > -0.03 if fields else mean < -0.2


def test_transitions_of_others_come_without_a_carry(tmp_path):
    """A run's carries are of its own memory, so that its transitions are data for any agent."""
    settings: dict[str, Any] = {"steps": 120, "batch_size": 4, "hidden": (8,), "memory": 4, "eval_every": 0}
    settings |= {"length": 4, "burn_in": 2, "workers": 0}
    entrax.train("Pendulum-v1", "recurrent-sac", run=tmp_path / "run", learning_starts=60, **settings)
    assert entrax.transitions(tmp_path / "run").carry is None
    learned = entrax.train("Pendulum-v1", "recurrent-sac", run=tmp_path / "data", data=tmp_path / "run", **settings)
    assert np.isfinite(learned.metrics()[-1]["critic_loss"])
