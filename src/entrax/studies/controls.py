"""Small problems with known answers, for the positive controls of studies."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from entrax.problems import FiniteMDP


def one_decision(rewards: Sequence[float] | Float[np.ndarray, " action"]) -> FiniteMDP:
    """Return a problem of one state that ends after any action with its reward."""
    reward = np.asarray(rewards, float)[None]
    ends = np.broadcast_to([0.0, 1.0], (1, reward.shape[1], 2))
    return FiniteMDP.from_dense(ends, reward, discount=0.5)
