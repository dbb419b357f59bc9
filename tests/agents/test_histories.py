"""Policies over histories: the gradient by enumeration, one memory in acting and learning, and tasks that need it."""

import itertools
import os
import signal
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
from entrax.agents import reinforce
from entrax.errors import EntraxError
from entrax.policies.controller import Controller, act_in_episodes, identity_scaling
from entrax.policies.recurrent import seen
from entrax.problems import ALIASED_OBSERVATION, aliased_gridworld
from entrax.replay import Rollout, UniformReplay
from entrax.spec import Discrete, Progress, Transition
from entrax.training.actor import Actor
from entrax.training.interrupts import Interrupted
from tests.agents import reference64 as ref

SPEC = ref.discrete_spec(Discrete(2))
PROGRESS = Progress(step=np.asarray(40, np.int32), horizon=np.asarray(100, np.int32))


def configured(spec=SPEC, **fields):
    given: dict[str, Any] = {"hidden": (8,), "memory": 6, "discount": 1.0} | fields
    return reinforce.resolve(reinforce.Config(**given), spec)


def start(config, spec=SPEC):
    state = reinforce.init(config, spec, jr.key(0))
    return eqx.tree_at(lambda s: s.params, state, ref.shaken(state.params, 1))


# Two states, two actions, episodes of two steps: 16 courses. The second step looks the same in both states, so that
# only the first observation tells anything of the second reward.
_rng = np.random.default_rng(5)
OBS = _rng.normal(size=(2, 2, ref.OBS)).astype(np.float32)  # [time, state]
OBS[1] = OBS[1, 0]
INITIAL, NEXT = np.array([0.4, 0.6]), _rng.dirichlet(np.ones(2), (2, 2))
REWARD = _rng.normal(2.0, 1.0, size=(2, 2, 2)).astype(np.float32)  # [time, state, action]
COURSES = np.array(list(itertools.product(range(2), repeat=4)))  # s0 a0 s1 a1
S, A = COURSES[:, 0::2], COURSES[:, 1::2]
DYNAMICS = INITIAL[S[:, 0]] * NEXT[S[:, 0], A[:, 0], S[:, 1]]
TIME = np.arange(2)


def episodes(courses):
    """A rollout of one environment, an episode after the other."""
    obs = np.concatenate([OBS[TIME, S[i]] for i in courses])
    ends = np.tile([False, True], len(courses))
    return Transition(
        obs=obs[:, None],
        action=np.concatenate([A[i] for i in courses])[:, None, None].astype(np.int32),
        reward=np.concatenate([REWARD[TIME, S[i], A[i]] for i in courses])[:, None],
        next_obs=np.roll(obs, -1, axis=0)[:, None],
        terminated=ends[:, None],
        truncated=np.zeros_like(ends)[:, None],
    )


def log_prob_of_course(policy, s, a):
    """log π of each step, the memory carried along by hand."""
    _, first, _ = policy.act(policy.initial_carry(), jnp.asarray(OBS)[0, s[0]], PROGRESS, None, True)
    _, second, _ = policy.act(first, jnp.asarray(OBS)[1, s[1]], PROGRESS, None, True)
    return jnp.stack([policy.log_prob(first, a[:1]), policy.log_prob(second, a[1:])])


LEARNED = pytest.param({"gae_lambda": 1.0}, id="learned", marks=pytest.mark.long)


@pytest.mark.parametrize("fields", [pytest.param({"baseline": "none"}, id="none"), LEARNED])
def test_the_mean_over_all_courses_is_the_exact_gradient(fields):
    """The rollout before it, an episode too, is context."""
    config = configured(temperature=0.3, **fields)
    params = start(config).params
    batches = jax.tree.map(lambda *x: np.stack(x), *(episodes((6, i)) for i in range(16)))

    @jax.jit
    def gradients(batch):
        return jax.grad(reinforce.policy_loss)(params.policy, config, batch, reinforce.weights(config, params, batch))

    @jax.jit
    def log_probs(policy):
        return jax.vmap(lambda s, a: log_prob_of_course(policy, s, a))(S, A)

    def objective(policy):
        log_prob = log_probs(policy)
        soft = REWARD[TIME, S, A] - 0.3 * log_prob
        return jnp.sum(DYNAMICS * jnp.exp(log_prob.sum(axis=1)) * soft.sum(axis=1))

    chance = DYNAMICS * np.exp(np.asarray(log_probs(params.policy), np.float64).sum(axis=1))
    np.testing.assert_allclose(chance.sum(), 1.0, rtol=1e-6)
    mean = jax.tree.map(lambda g: -np.tensordot(chance, g, axes=1) * 2, jax.vmap(gradients)(batches))
    exact = jax.jit(jax.grad(objective))(params.policy)
    ref.assert_close(mean, exact, rtol=1e-4, atol=2e-5)
    assert np.abs(exact.memory.cell.weight_hh).max() > 1e-3  # it goes back through time


