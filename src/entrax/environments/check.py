"""One random episode before training: what is wrong with an environment is better known before the first update."""

from typing import NamedTuple

import numpy as np

from entrax.environments.pool import LocalPool
from entrax.environments.seeds import episode_seed
from entrax.environments.source import EnvSource
from entrax.environments.spaces import rescale
from entrax.spec import Continuous, Discrete, MultiDiscrete, Spec

MOST_STEPS = 200


class Checked(NamedTuple):
    """The environment's spec, and what training can live with but the user should know."""

    spec: Spec
    warnings: tuple[str, ...]


def check_environment(source: EnvSource, seed: int) -> Checked:
    """Reset twice with one seed and take at most 200 random steps.

    Raises EntraxError when the environment cannot be made or its spaces cannot be taken, EnvironmentFault when it
    misbehaves.
    """
    rng = np.random.default_rng(seed)
    with LocalPool(source, 1) as pool:
        episode = episode_seed(seed, 0, 0, stream="check")
        first = pool.reset_many({0: episode})[0]
        again = pool.reset_many({0: episode})[0]
        for _ in range(MOST_STEPS):
            step = pool.step(_random_action(pool.spec, rng)[None])
            if step.terminated[0] or step.truncated[0]:
                break
        spec = pool.spec
    if np.array_equal(first, again):
        return Checked(spec, ())
    return Checked(spec, ("reset(seed) gave two different observations for one seed: runs will not be reproducible.",))


def _random_action(spec: Spec, rng: np.random.Generator) -> np.ndarray:
    match spec.action:
        case Continuous() as action:
            return rescale(action, rng.uniform(-1.0, 1.0, action.size).astype(np.float32))
        case Discrete() as action:
            return rng.integers(action.n, size=1).astype(np.float32)
        case MultiDiscrete() as action:
            return rng.integers(action.nvec).astype(np.float32)
