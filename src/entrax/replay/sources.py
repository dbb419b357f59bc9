"""Batches from more than one source, for agents that learn from single transitions."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import jax
import numpy as np

from entrax.errors import UsageError
from entrax.spec import Transition


@runtime_checkable
class Source(Protocol):
    """A source of transitions: a replay, demonstrations, or another process.

    A draw depends on the generator and the stored transitions only, so that a checkpoint needs nothing else.
    """

    def __len__(self) -> int:
        """Return the number of stored transitions."""
        ...

    def sample(self, rng: np.random.Generator, batches: int, batch_size: int) -> Transition:
        """Draw transitions uniformly: fields of shape [batches, batch_size, ...].

        Transitions are drawn with replacement.
        """
        ...


class MixedSource:
    """A `Source` that draws each batch from several sources, in fixed shares.

    The shares of a batch are rounded by largest remainder. The share of an empty source goes to the others. Half
    demonstrations and half replay is the symmetric sampling of Ball et al. (2023), arXiv:2302.02948.

    Args:
        parts: the sources with their shares of a batch, which add up to 1.
    """

    def __init__(self, parts: Sequence[tuple[Source, float]]):
        shares = [share for _, share in parts]
        if not parts or min(shares) <= 0 or abs(sum(shares) - 1.0) > 1e-9:
            raise UsageError(f"The shares of sources must be positive and add up to 1, got {shares}.")
        self.parts = tuple(parts)

    def __len__(self) -> int:
        return sum(len(source) for source, _ in self.parts)

    def sample(self, rng: np.random.Generator, batches: int, batch_size: int) -> Transition:
        """Draw [batches, batch_size, ...], one source after the other.

        Raises ValueError if all sources are empty.
        """
        filled = [(source, share) for source, share in self.parts if len(source)]
        if not filled:
            raise ValueError("all sources are empty")
        counts = _rounded([share for _, share in filled], batch_size)
        drawn = [source.sample(rng, batches, n) for (source, _), n in zip(filled, counts, strict=True) if n]
        return jax.tree.map(lambda *fields: np.concatenate(fields, axis=1), *drawn)


def _rounded(shares: Sequence[float], total: int) -> list[int]:
    """Round shares of `total` to integers with that sum, by largest remainder."""
    exact = np.asarray(shares) / sum(shares) * total
    counts = np.floor(exact).astype(int)
    for i in np.argsort(counts - exact, kind="stable")[: total - counts.sum()]:
        counts[i] += 1
    return counts.tolist()
