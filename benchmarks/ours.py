"""Train once with entrax through its Python API and measure the times.

Prints one JSON line. By default the work is that of the rivals: one environment, one update per step, and the other
settings of the preset `paper`, which are two hidden layers of 256, batches of 256 and a replay buffer of a million
transitions.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import machine

import entrax
from entrax.runs.transition_log import TransitionLog


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="HalfCheetah-v5")
    parser.add_argument("--agent", help="by default the first choice for the environment")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1_000_000, help="the length of the run")
    parser.add_argument("--learning-starts", type=int, help="random first steps; the preset's own if not given")
    parser.add_argument("--log-every", type=int, default=1_000, help="steps between two readings of the clock")
    parser.add_argument("--threads", type=int, help="cores that learning may use")
    parser.add_argument("--eval-every", type=int, default=0)
    parser.add_argument("--eval-episodes", type=int, default=10)
    parser.add_argument("--final-episodes", type=int, default=0, help="deterministic episodes after the training")
    parser.add_argument("--warm", type=int, default=200, help="updates before the measured part")
    parser.add_argument("--window", type=float, help="measured seconds after which to stop")
    parser.add_argument("--limit", type=float, help="training seconds since process start before which to stop")
    parser.add_argument(
        "--no-saving", action="store_true", help="write neither checkpoints nor the log, to measure their cost"
    )
    parser.add_argument("--first-update", action="store_true", help="stop after the first updates")
    return parser.parse_args()


class Watch:
    """A hook that records the rows and stops the run in time."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.rows: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self.first_update: float | None = None
        self.warm: int | None = None
        """Index of the row at which the measured part begins."""
        self.peak_memory = 0

    def __call__(self, row: dict[str, Any]) -> bool:
        if "evaluation" in row:
            returns = row["evaluation"]["returns"]
            self.evaluations.append({"step": row["step"], "seconds": row["time"]["seconds"], "returns": returns})
            return False
        self.rows.append({"step": row["step"], "updates": row["updates"], **row["time"]})
        if not self.arguments.first_update:  # then every row would take time
            self.peak_memory = max(self.peak_memory, machine.peak_memory())
        if row["updates"] > 0 and self.first_update is None:
            self.first_update = row["time"]["seconds"]
        if self.warm is None and row["updates"] >= self.arguments.warm:
            self.warm = len(self.rows) - 1
        return self._time_to_stop()

    def _time_to_stop(self) -> bool:
        arguments, seconds = self.arguments, self.rows[-1]["seconds"]
        if arguments.first_update and self.first_update is not None:
            return True
        if arguments.limit is not None:
            since = self.rows[-2]["seconds"] if len(self.rows) > 1 else 0.0
            if seconds + (seconds - since) > arguments.limit:  # the next row would be too late
                return True
        if arguments.window is not None and self.warm is not None:
            return seconds - self.rows[self.warm]["seconds"] >= arguments.window
        return False

    def measured(self) -> dict[str, Any]:
        """Return the rates of the measured part; empty if there was none."""
        if self.warm is None or self.warm == len(self.rows) - 1:
            return {}
        a, b = self.rows[self.warm], self.rows[-1]
        seconds = b["seconds"] - a["seconds"]
        return {
            "measured": {"from_step": a["step"], "to_step": b["step"], "seconds": seconds},
            "saving_share": (b["saving"] - a["saving"]) / seconds,
            "saving_cpu_share": (b["saving_cpu"] - a["saving_cpu"]) / seconds,
            "steps_per_second": (b["step"] - a["step"]) / seconds,
            "updates_per_second": (b["updates"] - a["updates"]) / seconds,
            "updates_per_second_by_row": [round(r["updates_per_second"], 1) for r in self.rows[self.warm + 1 :]],
        }


def main() -> None:
    """Train once."""
    arguments = parse()
    watch = Watch(arguments)
    if arguments.no_saving:
        TransitionLog.append = lambda self, rows: None  # type: ignore[method-assign]
    settings = {"learning_starts": arguments.learning_starts} if arguments.learning_starts is not None else {}
    with tempfile.TemporaryDirectory() as folder:
        run = entrax.train(
            arguments.env,
            agent=arguments.agent,
            steps=arguments.steps,
            seed=arguments.seed,
            run=Path(folder) / "run",
            preset=arguments.preset,
            hook=watch,
            start_time=time.perf_counter() - machine.process_seconds(),
            eval_every=arguments.eval_every,
            eval_episodes=arguments.eval_episodes,
            checkpoint_seconds=0.0 if arguments.no_saving else 60.0,
            log_every=1 if arguments.first_update else arguments.log_every,
            threads=arguments.threads,
            **settings,
        )
        final = run.evaluate(episodes=arguments.final_episodes) if arguments.final_episodes else None
    training = run.config["training"]
    record = {
        "library": "entrax",
        "env": arguments.env,
        "agent": run.config["agent"],
        "preset": arguments.preset,
        "seed": arguments.seed,
        "envs": training["envs"],
        "updates_per_step": training["updates_per_step"],
        "learning_starts": training["learning_starts"],
        "lag_in_steps": training["chunk"] * training["envs"],
        "threads": training["threads"],
        "step": watch.rows[-1]["step"],
        "updates": watch.rows[-1]["updates"],
        "seconds": watch.rows[-1]["seconds"],
        "first_update_seconds": watch.first_update,
        "peak_memory": watch.peak_memory,
        "evaluations": watch.evaluations,
        "returns": list(final.returns) if final is not None else [],
        "versions": run.config["versions"],
    }
    print(json.dumps(record | watch.measured()))


if __name__ == "__main__":
    main()
