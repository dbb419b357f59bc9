"""An environment is accepted only if its steps and resets follow its table of transitions."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces, wrappers
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

from entrax.environments.perturb import Perturbed
from entrax.errors import EntraxError
from entrax.problems import FiniteMDP
from tests.problems.problems_reference import branches


def lake(**options):
    return gymnasium.make("FrozenLake-v1", **options)


class Doubled(FrozenLakeEnv):
    def step(self, a):
        state, reward, *rest = super().step(a)
        return state, 2 * reward, *rest


class Anywhere(FrozenLakeEnv):
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.s = int(self.np_random.integers(16))
        return self.s, {}


class Teleported(FrozenLakeEnv):
    s = property(lambda self: 14, lambda self, state: None)


class WithLabels(FrozenLakeEnv):
    """A subclass that changes no step and no reset."""

    def label(self):
        return f"state {self.s}"


class Mixed:
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)  # type: ignore[misc]


class BelowTheLake(FrozenLakeEnv, Mixed):
    pass


class SecondHalf(gymnasium.Wrapper):
    def step(self, action):
        return self.env.step(3 - action)


class Timed(wrappers.TimeLimit):
    def step(self, action):
        state, reward, *rest = super().step(action)
        return state, float(reward) - 1, *rest


class Relabelled(gymnasium.ObservationWrapper):
    def observation(self, observation):
        return 15 - observation


class Shell:
    """A wrapper that is not a `gymnasium.Wrapper`."""

    def __init__(self, env):
        self.env = env

    @property
    def unwrapped(self):
        return self.env.unwrapped


def patched(name):
    env = lake().unwrapped
    setattr(env, name, lambda *_, **__: (0, 5.0, False, False, {}))
    return env


def patched_wrapper():
    env = lake()
    env.step = lambda action: (0, 5.0, False, False, {})
    return env


def with_fewer_actions():
    env = lake()
    env.action_space = spaces.Discrete(2)
    return env


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (lambda: wrappers.TransformReward(lake(), lambda r: -float(r)), "TransformReward"),
        (lambda: wrappers.TimeLimit(wrappers.ClipReward(lake(), -1, 0), 5), "ClipReward"),
        (lambda: wrappers.StickyAction(lake(), 0.3), "StickyAction"),
        (lambda: wrappers.RepeatAction(lake(), 2), "RepeatAction"),
        (lambda: wrappers.NormalizeReward(lake()), "NormalizeReward"),
        (lambda: wrappers.TransformAction(lake(), lambda a: 3 - a, spaces.Discrete(4)), "TransformAction"),
        (lambda: wrappers.DelayObservation(lake(), 1), "DelayObservation"),
        (lambda: Perturbed(lake()), "Perturbed"),
        (lambda: SecondHalf(lake()), "SecondHalf"),
        (lambda: Timed(lake(), 50), "Timed"),
        (lambda: Relabelled(lake()), "Relabelled"),
        (lambda: Shell(lake()), "Shell"),
        (patched_wrapper, "OrderEnforcing|TimeLimit"),
        (lambda: Doubled(), "Doubled.*`step`"),
        (lambda: Anywhere(), "Anywhere.*`reset`"),
        (lambda: Teleported(), "Teleported.*`s`"),
        (lambda: BelowTheLake(), "BelowTheLake.*`reset`"),
        (lambda: patched("step"), "own `step`"),
        (lambda: patched("reset"), "own `reset`"),
        (lambda: gymnasium.make("Taxi-v4", fickle_passenger=True), "fickle_passenger=False"),
        (with_fewer_actions, r"Discrete\(2\)"),
    ],
)
def test_changed_steps_or_resets_are_refused_by_name(env, words):
    with pytest.raises(EntraxError, match=words):
        FiniteMDP.from_gymnasium(env())


@pytest.mark.parametrize(
    "env",
    [
        lambda: lake(),
        lambda: lake().unwrapped,
        lambda: WithLabels(),
        lambda: wrappers.RecordEpisodeStatistics(wrappers.TimeLimit(lake(), 3)),
        lambda: wrappers.RenderCollection(lake(render_mode="rgb_array")),
        lambda: wrappers.AddWhiteNoise(lake(render_mode="rgb_array"), probability_of_noise_per_pixel=0.1),
        lambda: gymnasium.make("FrozenLake-v1", disable_env_checker=True, max_episode_steps=3),
    ],
)
def test_wrappers_that_change_nothing_are_accepted(env):
    assert branches(FiniteMDP.from_gymnasium(env())) == branches(FiniteMDP.from_gymnasium("FrozenLake-v1"))


def counted(env, steps):
    """How often each (state, action) led to each (successor, reward, terminated), from random actions."""
    env.action_space.seed(0)
    seen: dict[Any, Any] = {}
    state, _ = env.reset(seed=0)
    for _ in range(steps):
        action = int(env.action_space.sample())
        after, reward, terminated, truncated, _ = env.step(action)
        row = seen.setdefault((state, action), {})
        outcome = ("end" if terminated else after, float(reward))
        row[outcome] = row.get(outcome, 0) + 1
        state = env.reset()[0] if terminated or truncated else after
    return seen


def edited():
    """An environment whose table, which `step` reads, was changed."""
    env = lake()
    env.unwrapped.P[0][1] = [(0.75, 4, -2.0, False), (0.25, 1, 0.5, False)]
    env.unwrapped.initial_state_distrib = np.eye(16)[[0, 8]].mean(0)
    return env


@pytest.mark.parametrize(
    "env",
    [
        edited,
        lambda: lake(success_rate=0.8, reward_schedule=(10, -3, -1)),
        lambda: lake(is_slippery=False, desc=["SFS", "FHF", "FFG"]),
        lambda: gymnasium.make("CliffWalkingSlippery-v1", max_episode_steps=100),
        lambda: gymnasium.make("Taxi-v4", is_rainy=True, rainy_probability=0.6),
        lambda: gymnasium.make("Taxi-v4", fickle_passenger=True, fickle_probability=0.0),
    ],
)
def test_the_problem_matches_sampled_transitions(env):
    made = env()
    mdp = FiniteMDP.from_gymnasium(made)
    expected = branches(mdp)
    for (state, action), outcomes in counted(made, 4000).items():
        total = sum(outcomes.values())
        for outcome, count in outcomes.items():
            share = expected[state, action][outcome]
            assert abs(count / total - share) <= 6 * np.sqrt(share * (1 - share) / total) + 1e-12, (state, action)


def test_trust_table_accepts_a_class_with_its_own_step():
    env = Doubled()
    trusted = branches(FiniteMDP.from_gymnasium(env, trust_table=True))
    assert trusted == branches(FiniteMDP.from_gymnasium("FrozenLake-v1"))
    with pytest.raises(EntraxError, match="TransformReward"):
        FiniteMDP.from_gymnasium(wrappers.TransformReward(env, lambda r: abs(float(r))), trust_table=True)
