"""Plans on copies of an environment, which are set to its present state and stepped.

There are two ways to set a copy to a state. `Attributes` hands over the data among the attributes of the environment
and its wrappers: numbers, arrays, containers of these, generators of random numbers, and MuJoCo's mjData. `Deep` is
Python's `copy.deepcopy`. Whether a way is exact for an environment is tested: a copy must repeat a trajectory.
"""

import collections
import copy
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Int, Num

from entrax.environments.mujoco_rewards import Results
from entrax.environments.spaces import flattener, rescale, spec_of, to_env_action
from entrax.spec import Continuous

Make = Callable[[], gymnasium.Env]
Saved = Any

TRIALS = ((0, 0), (1, 5), (2, 20))
"""Seeds of the trajectories of a test, and the random steps before each."""
STEPS = 20
"""The steps of a trajectory of a test."""


class Attributes:
    """Copies the data among the attributes of all layers of an environment."""

    name = "attributes"

    def __init__(self, make: Make):
        self._twin = make()
        self._twin.reset(seed=0)

    def save(self, env: gymnasium.Env) -> Saved:
        """Return the data of every layer."""
        return [_data_of(layer) for layer in _layers(env)]

    def restored(self, saved: Saved) -> gymnasium.Env:
        """Return this way's one copy, in the saved state."""
        for layer, data in zip(_layers(self._twin), saved, strict=True):
            own = vars(layer)
            for name, value in data.items():
                if _is_mujoco_data(value):
                    sys.modules["mujoco"].mj_copyData(own[name], own[name].model, value)
                else:
                    own[name] = copy.deepcopy(value)
        return self._twin

    def close(self) -> None:
        """Close the copy."""
        self._twin.close()


class Deep:
    """Copies the environment with everything in it."""

    name = "copy.deepcopy"

    def __init__(self, make: Make):
        pass

    def save(self, env: gymnasium.Env) -> Saved:
        """Return a copy."""
        return copy.deepcopy(env)

    def restored(self, saved: Saved) -> gymnasium.Env:
        """Return a copy of the copy."""
        return copy.deepcopy(saved)

    def close(self) -> None:
        """There is nothing to close."""


Way = type[Attributes] | type[Deep]


def exact_way(make: Make) -> tuple[Way | None, str]:
    """Return the way that restores an environment exactly, or None and what failed.

    Args:
        make: makes the environment.
    """
    reasons = []
    for way in (Attributes, Deep):
        reason = failure_of(way, make)
        if reason is None:
            return way, ""
        reasons.append(f"with {way.name}, {reason}")
    return None, "; ".join(reasons)


def failure_of(way: Way, make: Make) -> str | None:
    """Return how a trajectory from a restored state differs from the environment's; None if it does not."""
    try:
        env, copies = make(), way(make)
    except Exception as error:  # an environment can raise anything
        return f"making it raised {type(error).__name__} ({error})"
    try:
        for seed, before in TRIALS:
            env.reset(seed=seed)
            rng = np.random.default_rng(seed)
            if any(ended for *_, ended in _trajectory(env, before, rng)):
                continue
            saved, actions = copies.save(env), np.random.default_rng(seed + 100)
            own = list(_trajectory(env, STEPS, copy.deepcopy(actions)))
            for _ in range(2):
                theirs = list(_trajectory(copies.restored(saved), STEPS, copy.deepcopy(actions)))
                if (difference := _difference(own, theirs)) is not None:
                    return difference
    except Exception as error:
        return f"it raised {type(error).__name__} ({error})"
    finally:
        copies.close()
        env.close()
    return None


def _trajectory(
    env: gymnasium.Env, steps: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, float, bool, bool]]:
    """Yield observation, reward, termination and end of each of some random steps, up to the end of the episode."""
    action, flatten = spec_of(env).action, flattener(env.observation_space)
    assert isinstance(action, Continuous)
    for _ in range(steps):
        unit = rng.uniform(-1.0, 1.0, action.size).astype(np.float32)
        obs, reward, terminated, truncated, _ = env.step(to_env_action(action, rescale(action, unit)))
        yield np.array(flatten(obs)), float(reward), bool(terminated), bool(terminated or truncated)
        if terminated or truncated:
            return