def test_what_is_remembered_is_of_the_episode_alone_and_reaches_into_the_context():
    config = configured()
    policy = start(config).params.policy
    batch = episodes((3, 9, 14, 5))
    whole = seen(policy, batch, 8)
    np.testing.assert_array_equal(whole[4:6], seen(policy, episodes((14, 14)), 2))  # wherever the episode lies
    cut = jax.tree.map(lambda x: x[2:], batch)._replace(terminated=np.zeros((6, 1), bool))
    one = jax.tree.map(lambda x: x[2:], batch)._replace(terminated=np.zeros((6, 1), bool), obs=batch.obs[2:] + 1)
    assert np.abs(seen(policy, cut, 3) - seen(policy, one, 3)).max() > 1e-3
    one.obs[3:] = cut.obs[3:]
    assert np.abs(seen(policy, cut, 3) - seen(policy, one, 3)).max() > 1e-4  # the three steps before are looked back on


ENVS, TIMES = 2, 3


def test_acting_and_learning_remember_the_same():
    """Through three rollouts of new parameters each, with episodes across them and a step that is asked for twice."""
    config = configured(ref.SPEC, rollout_steps=ENVS * TIMES, initial_log_std=-20.0)
    data = reinforce.data(config)
    replay, rng = UniformReplay(ref.SPEC, data.capacity, ENVS), np.random.default_rng(0)
    actor, scaling = Actor(ref.SPEC.action, jax.devices()[0], ENVS), identity_scaling(ref.SPEC)
    first = np.ones(ENVS, bool)
    for k in range(4):
        policy = ref.shaken(reinforce.init(config, ref.SPEC, jr.key(k)).params.policy, k)
        policy = eqx.tree_at(lambda p: p.head.log_std, policy, jnp.full(ref.ACTION, -20.0))
        actor.hand_over(actor.pack(policy, scaling, PROGRESS), jr.key(0), data.recent(replay))
        for t in range(TIMES):
            obs = rng.normal(size=(ENVS, ref.OBS)).astype(np.float32)
            actor(obs, t, first)
            action = actor(obs, t, first)[0]
            ended = rng.random(ENVS) < 0.2
            replay.append(Transition(obs, action, np.zeros(ENVS), obs, ended, np.zeros(ENVS, bool)))
            first = ended
        batch = jax.tree.map(lambda x: x[0], data.draw(replay, rng, 1))
        mean = jax.vmap(jax.vmap(policy.head.mode))(seen(policy, batch, TIMES))
        np.testing.assert_allclose(batch.action[-TIMES:], mean, atol=1e-6)


