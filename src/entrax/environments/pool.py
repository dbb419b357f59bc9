"""Many environments behind one interface, stepped in this process or in workers."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Num

from entrax.environments.slot import Replayed, Slot
from entrax.environments.source import EnvSource
from entrax.environments.traits import Traits
from entrax.errors import EntraxError
from entrax.spec import Spec


class Step(NamedTuple):
    """What every environment answered, in fresh arrays. `next_obs` is the true successor, also of an episode's end."""

    next_obs: Num[np.ndarray, "env obs"]
    reward: Float[np.ndarray, " env"]
    terminated: Bool[np.ndarray, " env"]
    truncated: Bool[np.ndarray, " env"]
    success: Float[np.ndarray, " env"]  # 1 or 0, NaN where the environment does not say


@runtime_checkable
class Pool(Protocol):
    """`count` environments that `source` makes. Nothing resets by itself: the caller gives every episode its seed.

    Actions are flat and in the environment's own bounds. All methods raise EnvironmentFault when an environment
    misbehaves.
    """

    source: EnvSource
    spec: Spec
    traits: Traits
    count: int

    def reset_many(self, seeds: Mapping[int, int]) -> dict[int, Num[np.ndarray, " obs"]]:
        """Start the episodes `{environment: seed}`; their first observations."""
        ...

    def step(self, actions: Float[np.ndarray, "env action"]) -> Step:
        """One step of every environment: `send`, then `receive`."""
        ...

    def send(self, actions: Float[np.ndarray, "env action"]) -> None:
        """Begin a step of every environment, in workers without waiting for it."""
        ...

    def receive(self) -> Step:
        """The outcome of the step that `send` began."""
        ...

    def replay(self, index: int, seed: int, actions: Float[np.ndarray, "t action"]) -> Replayed:
        """Repeat an episode up to these actions, so that it goes on from there."""
        ...

    def restart(self, index: int) -> set[int]:
        """Make an environment anew, in a new process if its own is gone.

        Returns the environments that must be reset or replayed next: `index`, and those that lost that process too.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> "Pool": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LocalPool:
    """Environments of this process, stepped one after the other."""

    def __init__(self, source: EnvSource, count: int):
        self.source = source
        self.slots: list[Slot] = []
        try:
            for index in range(count):
                self.slots.append(Slot(source, index))
            check_alike([slot.spec for slot in self.slots])
        except BaseException:
            self.close()
            raise
        self.spec, self.traits, self.count = self.slots[0].spec, self.slots[0].traits, count

    def reset_many(self, seeds: Mapping[int, int]) -> dict[int, Num[np.ndarray, " obs"]]:
        return {index: self.slots[index].reset(seed) for index, seed in seeds.items()}

    def step(self, actions: Float[np.ndarray, "env action"]) -> Step:
        outcomes = [slot.step(action) for slot, action in zip(self.slots, actions, strict=True)]
        next_obs, reward, terminated, truncated, success = zip(*outcomes, strict=True)
        return Step(
            next_obs=np.stack(next_obs),
            reward=np.array(reward, np.float32),
            terminated=np.array(terminated, np.bool_),
            truncated=np.array(truncated, np.bool_),
            success=np.array(success, np.float32),
        )

    def send(self, actions: Float[np.ndarray, "env action"]) -> None:
        self._outcome = self.step(actions)

    def receive(self) -> Step:
        return self._outcome

    def replay(self, index: int, seed: int, actions: Float[np.ndarray, "t action"]) -> Replayed:
        return self.slots[index].replay(seed, actions)

    def restart(self, index: int) -> set[int]:
        self.slots[index].restart()
        return {index}

    def close(self) -> None:
        for slot in self.slots:
            slot.close()

    def __enter__(self) -> "LocalPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_alike(specs: Sequence[Spec]) -> None:
    """Raises EntraxError when the environments of a pool differ in their spaces."""
    for index, spec in enumerate(specs):
        if spec != specs[0]:
            raise EntraxError(f"Environment {index} has other observations or actions than environment 0.")
