"""Which steps and updates belong to which chunk: a function of the options alone, never of the clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor

from entrax.training.options import TrainingOptions


@dataclass(frozen=True)
class Chunk:
    """`times` steps of every environment are collected while `updates` updates are made.

    The updates draw from the rows of earlier chunks; the actions are those of the policy after the updates of earlier
    chunks. Neither waits for the other, and the policy that acts lags by one chunk. `step` and `update` count what was
    done before the chunk. `cut` marks the chunk that reaches the end of the run.
    """

    index: int
    step: int
    times: int
    update: int
    updates: int
    random: bool
    cut: bool


def updates_due(options: TrainingOptions, step: int) -> int:
    """Updates owed once `step` transitions are stored: none for the random first steps."""
    return floor(options.updates_per_step * max(0, step - (options.learning_starts or 0)) + 1e-9)


def chunks(options: TrainingOptions) -> Iterator[Chunk]:
    """The chunks of a run in order; the last one only learns, from the rows of the one before.

    A longer run has the same chunks, and the same rows of metrics, up to the one that is marked `cut`.
    """
    starts = options.learning_starts or 0
    step = update = index = 0
    while step < options.steps:
        random = step < starts
        until = min(starts, options.steps) if random else options.steps
        times = min(options.chunk, -(-(until - step) // options.envs))
        updates, cut = updates_due(options, step) - update, step + times * options.envs >= options.steps
        yield Chunk(index=index, step=step, times=times, update=update, updates=updates, random=random, cut=cut)
        step, update, index = step + times * options.envs, update + updates, index + 1
    last = updates_due(options, step) - update
    yield Chunk(index=index, step=step, times=0, update=update, updates=last, random=False, cut=False)


def crossed(interval: int, before: int, after: int) -> bool:
    """Whether a multiple of `interval` lies in (before, after]; never when `interval` is 0."""
    return interval > 0 and after // interval > before // interval


def evaluates_after(options: TrainingOptions, chunk: Chunk) -> bool:
    """Whether an evaluation follows the chunk; the one at the end of the run is not counted."""
    after = chunk.step + chunk.times * options.envs
    return after < options.steps and crossed(options.eval_every or 0, chunk.step, after)
