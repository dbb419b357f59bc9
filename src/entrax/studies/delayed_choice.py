"""Delayed choice: under noise, optimal control waits between two equal targets before it chooses one.

A point moves by dx = u dt + dξ, Var dξ = ν dt, and pays ½u² dt. After time T it should be at −1 or at +1: the last cost
is −ν log Σ_± N(x; ±1, σ²). With T' = T + σ²/ν the optimal control is

    u*(x, T) = (tanh(x/(νT')) − x)/T'                                                                         (1)

For T' > 1/ν it points to the middle: noise may still decide where to go, so an early choice would be paid for in vain.
At T' = 1/ν, that is T = (1 − σ²)/ν before the end, the middle becomes unstable, and the control chooses the nearer
target. The noise delays the choice; without noise it would be made at once.

Here (1) is not used to find that time. The problem is solved on a grid as a linearly solvable one (`solve_on_grid`),
whose passive dynamics have steps of variance ν dt. With Gaussian steps the mean of the controlled step is dt u*, for
any dt, so that the grid differs from (1) by rounding. A path integral planner, which samples the same problem, is the
second check. The price of an early choice is the expected cost of always steering to the nearer target, on a grid.

Source: Kappen (2005), Path integrals and symmetry breaking for optimal control theory, arXiv:physics/0505066.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray
from scipy import sparse

from entrax.exact import linearly_solvable
from entrax.planning import Lookahead, PathIntegral
from entrax.problems import LinearlySolvable
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, decide

TARGETS = (-1.0, 1.0)
NOISES, WIDTHS = (0.3, 1.5), (0.1, 0.4)  # ranges of ν and σ
LONGEST = 3.0  # the time before the end at which a problem starts, in units of 1/ν
STEPS = 60
PER_DEVIATION, DEVIATIONS = 3, 8  # grid points for a standard deviation of a step, and where its tails end
SHOWN = (2.5, 1.0, 0.3)  # times to go of which the control is sampled and drawn, in units of 1/ν
PLACES = (-1.5, -0.75, -0.25, 0.25, 0.75, 1.5)  # where it is sampled
PLAN_STEPS, REPEATS = 20, 32
QUICK, FULL = 1_000, 10_000  # sampled plans of a decision
CLOSE, WRONG = 1e-5, 1e-2  # errors of the control, and relative errors of the time of the choice
ERRORS, WRONG_ERRORS = 5.0, 10.0  # of sampled controls, in standard errors
PATHS = 24
CALM = (-2.5, -1.2, -0.4, 0.4, 1.2, 2.5)  # where paths without noise start

Points = Float[np.ndarray, " point"]
Over = Float[np.ndarray, "time point"]


class Grid(NamedTuple):
    """A solved problem: places, times to go, and the optimal control and cost [time, place]."""

    x: Points
    left: Float[np.ndarray, " time"]
    control: Over
    cost: Over
    optimum: Any


def formula(x: Any, left: Any, noise: float, width: float) -> Any:
    """Return u* of equation (1)."""
    late = left + width**2 / noise
    return (np.tanh(x / (noise * late)) - x) / late


def solve_on_grid(
    noise: float, width: float, targets: Sequence[float] = TARGETS, steps: int = STEPS, longest: float = LONGEST
) -> Grid:
    """Solve the problem from `longest`/ν before its end as a linearly solvable one.

    Args:
        noise: ν.
        width: σ of the targets.
        targets: where they are.
        steps: the number of steps.
        longest: the time, in units of 1/ν.
    """
    dt = longest / noise / steps
    deviation = np.sqrt(noise * dt)
    half = int(np.ceil((1.0 + 7.0 * np.sqrt(longest + width**2)) / deviation * PER_DEVIATION))
    x = np.arange(-half, half + 1) * deviation / PER_DEVIATION
    apart = (x[None] - x[:, None]) / deviation
    steps_of = np.where(np.abs(apart) < DEVIATIONS, np.exp(-(apart**2) / 2), 0.0)
    passive = sparse.csr_array(steps_of / steps_of.sum(axis=1, keepdims=True))
    problem = LinearlySolvable(
        passive, 0.0, kind="finite-horizon", horizon=steps, final_cost=final_cost(x, noise, width, targets)
    )
    optimum = linearly_solvable(problem, noise)
    control = np.stack([(policy @ x - x) / dt for policy in optimum.policy])
    left = dt * np.arange(steps, 0, -1)
    inside = np.abs(x) <= 2.0
    return Grid(x[inside], left, control[:, inside], optimum.value[:-1, inside], optimum)


def final_cost(x: Any, noise: float, width: float, targets: Sequence[float] = TARGETS) -> Any:
    """Return −ν log Σ N(x; target, σ²), up to a constant."""
    logs = -((np.asarray(x)[..., None] - np.array(targets)) ** 2) / (2 * width**2)
    return -noise * np.logaddexp.reduce(logs, axis=-1)


def time_of_choice(grid: Grid) -> float:
    """Return the time before the end at which the middle becomes unstable; 0 if it never does.

    It is where the slope of the control in the middle changes its sign, by interpolation of slope T, which is smooth.
    """
    middle = len(grid.x) // 2
    near = slice(middle - 3, middle + 4)
    slopes = np.polynomial.polynomial.polyfit(grid.x[near], grid.control[:, near].T, 6)[1] * grid.left
    unstable = np.flatnonzero(slopes > 0)
    if not unstable.size or unstable[0] == 0:
        return 0.0
    at = slice(max(0, unstable[0] - 3), unstable[0] + 3)
    return float(np.polynomial.polynomial.polyval(0.0, np.polynomial.polynomial.polyfit(slopes[at], grid.left[at], 5)))


def early_cost(noise: float, width: float, grid: Grid) -> float:
    """Return the expected cost, from the middle, of steering to the nearer target from the start.

    The control is (±1 − x)/T', optimal if that target were the only one, in steps of the grid's.
    """
    dt = float(grid.left[-1])
    deviation = np.sqrt(noise * dt)
    bound = 1.0 + 7.0 * np.sqrt(LONGEST + width**2)
    x = np.arange(-bound, bound, deviation / PER_DEVIATION)
    x -= x[len(x) // 2]
    cost = final_cost(x, noise, width)
    for left in grid.left[::-1]:
        u = (np.where(x >= 0, 1.0, -1.0) - x) / (left + width**2 / noise)
        apart = (x[None] - (x + u * dt)[:, None]) / deviation
        moves = np.exp(-(apart**2) / 2)
        cost = 0.5 * u**2 * dt + moves @ cost / moves.sum(axis=1)
    return float(cost[len(x) // 2])


class Moving(eqx.Module):
    """The point as a planner's model: the action contains the noise. Numbers are arrays, to be compiled once."""

    dt: Array
    noise: Array
    width: Array

    def __call__(self, x: Array, u: Array, key: PRNGKeyArray) -> tuple[Array, Array, Array]:
        """Move without a cost: the planner adds that of the action."""
        return x + u[0] * self.dt, jnp.zeros(()), jnp.asarray(False)

    def end(self, x: Array) -> Array:
        """Return minus the last cost."""
        return self.noise * jax.nn.logsumexp(-((x - jnp.array(TARGETS)) ** 2) / (2 * self.width**2))


