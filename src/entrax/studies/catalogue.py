"""The studies by name, each a module of this room that is loaded when it is wanted."""

import importlib

from entrax.errors import EntraxError, closest
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
    """The study called `name`; raises EntraxError with the closest name if there is none."""
    if name not in NAMES:
        raise EntraxError(f"There is no study {name!r}{closest(name, NAMES)} `entrax study` lists them.")
    found: Study = importlib.import_module(f"entrax.studies.{name.replace('-', '_')}").STUDY
    return found
