"""The studies by name, each a module that is imported when it is used."""

import importlib
from typing import NamedTuple

from entrax.errors import UsageError, closest
from entrax.references import resolve
from entrax.studies.study import Study


class Chapter(NamedTuple):
    """A part of the lecture and the studies of its claims."""

    title: str
    text: str
    studies: tuple[str, ...]


CHAPTERS: tuple[Chapter, ...] = (
    Chapter(
        "What inference gives",
        "Inference in the graphical model of control yields a soft maximum in place of the maximum, and the "
        "exponentiated advantage as policy. Both become classical optimality as the temperature falls or the reward "
        "grows.",
        ("temperature-limit", "ties", "delayed-choice", "lq-optimism", "motor-variability", "lucky-demonstrations"),
    ),
    Chapter(
        "Gradients and values",
        "The same objective can be climbed by a policy gradient or fitted by soft Q-learning, whose gradients are "
        "closely related. From samples, much depends on the variance of estimates and on what the data say about the "
        "model.",
        ("policy-gradient-is-soft-q", "variance", "certainty-equivalence", "z-learning", "learned-regulator"),
    ),
    Chapter(
        "Exploration that keeps several hypotheses",
        "A policy in proportion to exp(Q/α) has probability on every peak of Q, and explores all of them until one "
        "turns out to be better. One that follows the highest peak commits to it early, and differently in every run.",
        (
            "stochastic-needed",
            "entropy-collapse",
            "sampled-collapse",
            "multigoal",
            "run-to-run",
            "gaits",
            "two-passages",
        ),
    ),
    Chapter(
        "Pretraining, fine-tuning and composition",
        "Pretrained in a task that leaves much open, a soft policy learns to solve it in many ways. To specialise, it "
        "only has to remove the wrong ones, and its Q-functions can be combined without learning.",
        ("any-direction", "fine-tuning", "composition", "exact-composition"),
    ),
    Chapter(
        "Robustness",
        "A policy that has learned many ways to solve a task may still succeed when one of them stops working.",
        ("robustness", "stacking", "reward-robustness"),
    ),
    Chapter(
        "Performance, and where entropy hurts",
        "Soft actor-critic is among the most used agents for continuous control. Entropy also has a price, where only "
        "precise actions succeed.",
        ("performance",),
    ),
)
"""The studies in the order of the lecture."""
NAMES: tuple[str, ...] = tuple(name for chapter in CHAPTERS for name in chapter.studies)


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
