"""Measure how far draws of a composed policy are from the exact law.

Prints one line for each number of candidates.

    python benchmarks/composition_bias.py

Two Q-functions of one action have two peaks each, and each sampler knows one of them. The Kolmogorov distance of the
draws to the law by quadrature has a noise of its own, which is printed too: its expectation for exact draws.
"""

import argparse
import sys

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from harness import ROOT, say
from scipy import stats

from entrax.policies.controller import FINISHED

sys.path.insert(0, str(ROOT))
from tests.policies.test_composed import by_quadrature, energy

CANDIDATES = (16, 64, 256, 1024)


def main() -> None:
    """Measure all numbers of candidates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20_000)
    draws = parser.parse_args().draws
    grid, density, _ = by_quadrature("mean")
    law = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    for candidates in CANDIDATES:
        policy, keys = energy("mean", candidates), jr.split(jr.key(0), draws)
        sample = jax.jit(lambda keys, policy=policy: jax.lax.map(
            lambda key: policy.sample(jnp.zeros(1), FINISHED, key)[0], keys, batch_size=100))  # fmt: skip
        distance = stats.kstest(np.asarray(sample(keys))[:, 0], lambda a: np.interp(a, grid, law)).statistic
        say(f"{candidates:>5} candidates: Kolmogorov distance {distance:.3f}")
    say(f"exact draws: {stats.kstwobign.mean() / draws**0.5:.3f} on average")


if __name__ == "__main__":
    main()
