"""What a study is, and how one is conducted.

A study is a claim, a criterion that was fixed before anything ran, and an experiment whose numbers the criterion reads.
The verdict follows from the numbers alone, so that it can be checked again from numbers.json.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Float

from entrax.errors import UsageError, write_faults
from entrax.evaluation.statistics import summarise
from entrax.runs.records import dumps, publish_bytes, to_json
from entrax.training.devices import set_up

Verdict = Literal["supported", "refuted", "undecided"]
Numbers = Mapping[str, Any]

FEWEST = 4
"""Random problems or trained runs below which nothing is decided of what holds of most, or in the mean."""


@dataclass(frozen=True)
class Study:
    """One claim. `run(quick, seeds, out)` gives the numbers, JSON data; `judge` reads the verdict off them.

    `seeds` are repetitions: random problems of an exact study, trained runs of the others. What is trained is kept
    below `out`. `exact` studies run in float64.
    """

    name: str
    claim: str
    criterion: str
    run: Callable[[bool, int, Path], dict[str, Any]]
    judge: Callable[[Numbers], Verdict]
    seeds: int = 5
    exact: bool = True


@dataclass(frozen=True)
class Outcome:
    """What came of a study: plain data, as in its numbers.json."""

    study: str
    claim: str
    criterion: str
    verdict: Verdict
    quick: bool
    seeds: int
    numbers: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def conduct(study: Study, *, quick: bool, seeds: int | None, out: Path) -> Outcome:
    """Run a study and write `out`/NAME/numbers.json. Raises EntraxError for fewer than one seed."""
    seeds, out = study.seeds if seeds is None else seeds, out.absolute()
    if seeds < 1:
        raise UsageError(f"A study needs at least one seed, not {seeds}.")
    set_up(None, None)  # what was compiled before is taken from disk
    with jax.enable_x64(True) if study.exact else nullcontext():
        numbers = to_json(study.run(quick, seeds, out))
    outcome = Outcome(
        study=study.name,
        claim=study.claim,
        criterion=study.criterion,
        verdict=study.judge(numbers),
        quick=quick,
        seeds=seeds,
        numbers=numbers,
    )
    folder = out / study.name
    with write_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    publish_bytes(folder / "numbers.json", (dumps(outcome.to_json(), indent=1) + "\n").encode())
    return outcome


def decided(supported: bool | np.bool_, refuted: bool | np.bool_) -> Verdict:
    """The verdict of two conditions; where both or neither hold nothing is decided."""
    if bool(supported) == bool(refuted):
        return "undecided"
    return "supported" if supported else "refuted"


def interval(values: Sequence[float] | Float[np.ndarray, " seed"]) -> dict[str, Any]:
    """All values with their median, and the interquartile mean with its 95 % bootstrap interval."""
    found = summarise(np.asarray(values, float))
    return {
        "values": np.asarray(values, float).tolist(),
        "median": found.median,
        "interquartile_mean": found.interquartile_mean,
        "low": found.low,
        "high": found.high,
    }
