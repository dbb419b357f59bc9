"""The returns of a policy, from episodes that run in parallel and yet do not depend on how many run at once."""

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
"""Actions in the environment's bounds, from observations, each row's episode and its step within the episode.

A policy that samples takes its random key from episode and step, so that its returns don't depend on the rows either.
"""


UNKNOWN_LIMIT = 10_000
"""Steps of an episode of an environment that has no known time limit."""
GREATEST_LIMIT = 100_000
"""Steps of any episode: what is longer by the environment's own limit would take too long to evaluate."""


@dataclass(frozen=True)
class Evaluation:
    """Undiscounted returns and lengths in the order of the episodes; `std` is the population's, over the episodes."""

    mean: float
    std: float
    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    policy: Literal["mode", "sampled"]
    success_rate: float | None = None
    """Share of the episodes whose last `info` says `is_success` or `success`; None where an episode says neither."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys mean, std, episodes, returns, lengths, policy, and success_rate if it is known."""
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
) -> Evaluation:
    """Play `episodes` whole episodes; episode e is seeded by `seed`, `stream` and e alone, whichever row plays it.

    `policy` says what `act` does, for the record. `envs` environments run at once (by default one for each episode up
    to 10) in a pool of `workers`, or in the given `pool`, which is left open for the next evaluation. `act` always
    gets as many rows as the pool has, so that a compiled one is compiled once; rows that have run out of episodes
    play one that is not counted. `progress(done, episodes)` is called after each episode. Episodes that choose among
    policies take another `stream` of seeds ("selection") than those that measure the chosen one. `seeds` replaces the
    episodes' own, one for each episode and at least one for each row.

    An episode is cut off after `max_length` steps, and `warn` gets a message. By default that is the environment's own
    limit, at most 100,000, or 10,000 where no limit is known.

    Raises EntraxError for fewer than one episode or environment.
    """
    if episodes < 1 or (envs is not None and envs < 1):
        raise UsageError(f"An evaluation needs at least one episode and one environment, not {episodes} and {envs}.")
    with ExitStack() as stack:
        if pool is None:
            count = min(episodes, 10) if envs is None else envs
            stack.callback(release_programs)
            pool = stack.enter_context(make_pool(source, count, workers, step_timeout))
        # Rows beyond the episodes play too, and are cut off at the end.
        if seeds is None:
            seeds = [episode_seed(seed, episode, 0, stream) for episode in range(max(episodes, pool.count))]
        if max_length is None:
            max_length = min(pool.traits.time_limit or UNKNOWN_LIMIT, GREATEST_LIMIT)
        returns, lengths, success, cut = _play(act, pool, seeds, episodes, progress, max_length)
    if cut:
        warn(
            f"Episodes of an evaluation were cut off after {max_length:,} steps: they had not ended. Give the "
            "environment a time limit, such as `max_episode_steps=1000`."
        )
    return Evaluation(
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
    """Returns, lengths and successes of the episodes, and whether one of them was cut off."""
    begun, any_cut = pool.count, False
    returns, lengths, finished = np.zeros(len(seeds)), np.zeros(len(seeds), np.int32), np.zeros(len(seeds), bool)
    success = np.full(len(seeds), np.nan)
    episode, t = np.arange(begun, dtype=np.int32), np.zeros(begun, np.int32)  # what each row plays, and how far it is
    obs = np.zeros((begun, pool.spec.obs_size), pool.spec.obs_dtype)
    _reset(pool, obs, {row: seeds[row] for row in range(begun)})
    while not finished[:episodes].all():
        counted = ~finished[episode]
        step = pool.step(act(obs, episode.copy(), t))
        returns[episode] += np.where(counted, step.reward, 0.0)
        lengths[episode] += counted
        success[episode] = np.where(counted, step.success, success[episode])
        obs = step.next_obs.copy()
        over, long = step.terminated | step.truncated, t + 1 >= max_length
        any_cut |= bool((long & ~over & counted & (episode < episodes)).any())
        ended = np.flatnonzero(over | long)
        t = np.where(over | long, 0, t + 1).astype(np.int32)
        before, finished[episode[ended]] = int(finished[:episodes].sum()), True
        if progress is not None:
            for done in range(before, int(finished[:episodes].sum())):
                progress(done + 1, episodes)
        for row in ended:
            if begun < episodes:
                episode[row], begun = begun, begun + 1
        if not finished[:episodes].all():
            _reset(pool, obs, {int(row): seeds[episode[row]] for row in ended})
    return returns[:episodes], lengths[:episodes], success[:episodes], any_cut


def _reset(pool: Pool, obs: Num[np.ndarray, "env obs"], seeds: dict[int, int]) -> None:
    """Begin an episode in the rows of `seeds`, and write what they observe into `obs`."""
    if seeds:
        for row, first in pool.reset_many(seeds).items():
            obs[row] = first
