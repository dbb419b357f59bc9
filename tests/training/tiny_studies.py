"""Studies that take a second, under names of the catalogue: of a group of trained runs, and of a table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from entrax import problems
from entrax.exact import plan
from entrax.report import study_figures
from entrax.runs.audit import fingerprint
from entrax.studies import catalogue
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.runs import finetuned_run, trained_run
from entrax.studies.study import Numbers, Study, Verdict

SETTINGS: dict[str, Any] = {
    "steps": 48,
    "learning_starts": 24,
    "chunk": 8,
    "hidden": (8, 8),
    "batch_size": 8,
    "log_every": 16,
    "eval_every": 24,
    "eval_episodes": 1,
    "checkpoint_every": 16,
    "envs": 1,
    "workers": 0,
}
judged: Callable[[], Any] = lambda: None  # noqa: E731
"""Called when the numbers of a study are there, before anything is written."""


def group(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Runs of some seeds and, of each, a fine-tuned one: what they hold and what they return."""
    found = []
    for seed in seeds:
        run = trained_run("CartPole-v1", "dqn", SETTINGS, seed, out)
        again = finetuned_run(run, "CartPole-v1", {"steps": 32, "log_every": 16, "checkpoint_every": 16}, out)
        found += [{"print": fingerprint(each.directory), "mean": each.evaluate(1).mean} for each in (run, again)]
    return {"runs": found}


def table(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """The values of random finite problems."""
    made = [problems.garnet(4, 2, 2, seed=seed, discount=0.9) for seed in seeds]
    return {"values": [np.asarray(plan(each, 0.1).value).tolist() for each in made]}


def judge(numbers: Numbers) -> Verdict:
    """Always the same."""
    judged()
    return "undecided"


def draw(axes: Any, numbers: Numbers) -> None:
    """What there is of numbers."""
    values = numbers.get("values") or [[run["mean"]] for run in numbers["runs"]]
    axes[0].plot(np.ravel(values))


def register() -> None:
    """Let the catalogue hold these and no others."""
    stated = exact_power("An effect.", "a case", lambda: ControlResult(True))
    studies = {
        "group": Study("group", "A claim.", "A rule.", group, judge, stated, look="A line.", exact=False),
        "table": Study("table", "A claim.", "A rule.", table, judge, stated, look="A line.", exact=True),
    }

    def get_study(name: str) -> Study:
        return studies[name]

    catalogue.NAMES = tuple(studies)
    catalogue.CHAPTERS = (catalogue.Chapter("All", "Of a second each.", catalogue.NAMES),)
    catalogue.get_study = get_study
    study_figures.FIGURES |= dict.fromkeys(studies, (1, draw))
