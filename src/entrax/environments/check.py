"""The check of an environment before training: two short random episodes."""

from typing import NamedTuple

import numpy as np

from entrax.environments.make import make_pool
from entrax.environments.pool import Pool, PoolStep
from entrax.environments.seeds import episode_seed
from entrax.environments.source import EnvSource
from entrax.environments.spaces import random_allowed_actions, rescale
from entrax.spec import Spec

MOST_STEPS = 200
REPEATED_STEPS = 20


class CheckedEnvironment(NamedTuple):
    """The environment's spec, and warnings of what does not prevent training.

    `source` records whether only this process can make the environment.
    """

    source: EnvSource
    spec: Spec
    warnings: tuple[str, ...]


def check_environment(
    source: EnvSource, seed: int, *, workers: int | None = None, step_timeout: float | None = None
) -> CheckedEnvironment:
    """Check an environment by two short random episodes.

    Resets it twice with one seed, takes at most 200 random steps, and repeats the first 20 of them. The environment
    runs in a worker process, where it can crash or hang without harm, unless it cannot be made there.

    Args:
        source: the environment.
        seed: seed of the episode and the actions.
        workers: as for `make_pool`; 0 keeps the environment in this process.
        step_timeout: seconds that a reset or a step may take.

    Raises:
        EntraxError: if the environment cannot be made or its spaces are not supported.
        EnvironmentFault: if the environment misbehaves.
    """
    warnings: list[str] = []
    with make_pool(source, 1, 0 if workers == 0 else 1, step_timeout, warn=warnings.append) as pool:
        warnings += _warnings(pool, seed)
        return CheckedEnvironment(pool.source, pool.spec, tuple(warnings))


def _warnings(pool: Pool, seed: int) -> list[str]:
    episode = episode_seed(seed, 0, 0, stream="check")
    first, steps = _episode(pool, episode, np.random.default_rng(seed), MOST_STEPS)
    again = pool.reset_many({0: episode})[0]
    _, repeated = _episode(pool, episode, np.random.default_rng(seed), min(REPEATED_STEPS, len(steps)))
    warnings = []
    if pool.traits.learners:
        warnings.append(
            f"{' and '.join(pool.traits.learners)} in the environment keeps running statistics. Evaluation starts with "
            "new ones, so its returns and the best checkpoint are wrong. Remove it; `normalise_obs` learns in training "
            "only and is saved with the policy."
        )
    elif not np.array_equal(first, again):
        warnings.append(
            "reset(seed) gave two different observations for one seed: runs will not be reproducible. If a wrapper "
            "keeps running statistics, evaluations and the best checkpoint are wrong, too: use `normalise_obs` instead."
        )
    elif not all(map(_same, steps, repeated)):
        warnings.append(
            "One seed and the same actions gave different observations or rewards the second time: the environment "
            "remembers earlier episodes or has noise of its own, so runs and evaluations will not be reproducible."
        )
    if pool.traits.time_limit is None and not steps[-1].truncated[0]:
        warnings.append(
            "The environment has no known time limit. Evaluation cuts off very long episodes; "
            "`max_episode_steps` sets a limit for training and evaluation."
        )
    return warnings


def _episode(pool: Pool, seed: int, rng: np.random.Generator, most_steps: int) -> tuple[np.ndarray, list[PoolStep]]:
    """Return the first observation of the episode of `seed`, and its steps under random actions until it ends."""
    first = pool.reset_many({0: seed})[0]
    steps: list[PoolStep] = []
    for _ in range(most_steps):
        obs = steps[-1].next_obs if steps else first[None]
        steps.append(pool.step(rescale(pool.spec.action, random_allowed_actions(pool.spec, rng, obs))))
        if steps[-1].terminated[0] or steps[-1].truncated[0]:
            break
    return first, steps


def _same(one: PoolStep, other: PoolStep) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))
