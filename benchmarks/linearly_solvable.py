"""Time the solver of linearly solvable problems, and `plan` on the same problems.

    python benchmarks/linearly_solvable.py [--side 1000] [--small 200] [--repeats 3]

The problems are random walks on square maps with a goal in a corner, at several costs of a step in temperatures. A map
of `--side` squared states is solved by `linearly_solvable` alone; a map of `--small` squared states also by `plan` in
the KL convention, by value iteration and by Newton's method. Every solve has a process of its own. The time includes
the certified error; the compilation of `plan` is not included. Ratios are taken within a repeat.
"""

import argparse
import json
import resource
import time
from typing import Any

COSTS = (0.001, 0.1, 1.0, 100.0)
CHEAPEST = 0.1  # value iteration takes minutes for cheaper steps, and is left out
SOLVERS = ("elimination", "newton-krylov", "value-iteration")


def solve(side: int, cost: float, solver: str) -> dict[str, Any]:
    """Return the seconds, peak memory and certified error of one solve."""
    import jax
    import numpy as np

    from entrax.exact import linearly_solvable, plan
    from entrax.problems import LinearlySolvable

    text = "\n".join(["G" + "." * (side - 1)] + ["." * side] * (side - 1))
    problem = LinearlySolvable.grid(text, cost)
    if solver == "elimination":
        start = time.perf_counter()
        solution = linearly_solvable(problem, 1.0)
        seconds, value = time.perf_counter() - start, float(solution.value[-1])
        iterations = solution.iterations
    else:
        with jax.enable_x64(True):
            mdp = problem.to_finite()
            for _ in range(2):  # the first one compiles
                start = time.perf_counter()
                solution = plan(mdp, 1.0, convention="kl", method=solver, tolerance=1e-8)
                value = -float(solution.value[-1])
                seconds = time.perf_counter() - start
            iterations = int(solution.iterations)
    return {
        "seconds": seconds,
        "gibibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "error_bound": float(np.asarray(solution.error_bound)),
        "iterations": iterations,
        "value": value,
    }


def fast(cost: float) -> tuple[str, ...]:
    """Return the solvers that take less than minutes."""
    return SOLVERS if cost >= CHEAPEST else SOLVERS[:2]


def main() -> None:
    """Run all cases, print a table and save the results."""
    from harness import MINE, measure, save, spread

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--small", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", nargs=3)
    options = parser.parse_args()
    if options.case:
        side, cost, solver = options.case
        print(json.dumps(solve(int(side), float(cost), solver)))
        return
    results: dict[str, Any] = {}
    for repeat in range(options.repeats):
        for cost in COSTS:
            for side, solver in [(options.side, "elimination"), *((options.small, solver) for solver in fast(cost))]:
                run = measure(MINE, "linearly_solvable.py", "--case", side, cost, solver)
                results.setdefault(f"{side}/{cost:g}/{solver}", []).append(run)
                print(f"{repeat}  {side:5}  {cost:6g}  {solver:16} {run['seconds']:8.2f} s", flush=True)
    summary: dict[str, Any] = {"side": options.side, "small": options.small, "results": {}, "ratios": {}}
    for name, runs in results.items():
        summary["results"][name] = {"seconds": spread(run["seconds"] for run in runs), "runs": runs}
    for cost in COSTS:
        ours = results[f"{options.small}/{cost:g}/elimination"]
        for solver in fast(cost)[1:]:
            theirs = results[f"{options.small}/{cost:g}/{solver}"]
            ratios = [one["seconds"] / other["seconds"] for one, other in zip(theirs, ours, strict=True)]
            summary["ratios"][f"{cost:g}/{solver}"] = spread(ratios)
    for name, of in summary["ratios"].items():
        print(f"time of plan over ours, {name:24} {of['median']:8.1f}   ({of['min']:.1f} to {of['max']:.1f})")
    print(save("linearly-solvable", summary))


if __name__ == "__main__":
    main()
