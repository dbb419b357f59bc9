"""The studies by name, each a module that is imported when it is used."""

import importlib

from entrax.errors import UsageError, closest
from entrax.references import resolve
from entrax.studies.study import Study

NAMES: tuple[str, ...] = (
    "temperature-limit",
    "ties",
    "policy-gradient-is-soft-q",
    "variance",
    "certainty-equivalence",
    "stochastic-needed",
    "entropy-collapse",
    "multigoal",
    "run-to-run",
    "any-direction",
    "fine-tuning",
    "two-passages",
    "robustness",
    "composition",
    "performance",
)


def get_study(name: str) -> Study:
    """Return a study by name, `module:STUDY` or `file.py:STUDY`.

    Raises:
        EntraxError: for an unknown name, with the closest one.
    """
    if ":" in name:
        return _own_study(name)
    if name not in NAMES:
        raise UsageError(f"There is no study {name!r}{closest(name, NAMES)} `entrax study` lists them.")
    study: Study = importlib.import_module(f"entrax.studies.{name.replace('-', '_')}").STUDY
    return study


def _own_study(name: str) -> Study:
    study = resolve(name)
    if not isinstance(study, Study):
        raise UsageError(f"{name!r} must be an entrax.studies.study.Study, got {type(study).__name__}.")
    return study
