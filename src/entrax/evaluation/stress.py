"""Stress test of a policy: its return under perturbations of the environment.

A condition is a family of perturbations at one severity, or other arguments of the environment. All conditions play the
same episodes: episode e starts from the same seed in each, and perturbations of one family differ in size only. All
conditions share one pool and run side by side.

The area of a family is the normalised return over severity,

    n(s) = 1 + (R(s) - R(0)) / |R(0)|        which is R(s)/R(0) where the unperturbed return R(0) is positive,

integrated by the trapezoidal rule and divided by the largest severity: 1 for a policy that loses nothing. Intervals are
percentile bootstraps over episodes, with the same resamples in all conditions. They hold for this policy's returns, not
for another seed of training.
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
"""The default number of environments: at most `ROWS`, each with at least `EPISODES_OF_ROW` episodes."""
RESAMPLES, TAIL = 2000, 2.5  # bootstrap samples; per cent beyond either end of an interval


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class ConditionResult(Interval):
    """Returns and lengths of the episodes under one condition, and the mean return."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class StressResult:
    """The result of a stress test.

    `families` holds one result for each of `levels`, whose first is 0, the unperturbed environment. An area is None
    where the interval of the unperturbed return contains 0. `skipped` gives the reason for each family that does not
    apply. `seconds` is the wall-clock time of all `steps`.
    """

    policy: Literal["mode", "sampled"]
    episodes: int
    levels: tuple[float, ...]
    unperturbed: ConditionResult
    families: dict[str, tuple[ConditionResult, ...]]
    areas: dict[str, Interval | None]
    variants: dict[str, ConditionResult]
    skipped: dict[str, str]
    steps: int
    seconds: float = field(compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain data; `severe` describes severity 1 of each family."""
        record = asdict(self)
        clock = {"seconds": record.pop("seconds"), "seconds_per_step": self.seconds / self.steps}
        return record | {"severe": {name: FAMILIES[name].severe for name in self.families}, "time": clock}


def stress_test(
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
) -> StressResult:
    """Play episodes of a policy under every condition.

    Args:
        act: the policy, as for `evaluate`; its episode numbers count within each condition.
        source: the unperturbed environment.
        seed: seed of the episodes.
        policy: what `act` returns, for the record.
        families: the families to try, by default all of `FAMILIES`; those that do not apply are skipped.
        levels: the severities; 0, the unperturbed environment, is always added.
        variants: further conditions by name: the arguments of the environment that differ.
        episodes: episodes in each condition.
        envs: environments at once, by default at most 32.
        workers, step_timeout: as for `make_pool`.
        progress: called as `progress(done, episodes of all conditions)`.

    Raises:
        UsageError: for an unknown family, a level out of range, a variant with other spaces, or no condition.
        EnvironmentFault: if the environment misbehaves; the message names the condition.
    """
    levels = _checked_levels(levels)
    chosen, skipped = _applicable(source, families)
    variants = variants or {}
    _check_variants(source, variants)
    if not chosen and not variants:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise UsageError(f"None of these perturbations applies to {source.id} ({reasons}).")
    conditions: list[dict[str, Any]] = [{"severities": {}}]
    conditions += [{"severities": {name: level}} for name in chosen for level in levels[1:]]
    conditions += [{"env_args": dict(arguments)} for arguments in variants.values()]
    start_time = time.perf_counter()
    returns, lengths = _play(act, source, conditions, episodes, seed, policy, envs, workers, step_timeout, progress)
    seconds = time.perf_counter() - start_time
    results, resampled = _results(returns, lengths)
    perturbed = len(levels) - 1
    of_family = {name: [0, *range(1 + n * perturbed, 1 + (n + 1) * perturbed)] for n, name in enumerate(chosen)}
    means = returns.mean(axis=1)
    return StressResult(
        policy=policy,
        episodes=episodes,
        levels=levels,
        unperturbed=results[0],
        families={name: tuple(results[number] for number in numbers) for name, numbers in of_family.items()},
        areas={
            name: _area(np.array(levels), means[numbers], resampled[numbers]) for name, numbers in of_family.items()
        },
        variants=dict(zip(variants, results[len(results) - len(variants) :], strict=True)),
        skipped=skipped,
        steps=int(lengths.sum()),
        seconds=seconds,
    )


def _play(
    act: Act,
    source: EnvSource,
    conditions: list[dict[str, Any]],
    episodes: int,
    seed: int,
    policy: Literal["mode", "sampled"],
    envs: int | None,
    workers: int | None,
    step_timeout: float | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Float[np.ndarray, "condition episode"], Float[np.ndarray, "condition episode"]]:
    """Play all episodes of all conditions as one evaluation; return their returns and lengths."""
    if episodes < 1 or (envs is not None and envs < 1):
        raise UsageError(f"A stress test requires at least one episode and one environment, got {episodes} and {envs}.")
    total = len(conditions) * episodes
    own = [episode_seed(seed, episode, 0, "evaluation") for episode in range(episodes)]
    seeds = [number * CONDITION_SEEDS + start for number in range(len(conditions)) for start in own]
    try:
        rows = min(total, envs if envs is not None else min(ROWS, -(-total // EPISODES_OF_ROW)))
        with make_pool(_batch(source, conditions), rows, workers, step_timeout) as pool:
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
        raise EnvironmentFault(fault.index, start, fault.step, f"under {conditions[number]} {fault.cause}") from fault
    return np.reshape(played.returns, (-1, episodes)), np.reshape(np.array(played.lengths, float), (-1, episodes))


def _batch(source: EnvSource, conditions: list[dict[str, Any]]) -> EnvSource:
    """Return an environment that can be reset into each of the conditions, importable if `source` is."""
    if source.importable:
        sent = {"source": source.to_process(), "conditions": conditions}
        batch = EnvSource("entrax.environments.perturb:conditions", sent)
        if batch.importable:
            return batch
    return replace(source, kwargs={}, factory=partial(Conditions, source, conditions))


def _results(
    returns: Float[np.ndarray, "condition episode"], lengths: Float[np.ndarray, "condition episode"]
) -> tuple[list[ConditionResult], Float[np.ndarray, "condition resample"]]:
    """Return the result of each condition, and its mean return in every bootstrap resample of the episodes."""
    count = returns.shape[1]
    picks = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    resampled = returns[:, picks].mean(axis=2)
    low, high = np.percentile(resampled, [TAIL, 100.0 - TAIL], axis=1)
    results = [
        ConditionResult(
            mean=float(returns[number].mean()),
            low=float(low[number]),
            high=float(high[number]),
            returns=tuple(returns[number].tolist()),
            lengths=tuple(int(length) for length in lengths[number]),
        )
        for number in range(len(returns))
    ]
    return results, resampled


def _area(
    levels: Float[np.ndarray, " level"],
    means: Float[np.ndarray, " level"],
    resampled: Float[np.ndarray, "level resample"],
) -> Interval | None:
    """Return the normalised area of the module's docstring; None if the unperturbed return may be 0."""
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
        raise UsageError(f"`levels` must be severities from 0 to 1, at least one of them above 0, got {list(levels)}.")
    return tuple(sorted({0.0, *map(float, levels)}))


def _applicable(source: EnvSource, families: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    """Return the families that apply, and for each other requested family the reason."""
    requested = list(FAMILIES) if families is None else list(dict.fromkeys(map(family_named, families)))
    env = source.make()
    reasons = inapplicable(env)
    env.close()
    return [name for name in requested if name not in reasons], {n: reasons[n] for n in requested if n in reasons}


def _check_variants(source: EnvSource, variants: Mapping[str, Mapping[str, Any]]) -> None:
    def spec_with(arguments: Mapping[str, Any]) -> Any:
        env = replace(source, kwargs=source.kwargs | dict(arguments)).make()
        spec = spec_of(env)
        env.close()
        return spec

    own = spec_with({}) if variants else None
    for name, arguments in variants.items():
        if spec_with(arguments) != own:
            raise UsageError(f"With {name} the environment has other observations or actions than in training.")
