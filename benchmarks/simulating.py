"""Compare a decision of path integral control on HalfCheetah's own model with the bare call of `mujoco.rollout`.

Both simulate as many plans of the same length from the same state, on as many threads, with actions of the same
distribution. They are timed in turn, in one process; every other round has the reverse order. A decision also draws the
noise, computes rewards, weights and the new plan. The goal is at most 1.15 times the bare call. The share of physics in
decisions is that of the call inside them. Writes results/simulating.json.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import mujoco
import numpy as np
from harness import save, say, show, spread
from mujoco.rollout import Rollout

from entrax.environments import simulator_of
from entrax.environments.make import usable_cores
from entrax.environments.source import EnvSource
from entrax.planning import PathIntegral, simulated_lookahead
from entrax.policies.controller import FINISHED

LIMIT = 1.15
"""The goal for the time of a decision, in times of the bare call."""


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--samples", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--horizon", type=int, default=25)
    parser.add_argument("--std", type=float, default=1.0)
    return parser.parse_args()


def bare_call(env: Any, samples: int, horizon: int, std: float) -> Callable[[], Any]:
    """Return the bare call, with its arrays allocated and its actions drawn before."""
    model, data, threads = env.unwrapped.model, env.unwrapped.data, usable_cores()
    full = mujoco.mjtState.mjSTATE_FULLPHYSICS
    state = np.empty(mujoco.mj_stateSize(model, full))
    mujoco.mj_getState(model, data, state, full)
    drawn = np.random.default_rng(0).normal(0.0, std, (samples, horizon, model.nu)).clip(-1, 1)
    controls = np.repeat(drawn, env.unwrapped.frame_skip, axis=1)
    out = np.empty((samples, controls.shape[1], len(state)))
    pool, each = Rollout(nthread=threads), [mujoco.MjData(model) for _ in range(threads)]
    return lambda: pool.rollout(model, each, state[None], controls, state=out)


def compare(samples: int, horizon: int, std: float, rounds: int) -> dict[str, Any]:
    """Time both in every round."""
    source = EnvSource("HalfCheetah-v5")
    env = source.make()
    obs, _ = env.reset(seed=0)
    for _ in range(20):
        env.step(env.action_space.sample())
    simulator = simulator_of(env, make=source.make, simulator="model")
    lookahead = simulated_lookahead(simulator, horizon, env.unwrapped.model.nu)
    planner = PathIntegral(lookahead, 1.0, std=std, samples=samples)
    act = jax.jit(lambda carry, obs, key: planner.act(carry, obs, FINISHED, key, True))
    carry, keys = planner.initial_carry(), iter(jr.split(jr.key(0), rounds + 1))
    calls: dict[str, Callable[[], Any]] = {
        "decision": lambda: np.asarray(act(carry, jnp.asarray(obs), next(keys))[0]),
        "bare": bare_call(env, samples, horizon, std),
    }
    record: dict[str, Any] = {"rounds": []}
    for round_ in range(rounds + 1):
        times = {}
        for name in list(calls) if round_ % 2 == 0 else list(calls)[::-1]:
            physics, begun = simulator.seconds, time.perf_counter()
            calls[name]()
            times[name] = time.perf_counter() - begun
            if name == "decision":
                times["physics"] = simulator.seconds - physics
        if round_ > 0:  # the first one compiles
            record["rounds"].append(times)
    simulator.close()
    return record


def main() -> None:
    """Measure all numbers of samples."""
    arguments = parse()
    record: dict[str, Any] = {"settings": vars(arguments), "threads": usable_cores()}
    for samples in arguments.samples:
        result = compare(samples, arguments.horizon, arguments.std, arguments.rounds)
        rounds, plans = result["rounds"], f"{samples} plans of {arguments.horizon} steps"
        result["ratio"] = spread(r["decision"] / r["bare"] for r in rounds)
        result["physics_share"] = spread(r["physics"] / r["decision"] for r in rounds)
        result["milliseconds"] = spread(1e3 * r["decision"] for r in rounds)
        say(show(f"{plans}: decision", result["milliseconds"], " ms"))
        say(show(f"{plans}: decision / bare call, at most {LIMIT:g}", result["ratio"], "x"))
        say(show(f"{plans}: share of physics", result["physics_share"]))
        record[f"{samples} samples"] = result
    say(f"Written: {save('simulating', record)}")


if __name__ == "__main__":
    main()
