"""Time and memory of inferring a reward: `python -m benchmarks.inverse [--states 100000]`.

A random problem with 4 actions and 5 branches, 10 random features of state-actions, and 500 demonstrations of 100
decisions each, sampled from the soft-optimal policy of planted weights at temperature 1.
"""

import argparse
import json
import resource
import time
from dataclasses import replace

import jax
import numpy as np

from entrax.exact import plan
from entrax.inverse import demonstrate, fit
from entrax.problems import garnet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--discount", type=float, default=0.95)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    mdp = garnet(arguments.states, 4, 5, seed=0, discount=arguments.discount)
    phi = rng.normal(size=(arguments.states, 4, arguments.features))
    planted = rng.normal(size=arguments.features)
    true = replace(mdp, reward=phi @ planted, initial=np.eye(1, arguments.states)[0])
    with jax.enable_x64(True):
        demos = demonstrate(true, plan(true, 1.0).policy, 500, seed=0, steps=100)
        for objective in ("likelihood", "moments"):
            start = time.perf_counter()
            result = fit(mdp, demos, phi, objective=objective)
            row = {
                "states": arguments.states,
                "features": arguments.features,
                "objective": objective,
                "seconds": round(time.perf_counter() - start, 2),
                "iterations": result.iterations,
                "converged": result.converged,
                "largest_error_in_standard_errors": float(np.max(np.abs(result.weights - planted) / result.errors)),
                "log_likelihood": result.log_likelihood,
                "log_likelihood_error": result.log_likelihood_error,
                "peak_gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
