"""The kinds of data that agents learn from, and their requirements on the training loop."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import jax
import numpy as np

from entrax.errors import UsageError
from entrax.replay.sources import Source
from entrax.replay.uniform import UniformReplay
from entrax.spec import Transition


@runtime_checkable
class Data(Protocol):
    """The data of an agent: what it draws from the replay for each update."""

    on_policy: ClassVar[bool]
    """Whether the acting policy has learned from all earlier transitions, without the lag of a chunk."""

    @property
    def carry(self) -> int:
        """Entries of the policy's carry, flat, that are stored with every transition."""
        ...

    @property
    def capacity(self) -> int:
        """The number of transitions that are kept, over all environments."""
        ...

    def fixed_options(self, steps: int, envs: int, learning_starts: int) -> dict[str, int | float]:
        """Return the training options that this kind of data fixes, by name.

        Raises UsageError if it cannot work with these steps, environments or `learning_starts`.
        """
        ...

    def steps_needed(self, envs: int) -> int:
        """Return the number of transitions that are needed for the first draw."""
        ...

    def draw(self, replay: UniformReplay, rng: np.random.Generator, updates: int) -> Transition:
        """Draw batches for at least `updates` updates, along the first axis."""
        ...


@dataclass(frozen=True)
class Uniform:
    """`batch_size` transitions, uniformly from the last `capacity`: off-policy agents."""

    batch_size: int
    capacity: int
    on_policy: ClassVar[bool] = False
    carry: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _check(self.batch_size, self.capacity)

    def fixed_options(self, steps: int, envs: int, learning_starts: int) -> dict[str, int | float]:
        return {}

    def steps_needed(self, envs: int) -> int:
        return 0

    def draw(self, replay: Source, rng: np.random.Generator, updates: int) -> Transition:
        """Draw fields of shape [update, batch, ...]."""
        return replay.sample(rng, updates, self.batch_size)


@dataclass(frozen=True)
class Sequences:
    """`batch_size` windows of `length` consecutive steps, drawn uniformly.

    The steps of a window are of one environment. A window can contain the end of an episode, which `terminated` and
    `truncated` mark. With `ends`, `obs` is that of the first step only, and `next_obs` that of the step that ends its
    episode, or else of the last step, as needed for n-step returns without entropy. With `carry`, that many entries of
    the policy's carry are stored with every transition, and a window has those before its first step.
    """

    batch_size: int
    length: int
    capacity: int
    ends: bool = False
    carry: int = 0
    on_policy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check(self.batch_size, self.capacity)
        if self.length < 1:
            raise UsageError(f"The length of a sequence must be at least 1, got {self.length}.")

    def fixed_options(self, steps: int, envs: int, learning_starts: int) -> dict[str, int | float]:
        least = self.steps_needed(envs)
        if self.capacity < least:
            raise UsageError(
                f"`replay_size` must be at least {least} for sequences of {self.length} steps of {envs} environments, "
                f"got {self.capacity}."
            )
        if learning_starts < least:
            raise UsageError(
                f"`learning_starts` must be at least {least} for sequences of {self.length} steps of {envs} "
                f"environments, got {learning_starts}."
            )
        return {}

    def steps_needed(self, envs: int) -> int:
        return self.length * envs

    def draw(self, replay: UniformReplay, rng: np.random.Generator, updates: int) -> Transition:
        """Draw fields of shape [update, batch, time, ...].

        A carry is [update, batch, 1, ...], and with `ends` observations are.
        """
        return replay.sample_windows(rng, updates, self.batch_size, self.length, self.ends)


@dataclass(frozen=True)
class Rollout:
    """The last `steps` transitions of all environments: for on-policy agents.

    They are all by one policy. Each rollout is followed by one update, after which the next one is collected. Steps at
    the end of a run that do not fill a rollout are collected but not learned from.

    With `context`, that many earlier rollouts are included, for policies over histories. The policy's carry is then
    computed again from them, with the current parameters, before every rollout. Without a context it is carried on.
    """

    steps: int
    least_envs: int = 1
    context: int | None = None
    on_policy: ClassVar[bool] = True
    carry: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"The length of a rollout must be at least 1, got {self.steps}.")

    @property
    def capacity(self) -> int:
        return self.steps * (1 + (self.context or 0))

    def fixed_options(self, steps: int, envs: int, learning_starts: int) -> dict[str, int | float]:
        if envs < self.least_envs:
            raise UsageError(f"`envs` must be at least {self.least_envs} for this agent's settings, got {envs}.")
        if self.steps % envs:
            raise UsageError(f"`envs` must divide the rollout of {self.steps} steps, got {envs}.")
        if steps < self.steps:
            raise UsageError(f"`steps` must be at least {self.steps}, the length of a rollout, got {steps}.")
        return {"chunk": self.steps // envs, "updates_per_step": 1 / self.steps, "learning_starts": 0}

    def steps_needed(self, envs: int) -> int:
        return self.steps

    def draw(self, replay: UniformReplay, rng: np.random.Generator, updates: int) -> Transition:
        """Draw fields of shape [1, time, env, ...], for a single update.

        Context before the start of the run is filled with zeros that are marked as truncated.
        """
        length = self.capacity // replay.envs
        rows = replay.last(min(length, len(replay) // replay.envs))
        missing = length - len(rows.reward)
        padded = jax.tree.map(lambda x: np.concatenate([np.zeros((missing, *x.shape[1:]), x.dtype), x]), rows)
        padded.truncated[:missing] = True
        return jax.tree.map(lambda x: x[None], padded)

    def recent(self, replay: UniformReplay) -> Transition | None:
        """Return the available context of the next rollout, [time, env, ...], or None."""
        if self.context is None:
            return None
        return replay.last(min(self.steps * self.context, len(replay)) // replay.envs)


def _check(batch_size: int, capacity: int) -> None:
    if batch_size < 1:
        raise UsageError(f"`batch_size` must be at least 1, got {batch_size}.")
    if capacity < batch_size:
        raise UsageError(f"`replay_size` must be at least `batch_size`, {batch_size}, got {capacity}.")


def shared_by_envs(steps: int) -> int:
    """Return the default number of environments for a rollout of `steps`.

    It is at most 8, with at least 64 steps each.
    """
    return max((n for n in range(1, 9) if steps % n == 0 and steps // n >= 64), default=1)
