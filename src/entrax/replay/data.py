"""What agents learn from: the kinds of data, and what each asks of the training loop."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from entrax.errors import UsageError
from entrax.replay.sources import Source
from entrax.replay.uniform import UniformReplay
from entrax.spec import Transition


@runtime_checkable
class Data(Protocol):
    """What `data` of an agent returns."""

    on_policy: ClassVar[bool]
    """Whether the policy that acts has learned from all rows before, rather than lagging by a chunk."""

    @property
    def capacity(self) -> int:
        """Transitions that are kept, over all environments."""
        ...

    def loop(self, steps: int, envs: int, learning_starts: int) -> dict[str, int | float]:
        """The options of the loop that this kind of data settles by itself, by name.

        Raises EntraxError where so many steps, environments or random first steps don't suit it.
        """
        ...

    def steps_needed(self, envs: int) -> int:
        """Transitions over all environments that must be there before anything can be drawn."""
        ...

    def draw(self, replay: UniformReplay, rng: np.random.Generator, updates: int) -> Transition:
        """Batches for at least so many updates as there may be, one along the first axis for each."""
        ...


@dataclass(frozen=True)
class Uniform:
    """What an off-policy agent learns from: `batch_size` transitions drawn uniformly from the last `capacity`."""

    batch_size: int
    capacity: int
    on_policy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check(self.batch_size, self.capacity)

    def loop(self, steps: int, envs: int, learning_starts: int) -> dict[str, int | float]:
        return {}

    def steps_needed(self, envs: int) -> int:
        return 0

    def draw(self, replay: Source, rng: np.random.Generator, updates: int) -> Transition:
        """Fields of shape [update, batch, ...]."""
        return replay.sample(rng, updates, self.batch_size)


@dataclass(frozen=True)
class Sequences:
    """`batch_size` windows of `length` consecutive steps of one environment, drawn uniformly from what is kept.

    A window may run over the end of an episode: `terminated` and `truncated` tell where. With `ends`, `obs` is of its
    first step only, and `next_obs` of the step that ends that one's episode, or else of the last one: all that n-step
    returns without entropy need.
    """

    batch_size: int
    length: int
    capacity: int
    ends: bool = False
    on_policy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check(self.batch_size, self.capacity)
        if self.length < 1:
            raise UsageError(f"A sequence needs at least 1 step, not {self.length}.")

    def loop(self, steps: int, envs: int, learning_starts: int) -> dict[str, int | float]:
        least = self.steps_needed(envs)
        if self.capacity < least:
            raise UsageError(
                f"Sequences of {self.length} steps of {envs} environments do not fit a replay of {self.capacity}: "
                "raise `replay_size`."
            )
        if learning_starts < least:
            raise UsageError(
                f"Sequences of {self.length} steps of {envs} environments cannot be drawn from the first "
                f"{learning_starts} steps: `learning_starts` must be at least {least}."
            )
        return {}

    def steps_needed(self, envs: int) -> int:
        return self.length * envs

    def draw(self, replay: UniformReplay, rng: np.random.Generator, updates: int) -> Transition:
        """Fields of shape [update, batch, time, ...], with `ends` [update, batch, 1, ...] for the observations."""
        return replay.sample_windows(rng, updates, self.batch_size, self.length, self.ends)


@dataclass(frozen=True)
class Rollout:
    """What an on-policy agent learns from: the last `steps` transitions over all environments, all by one policy.

    There is one update after every rollout, and the next one is collected with what it made of the policy. Steps that
    make up no whole rollout at the end of a run are collected, but nothing is learned from them.

    `context` rollouts before the last one come with it, for an agent that looks back, and the policy's carry is
    computed again from them, with its present parameters, before every rollout. Without a context the carry goes on.
    """

    steps: int
    least_envs: int = 1
    context: int | None = None
    on_policy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"A rollout needs at least 1 step, not {self.steps}.")

    @property
    def capacity(self) -> int:
        return self.steps * (1 + (self.context or 0))

    def loop(self, steps: int, envs: int, learning_starts: int) -> dict[str, int | float]:
        if envs < self.least_envs:
            raise UsageError(f"This agent needs `envs` of at least {self.least_envs}, as it is set, not {envs}.")
        if self.steps % envs:
            raise UsageError(f"A rollout of {self.steps} steps cannot be shared equally by {envs} environments.")
        if steps < self.steps:
            raise UsageError(f"With rollouts of {self.steps} steps `steps` must be at least that, not {steps}.")
        return {"chunk": self.steps // envs, "updates_per_step": 1 / self.steps, "learning_starts": 0}

    def steps_needed(self, envs: int) -> int:
        return self.steps

    def draw(self, replay: UniformReplay, rng: np.random.Generator, updates: int) -> Transition:
        """Fields of shape [1, time, env, ...]: there is never more than one update.

        Where a run has no rollouts before, the context is filled with zeros, cut off from what follows.
        """
        wanted = self.capacity // replay.envs
        rows = replay.last(min(wanted, len(replay) // replay.envs))
        missing = wanted - len(rows.reward)
        padded = Transition(*(np.concatenate([np.zeros((missing, *x.shape[1:]), x.dtype), x]) for x in rows))
        padded.truncated[:missing] = True
        return Transition(*(x[None] for x in padded))

    def recent(self, replay: UniformReplay) -> Transition | None:
        """The context of the rollout to come [time, env, ...], as much as there is; None without one."""
        if self.context is None:
            return None
        return replay.last(min(self.steps * self.context, len(replay)) // replay.envs)


def _check(batch_size: int, capacity: int) -> None:
    if batch_size < 1:
        raise UsageError(f"The batch size must be at least 1, not {batch_size}.")
    if capacity < batch_size:
        raise UsageError(f"The replay size {capacity} must be at least the batch size {batch_size}.")


def shared_by_envs(steps: int) -> int:
    """Return how many environments share a rollout of `steps` by default: at most 8, at least 64 steps each."""
    return max((n for n in range(1, 9) if steps % n == 0 and steps // n >= 64), default=1)
