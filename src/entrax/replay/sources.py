"""Batches from more than one source, for agents that learn from single transitions."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from entrax.errors import UsageError
from entrax.spec import Transition


@runtime_checkable
class Source(Protocol):
    """Something to draw transitions from: a replay, demonstrations, what another process collects.

    A draw is a function of the generator and of what is stored, so a checkpoint needs no more than its rows.
    """

    def __len__(self) -> int:
        """Return how many transitions are stored."""
        ...

    def sample(self, rng: np.random.Generator, batches: int, batch_size: int) -> Transition:
        """Return uniform draws, with replacement: fields of shape [batches, batch_size, ...]."""
        ...


class MixedSource:
    """Draws each batch from several sources, in fixed shares; itself a `Source`.

    Args:
        parts: each source with its share of a batch; the shares add up to 1.

    The numbers of transitions are the shares rounded by largest remainder, so that they add up to the batch. A source
    that is still empty leaves its share to the others. Half a batch from demonstrations and half from the replay is
    the symmetric sampling of Ball et al. 2023, arXiv:2302.02948.
    """

    def __init__(self, parts: Sequence[tuple[Source, float]]):
        shares = [share for _, share in parts]
        if not parts or min(shares) <= 0 or abs(sum(shares) - 1.0) > 1e-9:
            raise UsageError(f"The shares of sources must be positive and add up to 1, got {shares}.")
        self.parts = tuple(parts)

    def __len__(self) -> int:
        return sum(len(source) for source, _ in self.parts)

    def sample(self, rng: np.random.Generator, batches: int, batch_size: int) -> Transition:
        """Return draws [batches, batch_size, ...], those of each source side by side in the order of the parts.

        Raises ValueError if nothing is stored anywhere.
        """
        filled = [(source, share) for source, share in self.parts if len(source)]
        if not filled:
            raise ValueError("Nothing has been stored yet.")
        counts = _rounded([share for _, share in filled], batch_size)
        drawn = [source.sample(rng, batches, n) for (source, _), n in zip(filled, counts, strict=True) if n]
        return Transition(*(np.concatenate(fields, axis=1) for fields in zip(*drawn, strict=True)))


def _rounded(shares: Sequence[float], total: int) -> list[int]:
    """Return whole numbers that add up to `total`, in proportion to the shares, by largest remainder."""
    exact = np.asarray(shares) / sum(shares) * total
    counts = np.floor(exact).astype(int)
    for i in np.argsort(counts - exact, kind="stable")[: total - counts.sum()]:
        counts[i] += 1
    return counts.tolist()
