"""Batches of a replay whose rows are split: training rows, drawn for each member of an ensemble, and held-out rows."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import numpy as np
from jaxtyping import Int

from entrax.errors import UsageError
from entrax.replay.uniform import UniformReplay
from entrax.spec import Transition

PERIOD = 10
"""One of this many transitions is held out."""
BLOCK = 64
"""Transitions that are resampled together by the bootstrap."""

Numbers = Int[np.ndarray, "..."]


@dataclass(frozen=True)
class Split:
    """For each of `members` models `batch_size` transitions to learn from, and `held_out` to judge all of them by.

    Every tenth transition ever stored is held out, so that none is moved from one part to the other. With `bootstrap`
    each member has a resample of its own of the training part (Efron 1979): in each block of 64 transitions as many
    are drawn with replacement, so that a transition counts 0, 1, 2 … times for a member. Otherwise the members' batches
    differ, but come from the same transitions.
    """

    batch_size: int
    members: int
    held_out: int
    capacity: int
    bootstrap: bool = False
    on_policy: ClassVar[bool] = False
    carry: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if min(self.batch_size, self.members, self.held_out) < 1:
            raise UsageError("`batch_size`, `members` and `held_out` must be at least 1.")
        least = max(self.batch_size, PERIOD)
        if self.capacity < least:
            raise UsageError(f"`replay_size` must be at least {least}, got {self.capacity}.")

    def fixed_options(self, steps: int, envs: int, learning_starts: int) -> dict[str, int | float]:
        needed = self.steps_needed(envs)
        if self.capacity < needed:
            raise UsageError(f"`replay_size` must be at least {needed} for {envs} environments, got {self.capacity}.")
        if learning_starts < needed:
            raise UsageError(
                f"`learning_starts` must be at least {needed}, so that there is a transition to hold out, got "
                f"{learning_starts}."
            )
        return {}

    def steps_needed(self, envs: int) -> int:
        return -(-PERIOD // envs) * envs

    def draw(self, replay: UniformReplay, rng: np.random.Generator, updates: int) -> Transition:
        """Draw fields of shape [update, members · batch_size + held_out, ...], for `parts`."""
        end = replay.appended * replay.envs
        first = end - len(replay)
        member, low, high = np.arange(self.members)[:, None], _training_before(first), _training_before(end)
        place = rng.integers(low, high, size=(updates, self.members, self.batch_size))
        if self.bootstrap:
            place = resampled(place, member, low, high)
        numbers = place + place // (PERIOD - 1)
        groups = rng.integers(-(-(first - PERIOD + 1) // PERIOD), end // PERIOD, size=(updates, self.held_out))
        held_out = groups * PERIOD + PERIOD - 1
        both = np.concatenate([numbers.reshape(updates, -1), held_out], axis=1)
        time, env = np.divmod(both, replay.envs)
        return jax.tree.map(lambda rows: rows[time % replay.times, env], replay.rows)

    def parts(self, batch: Transition) -> tuple[Transition, Transition]:
        """Return the training part [member, row, ...] and the held-out part [row, ...] of a batch."""
        rows = self.members * self.batch_size
        training = jax.tree.map(lambda x: x[:rows].reshape(self.members, self.batch_size, *x.shape[1:]), batch)
        return training, jax.tree.map(lambda x: x[rows:], batch)


def _training_before(number: int) -> int:
    """Return how many transitions before this one, counted from the first of the run, are not held out."""
    return number - number // PERIOD


def resampled(place: Numbers, member: Numbers, low: int, high: int) -> Numbers:
    """Return the transition in each place of the members' resamples.

    Args:
        place: in the order of the training part, from `low` to below `high`.
        member: whose resample.
        low: the first place that is stored.
        high: one more than the last. A block that is cut by these limits is resampled within them.
    """
    start = np.maximum(place // BLOCK * BLOCK, low)
    size = np.minimum((place // BLOCK + 1) * BLOCK, high) - start
    fraction = mixed(place.astype(np.uint64) * np.uint64(2**16) + member.astype(np.uint64)) >> np.uint64(11)
    return start + (fraction.astype(np.float64) * 2.0**-53 * size).astype(np.int64)


def mixed(x: np.ndarray) -> np.ndarray:
    """Return 64 bits that look random for each whole number: SplitMix64 (Steele, Lea and Flood 2014)."""
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
