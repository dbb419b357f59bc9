"""How much of its return a policy keeps as the world around it changes.

Every condition (a family of perturbation at a severity, or other arguments of the environment) is played with the same
episodes: episode e starts from the same seed in each of them, and perturbations of one family differ in size only. All
conditions share one pool, so that they run side by side.

The area under a family's curve is that of the normalised return over severity,

    n(s) = 1 + (R(s) - R(0)) / |R(0)|        which is R(s)/R(0) where the unperturbed return R(0) is positive,

by the trapezoidal rule, divided by the largest severity: 1 for a policy that loses nothing. Intervals are percentile
bootstraps over episodes, resampled in all conditions together: they tell how sure this policy's returns are, and
nothing of what another seed of training would give.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from entrax.environments.faults import EnvironmentFault
from entrax.environments.make import make_pool
from entrax.environments.perturb import CONDITION_SEEDS, FAMILIES, Conditions, family_named, inapplicable
from entrax.environments.seeds import episode_seed
from entrax.environments.source import EnvSource
from entrax.environments.spaces import spec_of
from entrax.errors import UsageError
from entrax.evaluation.episodes import Act, evaluate

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
ROWS, EPISODES_OF_ROW = 32, 4
"""Environments that are stepped at once, unless another number is asked for, and fewer when each would have fewer
episodes than this: they take time to make."""
RESAMPLES, TAIL = 2000, 2.5  # of the bootstrap; per cent beyond either end of an interval


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcome(Interval):
    """Undiscounted returns and lengths of the episodes under one condition, and the mean return."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Stress:
    """What a policy returns as the world changes.

    `families` has an outcome for each of `levels`, the first of which is 0 and the unperturbed one. An area is None
    where the unperturbed return cannot be told from 0. `skipped` says why a family was left out. `seconds` are those
    of playing all `steps`.
    """

    policy: Literal["mode", "sampled"]
    episodes: int
    levels: tuple[float, ...]
    unperturbed: Outcome
    families: dict[str, tuple[Outcome, ...]]
    areas: dict[str, Interval | None]
    variants: dict[str, Outcome]
    skipped: dict[str, str]
    steps: int
    seconds: float = field(compare=False)

    def to_json(self) -> dict[str, Any]:
        """Plain data; `severe` says for each family what severity 1 is."""
        record = asdict(self)
        clock = {"seconds": record.pop("seconds"), "seconds_per_step": self.seconds / self.steps}
        return record | {"severe": {name: FAMILIES[name].severe for name in self.families}, "time": clock}


