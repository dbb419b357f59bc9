"""What a fine-tuned run begins with, kept in its own directory: nothing depends on the run that it comes from.

    start.safetensors   state/…  normaliser/…  and, of a replay that was kept, replay/<field> [transition, …]

The file is there before the run is, and its SHA-256 is in config.json, so that a run killed before its first checkpoint
starts anew from the same bytes. Under `ancestor`, config.json tells where they came from: `entrax.training.transfer`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from entrax.agents.schedule import Anneal
from entrax.replay import UniformReplay
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import unflatten
from entrax.runs.start import read_start
from entrax.spec import Progress, Transition
from entrax.training.devices import put
from entrax.training.saving import below

if TYPE_CHECKING:
    from entrax.training.run import Training

BLOCK = 4096
"""Steps of a kept replay that are packed at once."""


@dataclass(frozen=True)
class Start:
    """The start of one fine-tuned run; `record` is what its config.json holds under `ancestor`."""

    run: RunDirectory
    record: Mapping[str, Any]

    @classmethod
    def of(cls, run: RunDirectory) -> "Start | None":
        """The run's start; None for a run from scratch."""
        record = run.config.get("ancestor")
        return None if record is None else cls(run=run, record=record)

    @property
    def transitions(self) -> int:
        """How many of the ancestor's transitions are kept."""
        return int(self.record["replay"])

    def begin(self, training: "Training") -> list[bytes]:
        """Put a run that has taken no step where it begins; the packed steps of a kept replay, for the log.

        Raises EntraxError when the file is damaged.
        """
        arrays = read_start(self.run)
        training.state = put(unflatten(training.state, below("state", arrays)), training.devices.learner)
        training.normaliser.restore(below("normaliser", arrays))
        return _fill(training.replay, below("replay", arrays)) if self.transitions else []

    def annealed(self, config: Any, state: Any, progress: Progress) -> tuple[Any, Any]:
        """Configuration and state with the temperature of this point of the run, if it is annealed."""
        span = self.record["temperature"]["anneal"]
        if span is None:
            return config, state
        alpha = Anneal(start=span["start"], end=span["end"], fraction=1.0)(progress).astype(jnp.float32)
        if span["in_state"]:
            return config, eqx.tree_at(lambda s: s.params.log_alpha, state, jnp.log(alpha))
        return eqx.tree_at(lambda c: c.temperature, config, alpha), state


def _fill(replay: UniformReplay, rows: Mapping[str, np.ndarray]) -> list[bytes]:
    """Append transitions, shared out over the environments in their order; those that fill no whole step are left.

    Returns all steps packed, in blocks.
    """
    count, envs = len(rows["reward"]) // replay.envs, replay.envs
    steps = {name: values[: count * envs].reshape(count, envs, *values.shape[1:]) for name, values in rows.items()}
    block, packed = min(BLOCK, replay.times), []
    for first in range(0, count, block):
        last = min(first + block, count)
        for t in range(first, last):
            replay.append(Transition(**{name: values[t] for name, values in steps.items()}))
        packed.append(replay.packed(last - first))
    return packed
