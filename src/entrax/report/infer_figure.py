"""The figure of `entrax infer`: the inferred reward beside the true one, and visits beside the demonstrations'."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from entrax.report.plan_figure import Grid, Panel, draw_panels, span


def infer_figure(
    path: Path,
    title: str,
    subtitle: str,
    answer: Mapping[str, Any],
    terminal: Bool[np.ndarray, " state"],
    grid: Grid | None = None,
) -> None:
    """Draw the result of `entrax infer` into a PNG, SVG or PDF.

    `answer` has `reward`, `true_reward`, `allowed` and `policy` of shape (S, A), and `demonstrated_visits` and
    `expected_visits` of shape (S,). The reward of a state is the mean over its allowed actions. Both visits have the
    same colours.
    """
    policy = np.where(terminal[:, None], 0.0, answer["policy"])
    inferred, true = (mean_over_actions(answer[name], answer["allowed"]) for name in ("reward", "true_reward"))
    visits = [answer[name] for name in ("demonstrated_visits", "expected_visits")]
    most = span(np.concatenate([*(each[~terminal] for each in visits), [0.0]]))
    panels = [Panel("inferred reward", inferred, "viridis", span(inferred[~terminal]), policy, "its policy")]
    if np.any(true != 0):
        panels.append(Panel("the problem's own reward", true, "viridis", span(true[~terminal])))
    panels.append(Panel("visits of the demonstrations", visits[0], "BuPu", most))
    panels.append(Panel("visits of the inferred policy", visits[1], "BuPu", most))
    draw_panels(path, title, subtitle, panels, terminal, grid)


def mean_over_actions(
    reward: Float[np.ndarray, "state action"], allowed: Bool[np.ndarray, "state action"]
) -> Float[np.ndarray, " state"]:
    """Return the mean reward of the allowed actions of each state; 0 for a state without any."""
    return np.asarray(np.sum(np.where(allowed, reward, 0.0), axis=1) / np.maximum(allowed.sum(1), 1))