def _difference(own: list[Any], theirs: list[Any]) -> str | None:
    for step, (first, second) in enumerate(zip(own, theirs, strict=False), 1):
        for name, a, b in zip(("observation", "reward", "termination", "truncation"), first, second, strict=True):
            if not np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f"):
                return f"the {name} differs {step} {'step' if step == 1 else 'steps'} after the state was restored"
    return None if len(own) == len(theirs) else "the episode ends at another step"


class CopySimulator:
    """Rewards of plans from the present state of an environment, by stepping copies of it.

    Plans continue where the episode would only be truncated, since a time limit is not part of the task. An
    environment's own random numbers are drawn from `seeds`, and not from its generator, which a planner cannot know.

    Args:
        env: the environment, with its wrappers. It is not changed.
        make: makes another one.
        way: how to set a copy to its state.
        threads: that step copies. More than one is faster if most of a step is spent in C code, as in MuJoCo's.
    """

    kind = "copies"

    def __init__(self, env: gymnasium.Env, make: Make, way: Way, threads: int):
        self.env, self.seconds = env, 0.0
        action = spec_of(env).action
        assert isinstance(action, Continuous)
        self._action = action
        self._copies = [way(make) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads)

    def __call__(
        self, states: Any, actions: Num[np.ndarray, "plan time action"], seeds: Num[np.ndarray, " plan"]
    ) -> Results:
        """Return rewards and terminations of plans of the agent's actions, in [-1, 1]."""
        given = rescale(self._action, actions)
        rewards, terminated = np.zeros(given.shape[:2]), np.zeros(given.shape[:2], bool)
        start = time.perf_counter()
        saved = self._copies[0].save(self.env)

        def step(copies: Attributes | Deep, plans: Int[np.ndarray, " plan"]) -> None:
            for plan in plans:
                env = copies.restored(saved)
                _reseed(env, int(seeds[plan]))
                for t, flat in enumerate(given[plan]):
                    _, reward, ended, _, _ = env.step(to_env_action(self._action, flat))
                    rewards[plan, t] = reward
                    if ended:
                        terminated[plan, t:] = True
                        break

        list(self._pool.map(step, self._copies, np.array_split(np.arange(len(given)), len(self._copies))))
        self.seconds += time.perf_counter() - start
        return rewards, terminated

    def close(self) -> None:
        """End the threads and close the copies."""
        self._pool.shutdown()
        for each in self._copies:
            each.close()


def _layers(env: gymnasium.Env) -> list[Any]:
    """Return the wrappers from the outside in, and the environment; without Gymnasium's checker, if it has one."""
    layers: list[Any] = [env]
    while isinstance(layers[-1], gymnasium.Wrapper):
        layers.append(layers[-1].env)
    return [layer for layer in layers if not isinstance(layer, gymnasium.wrappers.PassiveEnvChecker)]


def _data_of(layer: Any) -> dict[str, Any]:
    """Return a copy of the data among the attributes of one layer."""
    data: dict[str, Any] = {}
    for name, value in vars(layer).items():
        if _is_mujoco_data(value):
            mujoco = sys.modules["mujoco"]
            data[name] = mujoco.MjData(value.model)
            mujoco.mj_copyData(data[name], value.model, value)
        elif _is_data(value):
            data[name] = copy.deepcopy(value)
    return data


def _is_mujoco_data(value: Any) -> bool:
    module = sys.modules.get("mujoco")  # imported if there is an instance
    return module is not None and isinstance(value, module.MjData)


def _is_data(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype != object
    if isinstance(value, dict):
        return all(map(_is_data, value.values()))
    if isinstance(value, list | tuple | set | frozenset | collections.deque):
        return all(map(_is_data, value))
    plain = (bool, int, float, complex, str, bytes, type(None), np.generic, np.random.Generator, random.Random)
    return isinstance(value, plain)


def _reseed(env: gymnasium.Env, seed: int) -> None:
    """Give every layer a generator of this seed, if it has one."""
    for layer in _layers(env):
        if isinstance(vars(layer).get("_np_random"), np.random.Generator):
            layer._np_random = np.random.default_rng(seed)
