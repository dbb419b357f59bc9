"""Returns of a policy, from episodes in parallel environments whose number does not change the result."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int32, Num

from entrax.environments.make import make_pool
from entrax.environments.pool import Pool
from entrax.environments.seeds import Stream, episode_seed
from entrax.environments.source import EnvSource
from entrax.errors import UsageError, say
from entrax.programs import release_programs

Act = Callable[
    [Num[np.ndarray, "env obs"], Int32[np.ndarray, " env"], Int32[np.ndarray, " env"]],
    Float[np.ndarray, "env action"],
]
"""Returns actions in the environment's bounds, from observations, each row's episode and the step within the episode.

A sampling policy derives its random key from episode and step, so that returns do not depend on the number of rows.
"""


UNKNOWN_LIMIT = 10_000
"""The longest episode, in steps, of an environment without a known time limit."""
GREATEST_LIMIT = 100_000
"""The longest episode, in steps, of any environment: longer ones take too long to evaluate."""


@dataclass(frozen=True)
class EvaluationResult:
    """Undiscounted returns and lengths in the order of the episodes.

    `std` is the population standard deviation.
    """

    mean: float
    std: float
    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    policy: Literal["mode", "sampled"]
    success_rate: float | None = None
    """The share of episodes that end in success by `info["is_success"]` or `info["success"]`; None if not reported."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with the number of `episodes`.

        `success_rate` is left out if it is not known.
        """
        record = asdict(self)
        record |= {"returns": list(self.returns), "lengths": list(self.lengths), "episodes": len(self.returns)}
        return {name: value for name, value in record.items() if name != "success_rate" or value is not None}


def evaluate(
    act: Act,
    source: EnvSource,
    *,
    episodes: int,
    seed: int,
    policy: Literal["mode", "sampled"],
    stream: Stream = "evaluation",
    envs: int | None = None,
    workers: int | None = None,
    step_timeout: float | None = None,
    pool: Pool | None = None,
    progress: Callable[[int, int], None] | None = None,
    max_length: int | None = None,
    seeds: Sequence[int] | None = None,
    warn: Callable[[str], None] = say,
) -> EvaluationResult:
    """Play whole episodes and return their undiscounted returns.

    The seed of episode e follows from `seed`, `stream` and e alone, whichever row plays it. `act` always gets one row
    for each environment of the pool, so that a compiled one is compiled once; rows without a further episode play one
    that is not counted.

    Args:
        act: the policy.
        source: the environment.
        episodes: the number of episodes.
        seed: seed of the episodes.
        policy: what `act` returns, for the record: the policy's mode or sampled actions.
        stream: "selection" for episodes that choose among policies, whose seeds differ from "evaluation".
        envs: environments at once; by default one for each episode, at most 10.
        workers, step_timeout: as for `make_pool`.
        pool: the environments to use, which stay open; by default new ones are made.
        progress: called as `progress(done, episodes)` after each episode.
        max_length: steps after which an episode is cut off with a warning; by default the environment's own limit, at
            most 100,000, or 10,000 if no limit is known.
        seeds: replaces the seeds of the episodes: one for each episode and at least one for each row.
        warn: called with the text of a warning.

    Raises:
        UsageError: for fewer than one episode or environment.
    """
    if episodes < 1 or (envs is not None and envs < 1):
        raise UsageError(f"An evaluation requires at least one episode and one environment, got {episodes} and {envs}.")
    with ExitStack() as stack:
        if pool is None:
            count = min(episodes, 10) if envs is None else envs
            stack.callback(release_programs)
            pool = stack.enter_context(make_pool(source, count, workers, step_timeout))
        if seeds is None:
            seeds = [episode_seed(seed, episode, 0, stream) for episode in range(max(episodes, pool.count))]
        if max_length is None:
            max_length = min(pool.traits.time_limit or UNKNOWN_LIMIT, GREATEST_LIMIT)
        returns, lengths, success, cut = _play(act, pool, seeds, episodes, progress, max_length)
    if cut:
        warn(
            f"Episodes of an evaluation were cut off after {max_length:,} steps. Give the environment a time limit: "
            "`env_args={'max_episode_steps': 1000}` for an id of Gymnasium, else gymnasium.wrappers.TimeLimit."
        )
    return EvaluationResult(
        mean=float(np.mean(returns)),
        std=float(np.std(returns)),
        returns=tuple(float(value) for value in returns),
        lengths=tuple(int(value) for value in lengths),
        policy=policy,
        success_rate=None if np.isnan(success).any() else float(success.mean()),
    )


def _play(
    act: Act,
    pool: Pool,
    seeds: Sequence[int],
    episodes: int,
    progress: Callable[[int, int], None] | None,
    max_length: int,
) -> tuple[Float[np.ndarray, " episode"], Int32[np.ndarray, " episode"], Float[np.ndarray, " episode"], bool]:
    """Return the returns, lengths and successes of the episodes, and whether one of them was cut off."""
    started, any_cut_off = pool.count, False
    returns, lengths, finished = np.zeros(len(seeds)), np.zeros(len(seeds), np.int32), np.zeros(len(seeds), bool)
    success = np.full(len(seeds), np.nan)
    episode, t = np.arange(started, dtype=np.int32), np.zeros(started, np.int32)  # of each row
    obs = np.zeros((started, pool.spec.obs_size), pool.spec.obs_dtype)
    _reset(pool, obs, {row: seeds[row] for row in range(started)})
    while not finished[:episodes].all():
        counted = ~finished[episode]
        step = pool.step(act(obs, episode.copy(), t))
        returns[episode] += np.where(counted, step.reward, 0.0)
        lengths[episode] += counted
        success[episode] = np.where(counted, step.success, success[episode])
        obs = step.next_obs.copy()
        over, long = step.terminated | step.truncated, t + 1 >= max_length
        any_cut_off |= bool((long & ~over & counted & (episode < episodes)).any())
        ended = np.flatnonzero(over | long)
        t = np.where(over | long, 0, t + 1).astype(np.int32)
        before, finished[episode[ended]] = int(finished[:episodes].sum()), True
        if progress is not None:
            for done in range(before, int(finished[:episodes].sum())):
                progress(done + 1, episodes)
        for row in ended:
            if started < episodes:
                episode[row], started = started, started + 1
        if not finished[:episodes].all():
            _reset(pool, obs, {int(row): seeds[episode[row]] for row in ended})
    return returns[:episodes], lengths[:episodes], success[:episodes], any_cut_off


def _reset(pool: Pool, obs: Num[np.ndarray, "env obs"], seeds: dict[int, int]) -> None:
    """Begin an episode in each row of `seeds` and write its first observation into `obs`."""
    if seeds:
        for row, first in pool.reset_many(seeds).items():
            obs[row] = first
