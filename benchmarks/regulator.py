"""Compare the associative scan of the linear-quadratic regulator with `lax.scan` over a long horizon.

Both compute the values of all decisions of the same problem, compiled, in turn, in one process; every other round has
the reverse order. The values must be equal to 1e-9, relative to the largest. The whole of `regulator`, with policies
and certificate, is timed with both, too. On a CPU the associative scan does several times the work; its point is an
accelerator, and the goal here is to cost at most three times as much. Writes results/regulator.json.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import save, say, show, spread

from entrax.exact import regulator
from entrax.exact.riccati import as_arrays, values_by_associative_scan, values_by_scan
from entrax.problems import LinearQuadratic, mass_spring_chain

LIMIT = 3.0
"""The goal for the time of the associative scan, in times of `lax.scan`."""


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--horizon", type=int, default=100_000)
    parser.add_argument("--masses", type=int, nargs="+", default=[1, 2, 4], help="half the sizes of the state")
    return parser.parse_args()


def seconds(call: Callable[[], Any]) -> float:
    """Return the seconds of a call."""
    begun = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begun


def compare(problem: LinearQuadratic, horizon: int, rounds: int) -> dict[str, Any]:
    """Time both scans, and `regulator` with both, in every round."""
    arrays, alpha = as_arrays(problem), jnp.asarray(0.1)
    timed: dict[str, Callable[[], Any]] = {}
    for name, values in (("scan", values_by_scan), ("associative", values_by_associative_scan)):
        compiled = jax.jit(lambda problem, alpha, values=values: values(problem, alpha, 0))
        timed[name] = lambda compiled=compiled: compiled(arrays, alpha)
        timed[f"regulator {name}"] = lambda name=name: regulator(problem, 0.1, method=name, horizon=horizon).value.c
    one, other = (np.asarray(timed[name]()) for name in ("scan", "associative"))
    difference = float(np.abs(one - other).max() / np.abs(one).max())
    assert difference <= 1e-9, f"The scans differ by {difference}."
    for call in timed.values():
        call()  # compiles
    record: dict[str, Any] = {"difference": difference, "rounds": []}
    for i in range(rounds):
        order = list(timed) if i % 2 == 0 else list(timed)[::-1]
        record["rounds"].append({name: seconds(timed[name]) for name in order})
    return record


def main() -> None:
    """Measure all sizes."""
    jax.config.update("jax_enable_x64", True)
    arguments = parse()
    record: dict[str, Any] = {"settings": vars(arguments), "device": jax.devices()[0].device_kind}
    for masses in arguments.masses:
        problem = mass_spring_chain(masses, discount=0.99, horizon=arguments.horizon)
        result = compare(problem, arguments.horizon, arguments.rounds)
        for whole in ("", "regulator "):
            ratio = spread(r[f"{whole}associative"] / r[f"{whole}scan"] for r in result["rounds"])
            size = f"{problem.states} states, {whole or 'values '}"
            say(show(f"{size}by lax.scan", spread(r[f"{whole}scan"] for r in result["rounds"]), " s"))
            say(show(f"{size}associative / lax.scan, at most {LIMIT:g}", ratio, "x"))
            result[f"{whole}ratio"] = ratio
        say(f"Largest difference, relative to the largest value: {result['difference']:.1e}")
        record[f"{problem.states} states"] = result
    say(f"Written: {save('regulator', record)}")


if __name__ == "__main__":
    main()
