"""The definition of a study, and the function that runs one.

A study is a claim, a criterion that is fixed in advance, and an experiment. The criterion reads the numbers of the
experiment only, so that the verdict can be checked from numbers.json. Before its first seed a study states the effect
it looks for and what its seeds can detect, and runs a positive control (`entrax.studies.power`).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Float

from entrax.errors import UsageError, write_faults
from entrax.evaluation.statistics import summarise
from entrax.runs.records import dumps, publish_bytes, to_json
from entrax.studies.power import MIN_SEEDS as MIN_SEEDS
from entrax.studies.power import Power, make_statement
from entrax.training.devices import set_up

Verdict = Literal["supported", "refuted", "undecided", "control failed"]
Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """One claim and its experiment.

    Attributes:
        name: by which `entrax study` finds it.
        claim: one sentence.
        criterion: when the claim is supported, refuted or undecided.
        look: for a reader of the figure, in one to three sentences: what it shows, and what in it decides the claim. It
            has no numbers of results, and is given by keyword.
        run: `run(quick, seeds, out)` returns the numbers as JSON data; `seeds` is a range. Runs that it trains are kept
            below `out`.
        judge: returns the verdict from the numbers.
        power: what the study states before its first seed.
        seeds: repetitions by default: random problems of an exact study, trained runs of the others.
        exact: whether the study computes in float64.
    """

    name: str
    claim: str
    criterion: str
    look: str = field(kw_only=True)
    run: Callable[[bool, range, Path], dict[str, Any]]
    judge: Callable[[Numbers], Verdict]
    power: Power
    seeds: int = 5
    exact: bool = True


@dataclass(frozen=True)
class StudyResult:
    """The result of a study, as in its numbers.json.

    Attributes:
        statement: what the study stated before its first seed, with the result of its positive control.
        numbers: those of the experiment; empty if the control failed.
    """

    study: str
    claim: str
    criterion: str
    verdict: Verdict
    quick: bool
    seeds: int
    first_seed: int
    statement: dict[str, Any]
    numbers: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return asdict(self)


def conduct(
    study: Study,
    *,
    quick: bool,
    seeds: int | None,
    out: Path,
    first_seed: int = 0,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> StudyResult:
    """Run a study and write `out`/NAME/numbers.json.

    Args:
        study: the study.
        quick: whether to run its smaller version.
        seeds: the number of repetitions; None for the study's own.
        out: the directory of results and trained runs.
        first_seed: the seed of the first repetition; the others follow.
        report: called with the statement, as plain data, before the first seed.

    Raises:
        EntraxError: for fewer than one seed, or a negative one.
    """
    count, out = study.seeds if seeds is None else seeds, out.absolute()
    if count < 1:
        raise UsageError(f"`seeds` must be at least 1, got {count}.")
    if first_seed < 0:
        raise UsageError(f"`first_seed` must be at least 0, got {first_seed}.")
    set_up(None, None)  # compiled programs are read from the cache on disk
    with jax.enable_x64(True) if study.exact else nullcontext():
        statement = to_json(make_statement(study.power, count).to_json())
        if report is not None:
            report(statement)
        seen = statement["control"]["seen"]
        numbers = to_json(study.run(quick, range(first_seed, first_seed + count), out)) if seen else {}
    result = StudyResult(
        study=study.name,
        claim=study.claim,
        criterion=study.criterion,
        verdict=study.judge(numbers) if seen else "control failed",
        quick=quick,
        seeds=count,
        first_seed=first_seed,
        statement=statement,
        numbers=numbers,
    )
    folder = out / study.name
    with write_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    publish_bytes(folder / "numbers.json", (dumps(result.to_json(), indent=1) + "\n").encode())
    return result


def decide(supported: bool | np.bool_, refuted: bool | np.bool_) -> Verdict:
    """Return the verdict of two conditions; undecided if both or neither hold."""
    if bool(supported) == bool(refuted):
        return "undecided"
    return "supported" if supported else "refuted"


def summarise_seeds(values: Sequence[float] | Float[np.ndarray, " seed"]) -> dict[str, Any]:
    """Return values, median, and interquartile mean with its 95 % interval."""
    summary = summarise(np.asarray(values, float))
    return {
        "values": np.asarray(values, float).tolist(),
        "median": summary.median,
        "interquartile_mean": summary.interquartile_mean,
        "low": summary.low,
        "high": summary.high,
    }


def median(values: Sequence[float | None]) -> float | None:
    """Return the median of the values that are not None; None if all are."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
