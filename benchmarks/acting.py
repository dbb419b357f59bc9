"""Time a call that acts and a hand-over of parameters, in microseconds.

Measured are wall-clock and processor time, medians over rounds, for 1 and 8 environments, with no other thread running.
Writes results/acting.json.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.random as jr
import numpy as np
from harness import save, say

from entrax.agents.lookup import get_agent
from entrax.environments.source import EnvSource
from entrax.environments.spaces import spec_of
from entrax.policies.controller import identity_scaling
from entrax.spec import Progress
from entrax.training.actor import Actor
from entrax.training.devices import Devices, put, set_up

PAIRS = [
    ("ppo", "CartPole-v1"),
    ("ppo", "HalfCheetah-v5"),
    ("dqn", "CartPole-v1"),
    ("discrete-sac", "CartPole-v1"),
    ("sac", "HalfCheetah-v5"),
]


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=300, help="in a round; hand-overs are a tenth of that")
    parser.add_argument("--threads", type=int, help="cores that XLA may use")
    return parser.parse_args()


def microseconds(call: Callable[[int], Any], calls: int, rounds: int) -> dict[str, float]:
    """Time one call: the median over rounds, and the minimum."""
    wall, cpu = [], []
    call(0)
    for _ in range(rounds):
        begun, used = time.perf_counter(), time.process_time()
        for t in range(calls):
            call(t)
        wall.append((time.perf_counter() - begun) / calls * 1e6)
        cpu.append((time.process_time() - used) / calls * 1e6)
    return {"wall": median(wall), "least_wall": min(wall), "processor": median(cpu), "least_processor": min(cpu)}


def measure(name: str, env: str, envs: int, devices: Devices, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one agent in `envs` environments."""
    agent, spec = get_agent(name), spec_of(EnvSource(env).make())
    config = put(agent.resolve(agent.Config(), spec), devices.learner)
    state = put(jax.jit(lambda key: agent.init(config, spec, key))(jr.key(0)), devices.learner)
    actor, scaling = Actor(spec.action, devices.actor, envs), put(identity_scaling(spec), devices.learner)
    progress = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))
    key = put(jr.key(1), devices.actor)
    obs = np.random.default_rng(0).standard_normal((envs, spec.obs_size), np.float32)
    first = np.zeros(envs, bool)

    def hand_over(_: int) -> None:
        actor.hand_over(actor.pack(agent.policy(config, state), scaling, progress), key)

    handing = microseconds(hand_over, max(1, arguments.calls // 10), arguments.rounds)
    acting = microseconds(lambda t: actor(obs, t, first), arguments.calls, arguments.rounds)
    return {"agent": name, "env": env, "envs": envs, "acting": acting, "hand_over": handing}


def main() -> None:
    """Measure all pairs."""
    arguments = parse()
    devices, results = set_up("cpu", arguments.threads), []
    for name, env in PAIRS:
        for envs in (1, 8):
            results.append(measure(name, env, envs, devices, arguments))
            for part in ("acting", "hand_over"):
                of = results[-1][part]
                say(
                    f"{name:13} {env:15} {envs} envs  {part:9} {of['wall']:7.1f} µs ({of['least_wall']:.1f} at best), "
                    f"processor {of['processor']:7.1f} µs ({of['least_processor']:.1f})"
                )
    say(f"Written: {save('acting', {'settings': vars(arguments), 'results': results})}")


if __name__ == "__main__":
    main()
