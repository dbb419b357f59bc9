"""Compare the steps per second of DQN, discrete SAC and PPO with rivals.

The rivals are Stable-Baselines3 and SBX. All have the same work, `WORK`, in one environment. Discrete SAC updates two
critics and a policy where DQN updates one network. A rival counts at the better number of threads in each round. Prints
ratios with their spread and writes results/AGENT-ENV.json for every pair.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from harness import MINE, ROOT, THEIRS, measure, save, say, show, spread

PAIRS = {
    "dqn": (["CartPole-v1"], ["sb3"]),
    "discrete-sac": (["Acrobot-v1"], ["sb3"]),
    "ppo": (["CartPole-v1", "HalfCheetah-v5"], ["sb3", "sbx"]),
}
"""By agent, the environments and the rivals; discrete SAC is compared with DQN."""
NAMES = {"sb3": "Stable-Baselines3", "sbx": "SBX"}
DQN = {"batch_size": 64, "hidden": (128, 128), "learning_starts": 1_000}
"""One update and one target update per step, a replay buffer of a million transitions."""
PPO = {"batch_size": 64, "hidden": (64, 64), "rollout_steps": 2048, "epochs": 10}
"""Separate networks for policy and value."""
WORK = {"dqn": DQN, "discrete-sac": DQN, "ppo": PPO}
WARM = {"dqn": 1_200, "discrete-sac": 1_200, "ppo": 2 * 2048}
"""Steps before the measured part."""
EVERY = {"dqn": 500, "discrete-sac": 500, "ppo": 2048}
"""Steps between two readings of the clock; for PPO a whole rollout with its updates."""


def parse() -> argparse.Namespace:
    """Parse the arguments; `--measure` is for the processes that measure one library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=float, default=15.0, help="measured seconds of each run, at least")
    parser.add_argument("--agent", choices=list(PAIRS), help="only this agent")
    parser.add_argument("--env", help="only this environment")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads that rivals may use")
    parser.add_argument("--measure", choices=["entrax", *NAMES], help=argparse.SUPPRESS)
    return parser.parse_args()


class Clock:
    """Reads the clock at steps, starting with the first after `warm`."""

    def __init__(self, agent: str, window: float):
        self.warm, self.window = WARM[agent], window
        self.seen: list[tuple[int, float, float]] = []

    def __call__(self, step: int) -> bool:
        """Record the time of a step; return whether the window is over."""
        if step >= self.warm:
            self.seen.append((step, time.perf_counter(), time.process_time()))
        return len(self.seen) > 1 and self.seen[-1][1] - self.seen[0][1] >= self.window

    def measured(self) -> dict[str, float]:
        """Return steps per second, and the processor time of this process per step."""
        (step0, begun, cpu0), (step, ended, cpu) = self.seen[0], self.seen[-1]
        steps, seconds = step - step0, ended - begun
        rates = {"steps_per_second": steps / seconds, "cpu_microseconds_per_step": 1e6 * (cpu - cpu0) / steps}
        return rates | {"seconds": seconds, "steps": steps}


def measure_entrax(agent: str, env: str, window: float) -> dict[str, Any]:
    """Time one run by its rows of metrics."""
    import entrax

    clock = Clock(agent, window)
    with tempfile.TemporaryDirectory() as folder:
        run = entrax.train(
            env,
            agent=agent,
            envs=1,
            normalise_obs=False,
            normalise_rewards=False,
            steps=1_000_000,
            run=Path(folder) / "run",
            hook=lambda row: clock(row["step"]),
            eval_every=0,
            log_every=EVERY[agent],
            **WORK[agent],
        )
        training = run.config["training"]
    lag = 0 if agent == "ppo" else training["chunk"] * training["envs"]
    return clock.measured() | {"lag_in_steps": lag, "versions": run.config["versions"]}


def make_rival(library: str, agent: str, env: str) -> Any:
    """Make the rival's agent with the same work."""
    import gymnasium

    if library == "sbx":
        from sbx import PPO as Ppo
    else:
        from stable_baselines3 import DQN as Dqn
        from stable_baselines3 import PPO as Ppo
    work = WORK[agent]
    common = {"batch_size": work["batch_size"], "device": "cpu"}
    if agent == "ppo":
        layers = list(PPO["hidden"])
        policy = {"net_arch": {"pi": layers, "vf": layers}}
        steps = {"n_steps": PPO["rollout_steps"], "n_epochs": PPO["epochs"]}
        return Ppo("MlpPolicy", gymnasium.make(env), policy_kwargs=policy, **steps, **common)
    return Dqn(
        "MlpPolicy",
        gymnasium.make(env),
        learning_starts=DQN["learning_starts"],
        buffer_size=1_000_000,
        train_freq=1,
        gradient_steps=1,
        tau=0.005,
        target_update_interval=1,
        policy_kwargs={"net_arch": list(DQN["hidden"])},
        **common,
    )


