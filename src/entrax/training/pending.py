"""Updates that may still be running on the device, and the check that they were finite."""

from collections import deque
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Int, Scalar

from entrax.errors import EntraxError
from entrax.runs import checkpoints
from entrax.runs.directory import RunDirectory
from entrax.spec import Transition
from entrax.training.chunks import Chunk

HUGE = 1e15
"""Rewards whose squares, and sums of them over a few hundred steps and a batch, come near what 32 bits can hold."""


REMEDY = "Lower `learning_rate`, or set `normalise_obs`."


def diverged(where: str, what: str, remedy: str = REMEDY) -> str:
    """Return the message that a number is not finite."""
    return f"Learning diverged {where}: {what} is not finite. {remedy} Earlier checkpoints are intact."


class Diverged(EntraxError):
    """A loss, a gradient, or a number of the agent's state was not finite."""

    exit_code = 4


class UpdateReport(NamedTuple):
    """What updates reported: the mean of each info, and the number of the first that was not finite, or -1."""

    info: dict[str, Scalar]
    broken: Int[Array, ""]


class Pending(NamedTuple):
    """A chunk's updates, with what it takes to report them."""

    chunk: Chunk
    batches: Transition
    learned: UpdateReport


class PendingUpdates:
    """The chunks of a run whose updates were not checked yet."""

    def __init__(self, run: RunDirectory):
        self.run = run
        self._queue: deque[Pending] = deque()

    def add(self, chunk: Chunk, batches: Transition, learned: UpdateReport) -> None:
        """Append a chunk's updates, which may still be running."""
        self._queue.append(Pending(chunk=chunk, batches=batches, learned=learned))

    def raise_if_diverged(self, keep: int = 0) -> None:
        """Check finished updates for non-finite values. The newest `keep` chunks may still be running.

        Raises Diverged after saving the batch.
        """
        while len(self._queue) > keep:
            pending = self._queue.popleft()
            if pending.learned.broken >= 0:
                self._raise(pending, int(pending.learned.broken))

    def _raise(self, pending: Pending, broken: int) -> None:
        batch = {name: values[broken] for name, values in pending.batches.fields().items()}
        step, update = pending.chunk.first_step, pending.chunk.first_update + broken + 1
        place = checkpoints.save_fault(self.run, f"diverged-{update:09d}", batch)
        names = [name for name, value in pending.learned.info.items() if not np.isfinite(value)]
        what = ", ".join(names) or "a parameter or the optimiser's state"
        self.run.append_event({"kind": "diverged", "step": step, "update": update, "batch": str(place)})
        largest = float(np.abs(batch["reward"]).max())
        remedy = REMEDY
        if largest > HUGE:
            remedy = f"Rewards reach {largest:.0e}: scale them, or train with `normalise_rewards`."
        where = f"at update {update}, near step {step}"
        raise Diverged(f"{diverged(where, what, remedy)} The batch is in {place}.")
