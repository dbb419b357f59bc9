"""Hindsight replay, against an enumeration of the episodes that a ring of transitions holds."""

from collections import Counter

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from entrax.environments.goals import Outcome, goal_places
from entrax.environments.spaces import spec_of
from entrax.errors import UsageError
from entrax.replay import Goals, Hindsight, Source, UniformReplay
from entrax.spec import Continuous, Leaf, Spec, Transition


def part(name):
    return Leaf(f"observation/{name}", (1,), "float64", 1, (-np.inf,), (np.inf,))


SPEC = Spec((part("achieved_goal"), part("desired_goal"), part("rest")), Continuous((1,), "float32", (-1.0,), (1.0,)))
ENVS, CAPACITY, TIMES = 2, 40, 33  # 20 times fit, so that 13 have been overwritten
ENDS = {(6, 0): "truncated", (18, 0): "terminated", (25, 0): "truncated", (14, 1): "terminated", (29, 1): "truncated"}


def outcome(achieved, desired):
    return 10.0 * achieved[:, 0] + desired[:, 0], achieved[:, 0] == desired[:, 0]


def filled():
    """Transition (t, env) achieves 100 env + t, aims at -1 and is unmistakable."""
    replay = UniformReplay(SPEC, CAPACITY, ENVS)
    for t in range(TIMES):
        number = 100.0 * np.arange(ENVS) + t
        replay.append(
            Transition(
                obs=np.stack([number - 0.5, -np.ones(ENVS), number], axis=1),
                action=number[:, None] / 1000,
                reward=-number,
                next_obs=np.stack([number, -np.ones(ENVS), number], axis=1),
                terminated=np.array([ENDS.get((t, env)) == "terminated" for env in range(ENVS)]),
                truncated=np.array([ENDS.get((t, env)) == "truncated" for env in range(ENVS)]),
            )
        )
    return replay


def last_step(t, env):
    """The last stored step of the episode."""
    return next((u for u in range(t, TIMES) if (u, env) in ENDS), TIMES - 1)


def test_goals_become_what_was_achieved_later_in_the_same_episode():
    source = Hindsight(filled(), Goals((0, 1), (1, 2), outcome), share=1.0)
    assert isinstance(source, Source)
    batch = source.sample(np.random.default_rng(0), 30, 1000)
    seen: Counter[tuple[int, int, int]] = Counter()
    for obs, action, reward, next_obs, terminated in zip(
        *(x.reshape(30_000, -1) for x in (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)),
        strict=True,
    ):
        env, t = divmod(int(next_obs[2]), 100)
        goal = next_obs[1]
        np.testing.assert_array_equal(obs, [100 * env + t - 0.5, goal, 100 * env + t])
        np.testing.assert_array_equal(next_obs, [100 * env + t, goal, 100 * env + t])
        np.testing.assert_allclose(action, (100 * env + t) / 1000, rtol=1e-6)
        assert reward == 10 * next_obs[0] + goal
        assert terminated == (goal == next_obs[0])
        seen[env, t, int(goal) - 100 * env] += 1
    possible = [(env, t, u) for env in range(ENVS) for t in range(13, TIMES) for u in range(t, last_step(t, env) + 1)]
    assert set(seen) == set(possible)
    for env, t, u in possible:
        mean = 30_000 / 40 / (last_step(t, env) - t + 1)
        assert abs(seen[env, t, u] - mean) < 5 * np.sqrt(mean)


@pytest.mark.parametrize("share", [0.0, 0.8])
def test_the_rest_of_a_batch_is_as_it_was_stored(share):
    replay = filled()
    batch = Hindsight(replay, Goals((0, 1), (1, 2), outcome), share).sample(np.random.default_rng(1), 4, 2500)
    kept = batch.next_obs[..., 1] == -1
    assert abs(kept.mean() - (1 - share)) < 5 * np.sqrt(share * (1 - share) / 10_000) + 1e-9
    np.testing.assert_array_equal(batch.reward[kept], -batch.next_obs[..., 0][kept])
    ended = [ENDS.get((int(n) % 100, int(n) // 100)) == "terminated" for n in batch.next_obs[..., 0][kept]]
    np.testing.assert_array_equal(batch.terminated[kept], ended)


def test_without_a_rule_of_termination_it_stays():
    goals = Goals((0, 1), (1, 2), lambda achieved, desired: (np.zeros(len(achieved)), None))
    batch = Hindsight(filled(), goals, 1.0).sample(np.random.default_rng(2), 1, 500)
    ended = [ENDS.get((int(n) % 100, int(n) // 100)) == "terminated" for n in batch.next_obs[0, :, 0]]
    np.testing.assert_array_equal(batch.terminated[0], ended)
    with pytest.raises(ValueError, match="empty"):
        Hindsight(UniformReplay(SPEC, 10, 1), goals, 1.0).sample(np.random.default_rng(0), 1, 1)


class OneByOne(gymnasium.Wrapper):
    """Computes outcomes for one goal only, and for several raises, or returns nonsense."""

    form = "raises"

    def compute_reward(self, achieved, desired, info):
        if self.form == "raises":
            return -float(sum(bool(a != d) for a, d in zip(achieved, desired, strict=True)))
        if self.form == "sum":
            return -float(np.sum(achieved != desired))  # of many goals, the sum over all
        return -float(np.linalg.norm(achieved - desired) > 0.5)  # of many goals, whether any is missed

    def compute_terminated(self, achieved, desired, info):
        return False


@pytest.mark.parametrize("form", ["raises", "sum", "missed"])
def test_outcomes_are_computed_at_once_where_that_is_right_and_else_one_by_one(form):
    env = OneByOne(gymnasium.make("entrax/BitFlip-v0", bits=3))
    env.form = form
    leaf = goal_places(spec_of(env))[2]
    rng = np.random.default_rng(0)
    outcome = Outcome(env, leaf)
    for rows in (1, 5, 9):
        achieved, desired = rng.integers(2, size=(2, rows, 3)).astype(np.float32)
        desired[0] = 1 - achieved[0]
        reward, terminated = outcome(achieved, desired)
        missed = np.sum(achieved != desired, axis=1)
        np.testing.assert_array_equal(reward, -np.minimum(missed, 1) if form == "missed" else -missed)
        np.testing.assert_array_equal(terminated, np.zeros(rows, bool))


def test_bits_end_at_their_goal():
    env = gymnasium.make("entrax/BitFlip-v0", bits=4)
    check_env(env.unwrapped, skip_render_check=True)
    obs, _ = env.reset(seed=3)
    wrong = np.flatnonzero(obs["achieved_goal"] != obs["desired_goal"])
    for i, bit in enumerate(wrong):
        obs, reward, terminated, _, info = env.step(bit)
        assert (reward, terminated, info["success"]) == (
            (0.0, True, True) if i == len(wrong) - 1 else (-1.0, False, False)
        )
    outcome = Outcome(env, goal_places(spec_of(env))[2])
    rewards, ends = outcome(np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)[[0, 0, 2, 3]])
    np.testing.assert_array_equal(rewards, [0, -1, 0, 0])
    np.testing.assert_array_equal(ends, [True, False, True, True])


def test_environments_without_goals_are_named():
    with pytest.raises(UsageError, match="achieved_goal"):
        goal_places(spec_of(gymnasium.make("CartPole-v1")))
    with pytest.raises(UsageError, match="compute_reward"):
        Outcome(gymnasium.make("CartPole-v1"), part("desired_goal"))