def measure_rival(library: str, agent: str, env: str, window: float, threads: int) -> dict[str, Any]:
    """Time a rival at the same steps."""
    import torch
    from stable_baselines3.common.callbacks import BaseCallback

    torch.set_num_threads(threads)
    clock, every = Clock(agent, window), EVERY[agent]

    class Watch(BaseCallback):
        """Read the clock at the start of a rollout and after every step.

        At the start of a rollout all updates before it are done.
        """

        over = False

        def _on_rollout_start(self) -> None:
            if self.num_timesteps % every == 0:
                self.over = clock(self.num_timesteps)

        def _on_step(self) -> bool:
            return not self.over

    make_rival(library, agent, env).learn(1_000_000, callback=Watch())
    names = ("stable-baselines3", "sbx-rl", "torch", "jax", "numpy", "gymnasium", "mujoco")
    return clock.measured() | {"versions": machine.versions(*names)}


def run(arguments: argparse.Namespace, agent: str, env: str, contender: str, threads: int | None) -> dict[str, Any]:
    """Measure one contender in its own process."""
    variables = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))}
    if threads is not None:
        variables |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")}
    which = ("--measure", contender, "--agent", agent, "--env", env, "--window", arguments.window)
    python = MINE if contender == "entrax" else THEIRS
    result = measure(python, "discrete.py", *which, "--threads", threads or 1, environment=variables)
    cost, other = result["cpu_microseconds_per_step"], result["other_load"]
    say(
        f"  {contender:7} {threads or '-':>2} threads {result['steps_per_second']:8.1f} steps/s, {cost:6.0f} µs of "
        f"processor time a step   (load before {result['load_average_before']:.2f}, others meanwhile {other:.2f} cores)"
    )
    return result


def one_round(arguments: argparse.Namespace, agent: str, env: str, backwards: bool) -> list[dict[str, Any]]:
    """Measure entrax and its rivals once each, in either order."""
    rivals = PAIRS[agent][1]
    contenders: list[tuple[str, int | None]] = [("entrax", None), *((r, t) for r in rivals for t in arguments.threads)]
    order = contenders[::-1] if backwards else contenders
    return [{"contender": c, "threads": t} | run(arguments, agent, env, c, t) for c, t in order]


def compare(arguments: argparse.Namespace, agent: str, env: str) -> None:
    """Measure all rounds of one pair, with the ratios of each round."""
    say(f"{agent} on {env}")
    rounds = [one_round(arguments, agent, env, i % 2 == 1) for i in range(arguments.rounds)]
    record: dict[str, Any] = {"settings": vars(arguments) | {"work": WORK[agent]}, "rounds": rounds}
    for rival in PAIRS[agent][1]:
        best = [max(r["steps_per_second"] for r in runs if r["contender"] == rival) for runs in rounds]
        mine = [next(r["steps_per_second"] for r in runs if r["contender"] == "entrax") for runs in rounds]
        record[f"entrax/{rival}"] = spread(m / b for m, b in zip(mine, best, strict=True))
        whose = "PPO" if agent == "ppo" else "DQN"
        say(show(f"entrax / {whose} of {NAMES[rival]}", record[f"entrax/{rival}"], "x"))
    say(f"Written: {save(f'{agent}-{env}', record)}")


def main() -> None:
    """Measure one contender, or all pairs."""
    arguments = parse()
    if arguments.measure is not None:
        where = arguments.agent, arguments.env, arguments.window
        if arguments.measure == "entrax":
            measured = measure_entrax(*where)
        else:
            measured = measure_rival(arguments.measure, *where, arguments.threads[0])
        print(json.dumps(measured | {"peak_memory": machine.peak_memory()}))
        return
    for agent, (envs, _) in PAIRS.items():
        for env in envs:
            if arguments.agent in (None, agent) and arguments.env in (None, env):
                compare(arguments, agent, env)


if __name__ == "__main__":
    main()
