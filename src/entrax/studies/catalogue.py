"""The studies by name, each a module of this room that is loaded when it is wanted."""

import importlib

from entrax.errors import UsageError, closest
from entrax.references import resolve
from entrax.studies.study import Study

NAMES = (
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
    """The study called `name`, or a user's own `module:STUDY` or `file.py:STUDY`.

    Raises EntraxError if there is none, with the closest name.
    """
    if ":" in name:
        return _own_study(name)
    if name not in NAMES:
        raise UsageError(f"There is no study {name!r}{closest(name, NAMES)} `entrax study` lists them.")
    found: Study = importlib.import_module(f"entrax.studies.{name.replace('-', '_')}").STUDY
    return found


def _own_study(name: str) -> Study:
    found = resolve(name)
    if not isinstance(found, Study):
        raise UsageError(f"{name!r} must be an entrax.studies.study.Study, got {type(found).__name__}.")
    return found