@eqx.filter_jit
def decisions(model: Moving, samples: int, keys: Key[Array, "repeat place"]) -> tuple[Array, Array]:
    """Return controls and effective samples [repeat, place] of a path integral planner.

    The cost ½u² dt at temperature ν ties the noise to Var u = ν/dt. Under the optimal control the expected control is
    the same at all times, so that the mean of a plan estimates u*.
    """
    lookahead = Lookahead(model, action_size=1, horizon=PLAN_STEPS, final_reward=model.end, bounds="none")
    planner = PathIntegral(lookahead, model.noise, action_cost=jnp.reshape(model.dt / 2, (1, 1)), samples=samples)

    def one(x: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        improved = planner.improve(jnp.zeros((PLAN_STEPS, 1)), x, key)
        return jnp.mean(improved.plan), improved.info["effective_samples"]

    result: tuple[Array, Array] = jax.vmap(jax.vmap(one), (None, 0))(jnp.asarray(PLACES), keys)
    return result


def sample_controls(noise: float, width: float, samples: int, key: PRNGKeyArray) -> dict[str, Any]:
    """Return means, standard errors and effective samples of sampled controls [time, place]."""
    keys = jr.split(key, (len(SHOWN), REPEATS, len(PLACES)))
    drawn = [
        decisions(Moving(*jnp.array([left / noise / PLAN_STEPS, noise, width])), samples, each)
        for left, each in zip(SHOWN, keys, strict=True)
    ]
    means, effective = (np.array(each) for each in zip(*drawn, strict=True))
    error = means.std(axis=1, ddof=1) / REPEATS**0.5
    return {"mean": means.mean(axis=1), "error": error, "effective": effective.mean(axis=1)}


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Solve a problem with random ν and σ of every seed on a grid and by sampling."""
    rows = [measure(seed, QUICK if quick else FULL) for seed in seeds]
    return {"rows": rows, "shown": SHOWN, "places": PLACES, "example": example(rows[0])}


def measure(seed: int, samples: int) -> dict[str, Any]:
    """Return the errors of one problem and what an early choice costs."""
    rng = np.random.default_rng(seed)
    noise, width = float(rng.uniform(*NOISES)), float(rng.uniform(*WIDTHS))
    grid = solve_on_grid(noise, width)
    exact = formula(grid.x, grid.left[:, None], noise, width)
    sampled = sample_controls(noise, width, samples, jr.key(seed))
    expected = formula(np.array(PLACES), np.array(SHOWN)[:, None] / noise, noise, width)
    best = float(grid.cost[0, len(grid.x) // 2])
    return {
        "noise": noise,
        "width": width,
        "time": time_of_choice(grid),
        "expected_time": (1 - width**2) / noise,
        "grid_error": float(np.abs(grid.control - exact).max()),
        "sampled": sampled["mean"],
        "standard_error": sampled["error"],
        "effective_samples": sampled["effective"],
        "sampled_errors": float(np.max(np.abs(sampled["mean"] - expected) / sampled["error"])),
        "loss_of_early_choice": (early_cost(noise, width, grid) - best) / noise,
    }


def example(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return costs, controls and paths of one problem, for the figure."""
    noise, width = row["noise"], row["width"]
    grid = solve_on_grid(noise, width)
    at = [int(np.argmin(np.abs(grid.left * noise - left))) for left in SHOWN]
    rng, steps = np.random.default_rng(0), 200
    dt = LONGEST / noise / steps
    paths = np.zeros((steps + 1, PATHS + len(CALM)))
    paths[0, PATHS:] = CALM
    spread = np.sqrt(noise * dt) * (np.arange(PATHS + len(CALM)) < PATHS)
    for t in range(steps):
        drift = formula(paths[t], LONGEST / noise - t * dt, noise, width)
        paths[t + 1] = paths[t] + drift * dt + spread * rng.normal(size=len(spread))
    return {
        "x": grid.x,
        "cost": [grid.cost[i] - grid.cost[i, len(grid.x) // 2] for i in at],
        "control": [grid.control[i] for i in at],
        "times": np.arange(steps + 1) * dt - LONGEST / noise,
        "paths": paths.T[:PATHS],
        "calm": paths.T[PATHS:],
    }


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    rows = numbers["rows"]
    exact = [row["grid_error"] for row in rows] + [abs(row["time"] / row["expected_time"] - 1) for row in rows]
    sampled = max(row["sampled_errors"] for row in rows)
    dear = all(row["loss_of_early_choice"] > 0 for row in rows)
    return decide(
        supported=max(exact) <= CLOSE and sampled <= ERRORS and dear,
        refuted=max(exact) > WRONG or sampled > WRONG_ERRORS or not dear,
    )


def control() -> ControlResult:
    """Find the time of the choice where it is known, and no such time for one target in the middle.

    With the noise of the formula doubled, the grid must be seen to differ from it.
    """
    noise, width = 0.5, 0.3
    grid = solve_on_grid(noise, width)
    found, known = time_of_choice(grid), 1.82
    alone = time_of_choice(solve_on_grid(noise, width, (0.0,)))
    doubled = float(np.abs(grid.control - formula(grid.x, grid.left[:, None], 2 * noise, width)).max())
    return ControlResult(
        seen=abs(found / known - 1) <= CLOSE and alone == 0 and doubled > WRONG,
        numbers={"found": found, "known": known, "one target": alone, "doubled": doubled},
    )


STUDY = Study(
    name="delayed-choice",
    claim="Under noise ν optimal control stays between two equal targets until about 1/ν before the end.",
    criterion=(
        "Problems with random noise ν and targets of random width σ are solved on a grid. Supported if in each of them "
        "the middle becomes unstable (1 − σ²)/ν before the end and the control is Kappen's formula, both with errors "
        f"of at most {CLOSE:g}, path integral sampling is within {ERRORS:g} standard errors of that formula, and "
        "steering to the nearer target from the start costs more. Refuted if an error is above "
        f"{WRONG:g} or {WRONG_ERRORS:g} standard errors, or the early choice costs no more."
    ),
    look=(
        "First the cost to go, which has one valley in the middle early and two at the targets late; second the "
        "control, which pushes to the middle early and away from it late. Third, controlled paths in the colour of the "
        "target that they reach: before the dashed time colours mix, and without noise (black) the control leads to "
        "the middle; fourth, which decides: that time in every problem against the formula."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="The middle becomes unstable (1 − σ²)/ν before the end.",
        case=(
            "ν = 0.5 and σ = 0.3, where it must be 1.82 before the end; one target in the middle has no such time, and "
            "a formula with twice the noise is seen to fail"
        ),
        control=control,
    ),
)
