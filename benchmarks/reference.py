"""The learning curves that SBX reached, from the files in reference/."""

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
        """The mean return at `step`, linear between two evaluations and constant beyond the last."""
        return float(np.interp(step, self.steps, self.means))

    def best(self, step: float) -> float:
        """The best evaluation up to `step`: what one would have who kept the best policy, chosen in hindsight."""
        return float(self.means[self.steps <= step].max(initial=self.means[0]))


def curves(env: str, random_steps: int) -> list[Curve]:
    """SBX's curves on `env` with 10,000 random first steps, or 100; an empty list if there are none."""
    kind = {10_000: "warm10k-", 100: ""}[random_steps]
    found = []
    for path in sorted((HERE / "reference").glob(f"sbx-sac-{kind}{env}-seed*.csv")):
        with path.open() as file:
            rows = list(csv.DictReader(file))
        steps = np.array([int(row["env_steps"]) for row in rows])
        means = np.array([np.mean([float(v) for k, v in row.items() if k.startswith("return_")]) for row in rows])
        found.append(Curve(seed=int(path.stem.rsplit("seed", 1)[1]), steps=steps, means=means))
    return found


def reached(env: str, random_steps: int, steps: float) -> dict[str, Any] | None:
    """What SBX has reached after `steps`: medians over its seeds, and whether its curves go on that far."""
    found = curves(env, random_steps)
    if not found:
        return None
    end = int(min(curve.steps[-1] for curve in found))
    return {
        "random_steps": random_steps,
        "seeds": [curve.seed for curve in found],
        "steps": round(steps),
        "curve_ends_at": end,
        "beyond_the_curve": bool(steps > end),
        "mean": float(np.median([curve.at(steps) for curve in found])),
        "best_so_far": float(np.median([curve.best(steps) for curve in found])),
    }


def height(steps: np.ndarray, means: np.ndarray, grid: np.ndarray) -> float:
    """The area under a curve over `grid`, divided by the grid's length: the mean return on the way."""
    values = np.interp(grid, steps, means)
    return float(np.trapezoid(values, grid) / (grid[-1] - grid[0]))
