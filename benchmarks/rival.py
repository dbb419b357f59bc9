"""Time soft actor-critic of Stable-Baselines3 or SBX.

Runs with the rivals' Python and prints one JSON line. The work is two hidden layers of 256, batches of 256, one update
after every step, a replay buffer of a million transitions, float32, one environment in this process.
"""

import argparse
import json
import os
import time
from typing import Any

import machine


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", choices=["sb3", "sbx"], required=True)
    parser.add_argument("--env", default="HalfCheetah-v5")
    parser.add_argument("--steps", type=int, default=1_000_000, help="environment steps after which to stop")
    parser.add_argument("--window", type=float, default=25.0, help="measured seconds, after the warm-up")
    parser.add_argument("--warm", type=int, default=200, help="updates before the measured part")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--learning-starts", type=int, default=1_000, help="random first steps")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def limit_threads(threads: int) -> None:
    """Set the number of threads of every library.

    They read it when they are first imported.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC"):
        os.environ[name] = str(threads)
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    import torch

    torch.set_num_threads(threads)


def make_model(arguments: argparse.Namespace) -> Any:
    """Make the rival's agent with its defaults, which are the work above."""
    import gymnasium

    if arguments.library == "sb3":
        from stable_baselines3 import SAC
    else:
        from sbx import SAC
    return SAC(
        "MlpPolicy",
        gymnasium.make(arguments.env),
        learning_starts=arguments.learning_starts,
        buffer_size=1_000_000,
        batch_size=256,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": [256, 256]},
        seed=arguments.seed,
        device="cpu",
    )


def watch(model: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and measure the times.

    SBX reads its losses after every update, so no work is pending then.
    """
    from stable_baselines3.common.callbacks import BaseCallback

    first = arguments.learning_starts + 2  # the callback comes before the update of its step
    warm = first + arguments.warm
    seen: dict[str, float] = {}

    class Clock(BaseCallback):
        def _on_step(self) -> bool:
            now, step = time.perf_counter(), self.num_timesteps
            if step == 1:
                seen["begun"] = now
            if step == arguments.learning_starts:
                seen["random"] = now
            if step == first:
                seen["first_update_seconds"] = machine.process_seconds()
            if step == warm:
                seen["warm"] = now
            seen["now"], seen["step"] = now, step
            return "warm" not in seen or now - seen["warm"] < arguments.window

    model.learn(arguments.steps, callback=Clock())
    seconds, steps = seen["now"] - seen["warm"], int(seen["step"]) - warm
    return {
        "first_update_seconds": seen["first_update_seconds"],
        "random_steps_per_second": (arguments.learning_starts - 1) / (seen["random"] - seen["begun"]),
        "measured": {"from_step": warm, "to_step": int(seen["step"]), "seconds": seconds},
        "steps_per_second": steps / seconds,
        "updates_per_second": steps / seconds,
    }


def main() -> None:
    """Measure once."""
    arguments = parse()
    limit_threads(arguments.threads)
    result = watch(make_model(arguments), arguments)
    names = ("stable-baselines3", "sbx-rl", "torch", "jax", "numpy", "gymnasium", "mujoco")
    record = {
        "library": arguments.library,
        "env": arguments.env,
        "threads": arguments.threads,
        "learning_starts": arguments.learning_starts,
        "peak_memory": machine.peak_memory(),
        "versions": machine.versions(*names),
    }
    print(json.dumps(record | result))


if __name__ == "__main__":
    main()