def stress(
    act: Act,
    source: EnvSource,
    *,
    seed: int,
    policy: Literal["mode", "sampled"],
    families: Sequence[str] | None = None,
    levels: Sequence[float] = LEVELS,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    episodes: int = 10,
    envs: int | None = None,
    workers: int | None = None,
    step_timeout: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Stress:
    """Play `episodes` episodes of `act` under every condition.

    Args:
        act: the policy, as `evaluate` takes it; it is told the number of the episode within its condition.
        source: the environment of the unperturbed episodes.
        seed: of the episodes.
        policy: what `act` does, for the record.
        families: which to try, by default all of `FAMILIES`; those that don't apply are skipped and listed.
        levels: the severities; 0, the unperturbed environment, is always among them.
        variants: further conditions by name: arguments of the environment that differ.
        episodes: in each condition.
        envs: environments at once, by default up to 32.
        workers: processes, as `make_pool` takes them, and
        step_timeout: the seconds that a reset or a step in one of them may take.
        progress: called as `progress(episodes done, episodes of all conditions)`.

    Raises EntraxError for an unknown family, a level out of range, a variant with other spaces, when no family applies
    and there is no variant, and when the environment misbehaves under a condition.
    """
    levels = _checked_levels(levels)
    chosen, skipped = _applicable(source, families)
    variants = variants or {}
    _check_variants(source, variants)
    if not chosen and not variants:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise UsageError(f"None of these perturbations applies to {source.id} ({reasons}).")
    listed: list[dict[str, Any]] = [{"severities": {}}]
    listed += [{"severities": {name: level}} for name in chosen for level in levels[1:]]
    listed += [{"env_args": dict(arguments)} for arguments in variants.values()]
    started = time.perf_counter()
    returns, lengths = _play(act, source, listed, episodes, seed, policy, envs, workers, step_timeout, progress)
    seconds = time.perf_counter() - started
    outcomes, resampled = _outcomes(returns, lengths)
    worse = len(levels) - 1
    of_family = {name: [0, *range(1 + n * worse, 1 + (n + 1) * worse)] for n, name in enumerate(chosen)}
    means = returns.mean(axis=1)
    return Stress(
        policy=policy,
        episodes=episodes,
        levels=levels,
        unperturbed=outcomes[0],
        families={name: tuple(outcomes[number] for number in numbers) for name, numbers in of_family.items()},
        areas={
            name: _area(np.array(levels), means[numbers], resampled[numbers]) for name, numbers in of_family.items()
        },
        variants=dict(zip(variants, outcomes[len(outcomes) - len(variants) :], strict=True)),
        skipped=skipped,
        steps=int(lengths.sum()),
        seconds=seconds,
    )


def _play(
    act: Act,
    source: EnvSource,
    listed: list[dict[str, Any]],
    episodes: int,
    seed: int,
    policy: Literal["mode", "sampled"],
    envs: int | None,
    workers: int | None,
    step_timeout: float | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Float[np.ndarray, "condition episode"], Float[np.ndarray, "condition episode"]]:
    """All episodes of all conditions as one evaluation."""
    if episodes < 1 or (envs is not None and envs < 1):
        raise UsageError(f"A stress test needs at least one episode and one environment, not {episodes} and {envs}.")
    total = len(listed) * episodes
    own = [episode_seed(seed, episode, 0, "evaluation") for episode in range(episodes)]
    seeds = [number * CONDITION_SEEDS + start for number in range(len(listed)) for start in own]
    try:
        rows = min(total, envs if envs is not None else min(ROWS, -(-total // EPISODES_OF_ROW)))
        with make_pool(_batch(source, listed), rows, workers, step_timeout) as pool:
            played = evaluate(
                lambda obs, episode, t: act(obs, (episode % episodes).astype(np.int32), t),
                source,
                episodes=total,
                seed=seed,
                policy=policy,
                pool=pool,
                progress=progress,
                seeds=seeds,
            )
    except EnvironmentFault as fault:
        number, start = divmod(fault.seed or 0, CONDITION_SEEDS)
        raise EnvironmentFault(fault.index, start, fault.step, f"under {listed[number]} {fault.cause}") from fault
    return np.reshape(played.returns, (-1, episodes)), np.reshape(np.array(played.lengths, float), (-1, episodes))


def _batch(source: EnvSource, listed: list[dict[str, Any]]) -> EnvSource:
    """The environment that can be reset into each of the conditions; it importable if `source` does."""
    if source.importable:
        sent = {"source": source.to_process(), "conditions": listed}
        batch = EnvSource("entrax.environments.perturb:conditions", sent)
        if batch.importable:
            return batch
    return replace(source, kwargs={}, factory=partial(Conditions, source, listed))


def _outcomes(
    returns: Float[np.ndarray, "condition episode"], lengths: Float[np.ndarray, "condition episode"]
) -> tuple[list[Outcome], Float[np.ndarray, "condition resample"]]:
    """Of each condition; and its mean return in every bootstrap resample, the same episodes in all conditions."""
    count = returns.shape[1]
    picks = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    resampled = returns[:, picks].mean(axis=2)
    low, high = np.percentile(resampled, [TAIL, 100.0 - TAIL], axis=1)
    outcomes = [
        Outcome(
            mean=float(returns[number].mean()),
            low=float(low[number]),
            high=float(high[number]),
            returns=tuple(returns[number].tolist()),
            lengths=tuple(int(length) for length in lengths[number]),
        )
        for number in range(len(returns))
    ]
    return outcomes, resampled


def _area(
    levels: Float[np.ndarray, " level"],
    means: Float[np.ndarray, " level"],
    resampled: Float[np.ndarray, "level resample"],
) -> Interval | None:
    """The normalised area, as the module's docstring has it."""
    reference = np.percentile(resampled[0], [TAIL, 100.0 - TAIL])
    if reference[0] <= 0.0 <= reference[1]:
        return None

    def area(curve: Float[np.ndarray, "level *resample"]) -> Float[np.ndarray, "*resample"]:
        kept = 1.0 + (curve - curve[0]) / np.abs(curve[0])
        return np.asarray(np.trapezoid(kept, levels, axis=0) / levels[-1])

    low, high = np.percentile(area(resampled), [TAIL, 100.0 - TAIL])
    return Interval(mean=float(area(means)), low=float(low), high=float(high))


def _checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    if not levels or not all(0.0 <= level <= 1.0 for level in levels) or max(levels) == 0.0:
        raise UsageError(f"Levels are severities from 0 to 1, at least one of them above 0, not {list(levels)}.")
    return tuple(sorted({0.0, *map(float, levels)}))


def _applicable(source: EnvSource, families: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    """The families to play, and why the others of those asked for are not."""
    asked = list(FAMILIES) if families is None else list(dict.fromkeys(map(family_named, families)))
    env = source.make()
    reasons = inapplicable(env)
    env.close()
    return [name for name in asked if name not in reasons], {n: reasons[n] for n in asked if n in reasons}


def _check_variants(source: EnvSource, variants: Mapping[str, Mapping[str, Any]]) -> None:
    def spec_with(arguments: Mapping[str, Any]) -> Any:
        env = replace(source, kwargs=source.kwargs | dict(arguments)).make()
        spec = spec_of(env)
        env.close()
        return spec

    own = spec_with({}) if variants else None
    for name, arguments in variants.items():
        if spec_with(arguments) != own:
            raise UsageError(f"With {name} the environment has other observations or actions than the policy knows.")
