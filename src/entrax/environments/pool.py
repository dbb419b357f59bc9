"""Several environments behind one interface, and the pool that steps them in this process."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Num

from entrax.environments.messages import Picture
from entrax.environments.slot import Replayed, Slot
from entrax.environments.source import EnvSource
from entrax.environments.traits import Traits
from entrax.errors import EntraxError
from entrax.spec import Spec


class PoolStep(NamedTuple):
    """One step of every environment, in new arrays.

    `next_obs` is the true successor, also at the end of an episode.
    """

    next_obs: Num[np.ndarray, "env obs"]
    reward: Float[np.ndarray, " env"]
    terminated: Bool[np.ndarray, " env"]
    truncated: Bool[np.ndarray, " env"]
    success: Float[np.ndarray, " env"]  # 1 or 0, NaN if the environment does not report it


@runtime_checkable
class Pool(Protocol):
    """`count` environments of `source`.

    Nothing resets automatically: the caller gives every episode its seed. Actions are flat and in the environment's own
    bounds. All methods raise EnvironmentFault when an environment misbehaves.
    """

    source: EnvSource
    spec: Spec
    traits: Traits
    count: int

    def reset_many(self, seeds: Mapping[int, int]) -> dict[int, Num[np.ndarray, " obs"]]:
        """Start the episodes `{environment: seed}` and return their first observations."""
        ...

    def step(self, actions: Float[np.ndarray, "env action"]) -> PoolStep:
        """Step every environment: `send`, then `receive`."""
        ...

    def send(self, actions: Float[np.ndarray, "env action"]) -> None:
        """Start a step of every environment; with workers, return before it is done."""
        ...

    def receive(self) -> PoolStep:
        """Return the result of the step that `send` started."""
        ...

    def replay(self, index: int, seed: int, actions: Float[np.ndarray, "t action"]) -> Replayed:
        """Repeat the episode of `seed` under these actions, to continue from there."""
        ...

    def render(self, index: int) -> Picture:
        """Draw an environment of a pool that was made with a `render_mode`."""
        ...

    def restart(self, index: int) -> set[int]:
        """Replace an environment, in a new process if its own has ended.

        Returns the environments that must be reset or replayed next: `index`, and the others of an ended process.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> "Pool": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LocalPool:
    """Environments in this process, stepped one after the other."""

    def __init__(self, source: EnvSource, count: int, render_mode: str | None = None):
        self.source = source
        self.slots: list[Slot] = []
        try:
            for index in range(count):
                self.slots.append(Slot(source, index, render_mode))
            check_alike([slot.spec for slot in self.slots])
        except BaseException:
            self.close()
            raise
        self.spec, self.traits, self.count = self.slots[0].spec, self.slots[0].traits, count

    def reset_many(self, seeds: Mapping[int, int]) -> dict[int, Num[np.ndarray, " obs"]]:
        return {index: self.slots[index].reset(seed) for index, seed in seeds.items()}

    def step(self, actions: Float[np.ndarray, "env action"]) -> PoolStep:
        steps = [slot.step(action) for slot, action in zip(self.slots, actions, strict=True)]
        next_obs, reward, terminated, truncated, success = zip(*steps, strict=True)
        return PoolStep(
            next_obs=np.stack(next_obs),
            reward=np.array(reward, np.float32),
            terminated=np.array(terminated, np.bool_),
            truncated=np.array(truncated, np.bool_),
            success=np.array(success, np.float32),
        )

    def send(self, actions: Float[np.ndarray, "env action"]) -> None:
        self._result = self.step(actions)

    def receive(self) -> PoolStep:
        return self._result

    def replay(self, index: int, seed: int, actions: Float[np.ndarray, "t action"]) -> Replayed:
        return self.slots[index].replay(seed, actions)

    def render(self, index: int) -> Picture:
        return self.slots[index].render()

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
    """Raise EntraxError if the environments of a pool differ in their spaces."""
    for index, spec in enumerate(specs):
        if spec != specs[0]:
            raise EntraxError(f"Environment {index} has other observations or actions than environment 0.")
