"""Learning curves of SBX, from the files in reference/."""

import csv
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import HERE


@dataclass(frozen=True)
class Curve:
    """Mean return of each evaluation over environment steps, for one seed."""

    seed: int
    steps: np.ndarray
    means: np.ndarray

    def at(self, step: float) -> float:
        """Return the mean return at `step`, interpolated linearly.

        Beyond the last evaluation it is constant.
        """
        return float(np.interp(step, self.steps, self.means))

    def best(self, step: float) -> float:
        """Return the best evaluation up to `step`, as if the best policy had been kept."""
        return float(self.means[self.steps <= step].max(initial=self.means[0]))


def curves(env: str, random_steps: int) -> list[Curve]:
    """Return SBX's curves on `env` with 10,000 or 100 random first steps.

    The list is empty without any.
    """
    kind = {10_000: "warm10k-", 100: ""}[random_steps]
    result = []
    for path in sorted((HERE / "reference").glob(f"sbx-sac-{kind}{env}-seed*.csv")):
        with path.open() as file:
            rows = list(csv.DictReader(file))
        steps = np.array([int(row["env_steps"]) for row in rows])
        means = np.array([np.mean([float(v) for k, v in row.items() if k.startswith("return_")]) for row in rows])
        result.append(Curve(seed=int(path.stem.rsplit("seed", 1)[1]), steps=steps, means=means))
    return result


def reached(env: str, random_steps: int, steps: float) -> dict[str, Any] | None:
    """Return medians over SBX's seeds, and whether its curves are shorter.

    The medians are those after `steps`.
    """
    known = curves(env, random_steps)
    if not known:
        return None
    end = int(min(curve.steps[-1] for curve in known))
    return {
        "random_steps": random_steps,
        "seeds": [curve.seed for curve in known],
        "steps": round(steps),
        "curve_ends_at": end,
        "beyond_the_curve": bool(steps > end),
        "mean": float(np.median([curve.at(steps) for curve in known])),
        "best_so_far": float(np.median([curve.best(steps) for curve in known])),
    }


def height(steps: np.ndarray, means: np.ndarray, grid: np.ndarray) -> float:
    """Return the area under a curve over `grid`, divided by the grid's length."""
    values = np.interp(grid, steps, means)
    return float(np.trapezoid(values, grid) / (grid[-1] - grid[0]))