def test_the_context_comes_with_a_rollout():
    data = Rollout(steps=4, context=2)
    replay = UniformReplay(SPEC, data.capacity, 2)

    def recent() -> Any:
        return data.recent(replay)

    assert len(recent().reward) == 0
    for t in range(9):
        row = np.full(2, t, np.float32)
        replay.append(
            Transition(np.zeros((2, ref.OBS)), np.zeros((2, 1)), row, np.zeros((2, ref.OBS)), row > 9, row > 9)
        )
        if t == 3:
            batch = data.draw(replay, np.random.default_rng(0), 1)
            np.testing.assert_array_equal(batch.reward[0, :, 0], [0, 0, 0, 1, 2, 3])
            np.testing.assert_array_equal(batch.truncated[0, :, 0], [True, True, False, False, False, False])
            np.testing.assert_array_equal(recent().reward[:, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(data.draw(replay, np.random.default_rng(0), 1).reward[0, :, 0], range(3, 9))
    np.testing.assert_array_equal(recent().reward[:, 0], range(5, 9))


class Recall(gymnasium.Env):
    """One of two cues is seen at first, then nothing for `delay` steps; the last action should name it.

    What is seen before the last action is the same for both cues: no policy of that alone has a return above ½.
    """

    def __init__(self, delay=3):
        self.delay = delay
        self.observation_space, self.action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.cue = 0, int(self.np_random.integers(2))
        return np.array([2 * self.cue - 1, 0], np.float32), {}

    def step(self, action):
        self.t += 1
        last = self.t > self.delay
        return np.array([0, self.t == self.delay], np.float32), float(last and action == self.cue), last, False, {}


QUICK: dict[str, Any] = {
    "agent": "reinforce",
    "eval_every": 0,
    "checkpoint_every": 0,
    "hidden": (16,),
    "envs": 8,
    "rollout_steps": 256,
    "workers": 0,
}


@pytest.mark.long
def test_a_task_that_needs_memory_is_learned(tmp_path):
    settings: dict[str, Any] = QUICK | {"steps": 8192, "objective": "episodic", "baseline": "mean"}
    remembering = entrax.train(Recall, run=tmp_path / "memory", memory=16, **settings)
    assert remembering.evaluate(40, env=Recall, workers=0).mean == 1.0
    again = entrax.load(tmp_path / "memory")
    with pytest.raises(EntraxError, match="acts on an episode so far"):
        again.policy(np.zeros(2))
    for sample in (False, True):
        assert (
            again.evaluate(7, env=Recall, workers=0, sample=sample).returns
            == again.evaluate(40, env=Recall, workers=0, sample=sample).returns[:7]
        )


class Aliased(gymnasium.Env):
    """The aliased gridworld: what is seen of five cells in a row; the second and the fourth look alike."""

    def __init__(self, first=None):
        self.first, self.mdp = first, aliased_gridworld()
        self.transition, self.reward = self.mdp.to_dense()[..., :-1], np.asarray(self.mdp.reward)
        self.observation_space, self.action_space = spaces.Box(0, 1, (4,), np.float32), spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.cell = 0, int(self.np_random.integers(5)) if self.first is None else self.first
        return self.seen(), {}

    def seen(self):
        return np.arange(4, dtype=np.float32) == ALIASED_OBSERVATION[self.cell]

    def step(self, action):
        reward = float(self.reward[self.cell, action])
        self.cell, self.t = int(np.argmax(self.transition[self.cell, action])), self.t + 1
        return self.seen(), reward, bool(np.asarray(self.mdp.terminal)[self.cell]), self.t == 50, {}


@pytest.mark.long
def test_a_history_beats_every_policy_of_what_is_seen_in_the_aliased_gridworld(tmp_path):
    """At best 3, 1 and 3 steps from the ends and the middle, and 2 or 4 where the first guess is right or wrong."""
    run = entrax.train(
        Aliased, run=tmp_path / "run", **QUICK | {"steps": 40_960, "objective": "episodic"}, memory=16, seed=0
    )
    steps = [run.evaluate(1, env=lambda c=c: Aliased(c), workers=0).lengths[0] for c in range(5)]
    assert [steps[0], steps[2], steps[4]] == [3, 1, 3]
    assert sorted([steps[1], steps[3]]) == [2, 4]  # 2.6 in the mean; the best without memory needs 3.8


def test_rows_of_an_evaluation_remember_their_own_episode():
    config = configured()
    policy = start(config).params.policy
    controller = Controller(policy=policy, scaling=identity_scaling(SPEC), spec=SPEC)
    obs = _rng.normal(size=(6, ref.OBS)).astype(np.float32)
    carry, wanted = policy.initial_carry(), []
    for o in obs:
        action, carry, _ = policy.act(carry, jnp.asarray(o), PROGRESS, None, True)
        wanted.append(float(action[0]))
    act = act_in_episodes(controller, sample=False, seed=0)
    found = [
        act(np.stack([obs[t], obs[max(t - 2, 0)]]), np.array([0, 1]), np.array([t, max(t - 2, 0)])) for t in range(6)
    ]
    np.testing.assert_array_equal(np.array(found)[:, 0, 0], wanted)
    np.testing.assert_array_equal(np.array(found)[2:, 1, 0], wanted[:4])


class Long(Recall):
    """Episodes that are longer than a rollout of `steps` over two environments, of rewards that tell them apart."""

    def __init__(self):
        super().__init__(delay=40)

    def step(self, action):
        obs, reward, end, cut, info = super().step(action)
        return obs + 0.1 * np.sin(self.t), reward + 0.1 * (action == self.cue), end, cut, info


OTHER = {"context": 2, "baseline": "mean", "normalise_obs": True}


@pytest.mark.long
@pytest.mark.parametrize("fields", [{}, OTHER], ids=["learned", "mean"])
def test_an_interrupted_run_ends_with_the_bytes_of_a_whole_one(fields, tmp_path):
    settings: dict[str, Any] = (
        QUICK | {"steps": 320, "envs": 2, "rollout_steps": 32, "memory": 4, "log_every": 32} | fields
    )

    def interrupt(row):
        if row["step"] >= 130:
            os.kill(os.getpid(), signal.SIGINT)

    whole = entrax.train(Long, run=tmp_path / "whole", **settings)
    with pytest.raises(Interrupted):
        entrax.train(Long, run=tmp_path / "cut", hook=interrupt, **settings)
    resumed = entrax.resume(tmp_path / "cut", env=Long)
    files = [sorted(run.path.glob("checkpoints/final*/*.safetensors")) for run in (whole, resumed)]
    assert files[0]
    assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]


def test_a_memory_of_less_than_nothing_is_refused():
    with pytest.raises(EntraxError, match="`memory` must be at least 0, got -1"):
        configured(memory=-1)
    with pytest.raises(EntraxError, match="`context` must be at least 0, got -1"):
        configured(context=-1)
