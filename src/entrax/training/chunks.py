"""Which steps and updates belong to which chunk: a function of the options alone, never of the clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor

from entrax.training.options import TrainingOptions


@dataclass(frozen=True)
class Chunk:
    """Collect `steps_per_env` steps of every environment while making `updates` updates.

    The updates draw from the rows of earlier chunks; the actions are those of the policy after the updates of earlier
    chunks. Neither waits for the other, and the policy that acts lags by one chunk. `first_step` and `first_update`
    count what was done before the chunk.
    """

    index: int
    first_step: int
    steps_per_env: int
    first_update: int
    updates: int
    random_actions: bool
    reaches_end: bool


def updates_due(options: TrainingOptions, step: int) -> int:
    """Return the updates due once `step` transitions are stored: none for the random first steps."""
    return floor(options.updates_per_step * max(0, step - (options.learning_starts or 0)) + 1e-9)


def chunks(options: TrainingOptions) -> Iterator[Chunk]:
    """Yield the chunks of a run in order; the last one only learns, from the rows of the one before.

    A longer run has the same chunks, and the same rows of metrics, up to the one that `reaches_end`.
    """
    starts = options.learning_starts or 0
    step = update = index = 0
    while step < options.steps:
        random = step < starts
        until = min(starts, options.steps) if random else options.steps
        times = min(options.chunk, -(-(until - step) // options.envs))
        end, updates = step + times * options.envs, updates_due(options, step) - update
        yield Chunk(
            index=index,
            first_step=step,
            steps_per_env=times,
            first_update=update,
            updates=updates,
            random_actions=random,
            reaches_end=end >= options.steps,
        )
        step, update, index = end, update + updates, index + 1
    yield Chunk(
        index=index,
        first_step=step,
        steps_per_env=0,
        first_update=update,
        updates=updates_due(options, step) - update,
        random_actions=False,
        reaches_end=False,
    )


def crossed(interval: int, before: int, after: int) -> bool:
    """Return whether a multiple of `interval` lies in (before, after]; never when `interval` is 0."""
    return interval > 0 and after // interval > before // interval


def evaluates_after(options: TrainingOptions, chunk: Chunk) -> bool:
    """Return whether an evaluation follows the chunk; the one at the end of the run is not counted."""
    after = chunk.first_step + chunk.steps_per_env * options.envs
    return after < options.steps and crossed(options.eval_every or 0, chunk.first_step, after)
