"""Compare the time of an update of soft Q-learning with one of SAC.

It is also compared with its matrix products. Both are timed compiled, in turn, in one process: HalfCheetah-v5's sizes,
two hidden layers of 256, batches of 256, and 32 particles by default. The operations of matrix products are counted in
the traced update, 2 m n k for each; the speed of 256×256 products on this machine (matmul.py) gives their shortest
time. Writes results/soft-q.json.
"""

import argparse
import time
from types import ModuleType
from typing import Any

import jax
import jax.random as jr
import numpy as np
from harness import MINE, measure, save, say, show, spread
from jax.extend.core import jaxprs_in_params

from entrax.agents import sac, soft_q
from entrax.environments.source import EnvSource
from entrax.environments.spaces import spec_of
from entrax.spec import Progress, Spec, Transition
from entrax.training.learner import update_many

LIMIT = 2.5
"""The goal for the time of an update, in updates of SAC."""


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--updates", type=int, default=100, help="updates of each in a round")
    parser.add_argument("--particles", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=256)
    return parser.parse_args()


class Contender:
    """An agent with random data, ready to update."""

    def __init__(self, agent: ModuleType, config: Any, spec: Spec, arguments: argparse.Namespace):
        self.agent, self.config = agent, agent.resolve(config, spec)
        self.state = jax.jit(lambda key: agent.init(self.config, spec, key))(jr.key(0))
        self.batches = random_batches(spec, arguments.updates, arguments.batch_size)
        self.progress = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))
        self.updates = arguments.updates

    def seconds(self) -> float:
        """Return the mean seconds of one update."""
        count, begun = np.asarray(self.updates), time.perf_counter()
        done = update_many(self.agent, self.config, self.state, self.batches, None, self.progress, jr.key(1), count)
        jax.block_until_ready(done)
        return (time.perf_counter() - begun) / self.updates

    def operations(self) -> int:
        """Return the floating-point operations of the matrix products of one update."""
        batch = jax.tree.map(lambda x: x[0], self.batches)
        traced = jax.make_jaxpr(lambda: self.agent.update(self.config, self.state, batch, self.progress, jr.key(1)))
        return products(traced().jaxpr)


def random_batches(spec: Spec, updates: int, size: int) -> Transition:
    """Return random transitions [update, batch, ...]."""
    rng = np.random.default_rng(0)
    return Transition(
        obs=rng.standard_normal((updates, size, spec.obs_size), np.float32),
        action=rng.uniform(-1, 1, (updates, size, spec.action.size)).astype(np.float32),
        reward=rng.standard_normal((updates, size), np.float32),
        next_obs=rng.standard_normal((updates, size, spec.obs_size), np.float32),
        terminated=np.zeros((updates, size), bool),
        truncated=np.zeros((updates, size), bool),
    )


def products(jaxpr: Any) -> int:
    """Return the sum of 2 m n k over all matrix products.

    Those of calls and scans are included.
    """
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += 2 * int(np.prod(equation.outvars[0].aval.shape)) * int(np.prod([left[i] for i in contracted]))
        for inner in jaxprs_in_params(equation.params):
            total += equation.params.get("length", 1) * products(inner)
    return total


def main() -> None:
    """Measure all rounds."""
    arguments = parse()
    spec = spec_of(EnvSource("HalfCheetah-v5").make())
    size = arguments.batch_size
    contenders = {
        "sac": Contender(sac, sac.Config(batch_size=size), spec, arguments),
        "soft-q": Contender(soft_q, soft_q.Config(batch_size=size, particles=arguments.particles), spec, arguments),
    }
    operations = {name: contender.operations() for name, contender in contenders.items()}
    for contender in contenders.values():
        contender.seconds()  # compiles
    rounds, gflops = [], []
    for _ in range(arguments.rounds):
        rounds.append({name: contender.seconds() for name, contender in contenders.items()})
        gflops.append(max(measure(MINE, "matmul.py")["gflops"].values()))
    record: dict[str, Any] = {"settings": vars(arguments), "operations": operations, "rounds": rounds, "gflops": gflops}
    record["ratio"] = spread(r["soft-q"] / r["sac"] for r in rounds)
    for name, count in operations.items():
        say(show(f"{name}: milliseconds of an update", spread(1e3 * r[name] for r in rounds)))
        least = [count / (1e9 * g) for g in gflops]
        record[f"{name}/products"] = spread(r[name] / s for r, s in zip(rounds, least, strict=True))
        say(show(f"  {count / 1e9:.2f} GFLOP; against these products alone", record[f"{name}/products"], "x"))
    say(show(f"soft Q-learning / SAC, at most {LIMIT}", record["ratio"], "x"))
    say(f"Operations: {operations['soft-q'] / operations['sac']:.2f} times those of SAC.")
    say(f"Written: {save('soft-q', record)}")


if __name__ == "__main__":
    main()
