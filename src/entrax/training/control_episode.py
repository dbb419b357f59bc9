"""One episode of a planner in receding horizon, and the file that keeps it."""

import io
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Float

from entrax.environments.seeds import episode_seed
from entrax.environments.simulator import Simulator
from entrax.environments.slot import Slot
from entrax.environments.spaces import rescale
from entrax.errors import EntraxError
from entrax.evaluation.episodes import GREATEST_LIMIT, UNKNOWN_LIMIT
from entrax.planning.base import Planner
from entrax.policies.controller import FINISHED
from entrax.runs.records import publish_bytes, read_whole

LARGEST_EPISODE = 2**30
"""The most bytes of an episode's file."""


@dataclass(frozen=True)
class Episode:
    """Every decision of an episode.

    Attributes:
        actions: as the environment got them, flat and in its own bounds.
        rewards: of each step.
        milliseconds: of each decision, physics included.
        physics: the milliseconds of these that went to the simulator.
        effective_samples: 1/Σw² of each decision; NaN for planners without weights.
        finite: the share of each decision's plans with a finite return; NaN for planners that do not report it.
    """

    actions: Float[np.ndarray, "step action"]
    rewards: Float[np.ndarray, " step"]
    milliseconds: Float[np.ndarray, " step"]
    physics: Float[np.ndarray, " step"]
    effective_samples: Float[np.ndarray, " step"]
    finite: Float[np.ndarray, " step"]

    def row(self, before: int, number: int) -> dict[str, Any]:
        """Return the row of metrics of episode `number`, after `before` steps of others."""
        seconds = float(self.milliseconds.sum()) / 1e3
        effective = self.effective_samples
        weighted = {} if np.isnan(effective).all() else {"effective_samples": float(np.median(effective))}
        return {
            "step": before + len(self.rewards),
            "updates": 0,
            "episodes": number + 1,
            "return": float(self.rewards.sum()),
            "length": len(self.rewards),
            **weighted,
            "time": {
                "seconds": seconds,
                "steps_per_second": len(self.rewards) / max(seconds, 1e-9),
                "decision": quantiles(self.milliseconds),
            },
        }


def quantiles(milliseconds: Float[np.ndarray, " step"]) -> dict[str, float]:
    """Return median and 90th percentile of the time of a decision."""
    median, high = np.percentile(milliseconds, [50, 90])
    return {"median_ms": float(median), "p90_ms": float(high)}


def seed_of(seed: int, number: int) -> int:
    """Return the seed of the environment in episode `number`; it is that of evaluations."""
    return episode_seed(seed, number, 0, "evaluation")


class EpisodePlayer:
    """Plays episodes; the first decision is made once before the first episode, since it compiles.

    Args:
        slot: the environment.
        simulator: watches that environment.
        planner: on that simulator.
        sample: draw among the plans instead of taking the best action.
        seed: from which the episodes and all noise follow.
    """

    def __init__(self, slot: Slot, simulator: "Guarded", planner: Planner, *, sample: bool, seed: int):
        self._slot, self._simulator, self._planner, self._seed = slot, simulator, planner, seed
        self._limit = min(slot.traits.time_limit or UNKNOWN_LIMIT, GREATEST_LIMIT)
        self._act = jax.jit(lambda carry, obs, key: planner.act(carry, obs, FINISHED, key, not sample))
        obs = slot.reset(episode_seed(seed, 0, 0, "check"))
        self._decide(planner.initial_carry(), obs, jr.key(0))

    def play(self, number: int) -> Episode:
        """Play episode `number`."""
        slot, carry, decisions = self._slot, self._planner.initial_carry(), []
        key = jr.fold_in(jr.key(self._seed), number)
        obs = slot.reset(seed_of(self._seed, number))
        while slot.running and slot.steps < self._limit:
            start, physics = time.perf_counter(), self._simulator.seconds
            unit, carry, info = self._decide(carry, obs, jr.fold_in(key, slot.steps))
            spent = time.perf_counter() - start, self._simulator.seconds - physics
            action = rescale(slot.spec.action, unit)
            obs, reward, *_ = slot.step(action)
            numbers = [float(info.get(name, np.nan)) for name in ("effective_samples", "finite")]
            decisions.append((action, reward, 1e3 * spent[0], 1e3 * spent[1], *numbers))
        actions, *columns = zip(*decisions, strict=True)
        return Episode(np.stack(actions), *(np.array(column) for column in columns))

    def _decide(self, carry: Any, obs: Any, key: Any) -> tuple[np.ndarray, Any, dict[str, Any]]:
        try:
            action, carry, info = self._act(carry, obs, key)
            return np.asarray(action), carry, info
        except Exception as error:  # JAX's own, of any kind, if the simulator raised one
            if self._simulator.failure is None:
                raise
            cause = self._simulator.failure
            raise EntraxError(f"A plan could not be simulated: {type(cause).__name__}: {cause}") from error


class Guarded:
    """A simulator that remembers what it raised, which JAX would hide in an error of its own."""

    def __init__(self, simulator: Simulator):
        self.simulator = simulator
        self.failure: Exception | None = None

    @property
    def seconds(self) -> float:
        """The time spent in physics so far."""
        return self.simulator.seconds

    def __call__(self, states: Any, actions: np.ndarray, seeds: np.ndarray) -> Any:
        """Simulate plans."""
        try:
            return self.simulator(states, actions, seeds)
        except Exception as error:
            self.failure = error
            raise


def save_episode(path: Path, episode: Episode) -> None:
    """Write an episode into an .npz file, whole or not at all."""
    file = io.BytesIO()
    np.savez_compressed(file, **asdict(episode))
    publish_bytes(path, file.getvalue())


def read_episode(path: Path) -> Episode:
    """Read an episode.

    Raises:
        EntraxError: the file is damaged.
    """
    data = read_whole(path, LARGEST_EPISODE)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return Episode(**{name: arrays[name] for name in arrays.files})
    except Exception as error:  # a damaged file can raise anything
        raise EntraxError(f"{path} is damaged: {error}.") from error
