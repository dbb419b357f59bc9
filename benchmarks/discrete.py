"""Environment steps per second with discrete actions: DQN and discrete SAC against Stable-Baselines3's DQN, in turn.

The work is the same for all: two hidden layers of 128, batches of 64, one update after every step with targets that
follow at each, a replay buffer of a million transitions, one environment. Discrete SAC has two critics and a policy to
update where DQN has one network. The rival counts at the better of one and two threads in each round. Prints ratios
with their spread and writes results/discrete.json. LunarLander-v3 needs `gymnasium[box2d]` on both sides.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import machine
from harness import MINE, ROOT, THEIRS, measure, save, say, show, spread

PAIRS = [("CartPole-v1", "dqn"), ("LunarLander-v3", "discrete-sac")]
WARM = 200  # updates before the measured part


def parse() -> argparse.Namespace:
    """The command line; `--measure` is what a single measuring process is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=15.0, help="measured seconds of each run")
    parser.add_argument("--learning-starts", type=int, default=1_000)
    parser.add_argument("--env", help="only this environment")
    parser.add_argument("--measure", help="an agent of entrax, or sb3")
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


def measure_entrax(arguments: argparse.Namespace) -> dict[str, Any]:
    """Steps per second of one run, from the rows it reports."""
    import entrax

    rows: list[tuple[int, int, float]] = []

    def watch(row: dict[str, Any]) -> bool:
        if row["updates"] >= WARM:
            rows.append((row["step"], row["updates"], row["time"]["seconds"]))
        return len(rows) > 1 and rows[-1][2] - rows[0][2] >= arguments.window

    with tempfile.TemporaryDirectory() as folder:
        run = entrax.train(
            arguments.env,
            agent=arguments.measure,
            steps=1_000_000,
            run=Path(folder) / "run",
            hook=watch,
            learning_starts=arguments.learning_starts,
            eval_every=0,
            checkpoint_every=0,
            log_every=500,
            threads=arguments.threads,
            hidden=(128, 128),
            batch_size=64,
        )
        settings = run.config["agent_config"] | run.config["training"]
    assert settings["updates_per_step"] == 1.0
    seconds = rows[-1][2] - rows[0][2]
    return {
        "steps_per_second": (rows[-1][0] - rows[0][0]) / seconds,
        "updates_per_second": (rows[-1][1] - rows[0][1]) / seconds,
        "seconds": seconds,
        "lag_in_steps": settings["chunk"] * settings["envs"],
        "versions": run.config["versions"],
    }


def measure_rival(arguments: argparse.Namespace) -> dict[str, Any]:
    """The same of Stable-Baselines3's DQN, with the number of threads that was set before it was imported."""
    import time

    import gymnasium
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback

    torch.set_num_threads(arguments.threads)
    warm = arguments.learning_starts + WARM
    seen: dict[str, float] = {}

    class Clock(BaseCallback):
        def _on_step(self) -> bool:
            seen["now"], seen["step"] = time.perf_counter(), self.num_timesteps
            if self.num_timesteps == warm:
                seen["warm"] = seen["now"]
            return "warm" not in seen or seen["now"] - seen["warm"] < arguments.window

    model = DQN(
        "MlpPolicy",
        gymnasium.make(arguments.env),
        learning_starts=arguments.learning_starts,
        buffer_size=1_000_000,
        batch_size=64,
        train_freq=1,
        gradient_steps=1,
        tau=0.005,
        target_update_interval=1,
        policy_kwargs={"net_arch": [128, 128]},
        device="cpu",
    )
    model.learn(1_000_000, callback=Clock())
    seconds = seen["now"] - seen["warm"]
    speed = (seen["step"] - warm) / seconds
    versions = machine.versions("stable-baselines3", "torch", "numpy", "gymnasium")
    return {"steps_per_second": speed, "updates_per_second": speed, "seconds": seconds, "versions": versions}


def run(arguments: argparse.Namespace, env: str, contender: str, threads: int | None) -> dict[str, Any]:
    """One contender in a process of its own."""
    python = THEIRS if contender == "sb3" else MINE
    common = ("--env", env, "--measure", contender, "--window", arguments.window)
    limits = {} if threads is None else {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    paths = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    result = measure(
        python,
        "discrete.py",
        *common,
        *("--learning-starts", arguments.learning_starts),
        *(() if threads is None else ("--threads", threads)),
        environment=limits | {"PYTHONPATH": paths},
    )
    say(
        f"  {env:15} {contender:13} {threads or '-':>2} threads {result['steps_per_second']:8.1f} steps/s   "
        f"(load before {result['load_average_before']:.2f}, others meanwhile {result['other_load']:.2f} cores)"
    )
    return result


def one_round(arguments: argparse.Namespace, env: str, agent: str, backwards: bool) -> dict[str, Any]:
    """entrax and its rival once each; the order can be turned."""
    contenders: list[tuple[str, int | None]] = [(agent, None), ("sb3", 1), ("sb3", 2)]
    runs = [(c, t, run(arguments, env, c, t)) for c, t in (contenders[::-1] if backwards else contenders)]
    speeds = {(c, t): result["steps_per_second"] for c, t, result in runs}
    return {
        "ratio": speeds[agent, None] / max(speeds["sb3", 1], speeds["sb3", 2]),
        "runs": [{"contender": c, "threads": t} | result for c, t, result in runs],
    }


def main() -> None:
    """One measurement, or all rounds."""
    arguments = parse()
    if arguments.measure is not None:
        measured = (measure_rival if arguments.measure == "sb3" else measure_entrax)(arguments)
        print(json.dumps(measured | {"peak_memory": machine.peak_memory()}))
        return
    results: dict[str, Any] = {}
    for env, agent in PAIRS:
        if arguments.env in (None, env):
            rounds = [one_round(arguments, env, agent, i % 2 == 1) for i in range(arguments.rounds)]
            results[f"{agent} on {env}"] = {"ratio": spread(r["ratio"] for r in rounds), "rounds": rounds}
    for name, result in results.items():
        say(show(f"{name} / Stable-Baselines3's DQN, at least 2", result["ratio"], "x"))
    say(f"Written: {save('discrete', {'settings': vars(arguments)} | results)}")


if __name__ == "__main__":
    main()
