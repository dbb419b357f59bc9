"""Search for the agent that learns most in a given number of CPU seconds, one core for each run.

    python benchmarks/small_form.py --tasks Walker2d-v5 --arms sac sac+soon lean --seeds 100 101 --seconds 140
    python benchmarks/small_form.py --table

An arm is a base with changes: `lean+batch128+per8` is `lean` with the changes `batch128` and `per8`. A run is one
process on one core. Its seconds are the CPU time since the process started, compilation and environment included,
evaluation excluded; it stops before the first row of metrics beyond them. Each finished run is one line of the results
file; runs that it holds already are skipped. The table has the median over seeds of the returns of each arm, and the
mean over tasks of its rank.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from statistics import mean, median
from typing import Any

from harness import RESULTS, ROOT, say

TASKS = (
    "HalfCheetah-v5",
    "Walker2d-v5",
    "Hopper-v5",
    "Ant-v5",
    "Pendulum-v1",
    "InvertedDoublePendulum-v5",
)
FAST: dict[str, Any] = {"envs": 8, "updates_per_step": 0.25, "learning_starts": 2_000, "learning_rate": 1e-3}
SMALL: dict[str, Any] = FAST | {"final_learning_rate": 1e-3, "hidden": (256, 256), "critic_hidden": (256, 256)}
LEAN: dict[str, Any] = SMALL | {"atoms": 1, "joint_batch": False, "normalisation": "renorm", "target_rate": 0.02}
BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sac": ("sac", FAST),  # the preset `fast`
    "small": ("xqc", SMALL),  # XQC's parts on networks of SAC's size
    # the parts that cost little: squared loss, (s, a) alone, renormalisation
    "lean": ("xqc", LEAN),
    # of these the weights of norm 1, the scaled rewards and the delay alone
    "weights": ("xqc", LEAN | {"normalisation": "none"}),
}
CHANGES: dict[str, dict[str, Any]] = {
    "soon": {"target_rate": 0.02, "policy_delay": 2},
    "batch-norm": {"normalisation": "batch"},
    "renorm": {"normalisation": "renorm"},
    "no-norm": {"normalisation": "none"},
    "free-weights": {"unit_weights": False},
    "squared": {"atoms": 1},
    "categorical": {"atoms": 101},
    "atoms51": {"atoms": 51},
    "alone": {"joint_batch": False},
    "joint": {"joint_batch": True},
    "raw-rewards": {"normalise_rewards": False},
    "scaled-rewards": {"normalise_rewards": True},
    "no-target": {"target_network": False},
    "target005": {"target_rate": 0.005},
    "target01": {"target_rate": 0.01},
    "target02": {"target_rate": 0.02},
    "target05": {"target_rate": 0.05},
    "delay1": {"policy_delay": 1},
    "delay2": {"policy_delay": 2},
    "delay3": {"policy_delay": 3},
    "delay4": {"policy_delay": 4},
    "wide": {"critic_hidden": (512, 512)},
    "deep": {"critic_hidden": (256, 256, 256)},
    "batch128": {"batch_size": 128},
    "batch512": {"batch_size": 512},
    "per2": {"updates_per_step": 0.5},
    "per8": {"updates_per_step": 0.125},
    "lr3e-4": {"learning_rate": 3e-4, "final_learning_rate": 3e-4},
    "lr6e-4": {"learning_rate": 6e-4, "final_learning_rate": 6e-4},
    "lr2e-3": {"learning_rate": 2e-3, "final_learning_rate": 2e-3},
    "alpha1": {"initial_temperature": 1.0},
    "alpha0.1": {"initial_temperature": 0.1},
    "discount99": {"discount": 0.99},
    "momentum0.9": {"momentum": 0.9},
    "16envs": {"envs": 16},
}
MOST_STEPS = 10**7


def parse() -> argparse.Namespace:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--arms", nargs="+", default=["sac", "sac+soon", "small", "lean", "weights"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[100, 101], help="for tuning only")
    parser.add_argument("--seconds", type=float, default=140.0, help="CPU seconds of each run")
    parser.add_argument("--cores", nargs="+", type=int, default=sorted(os.sched_getaffinity(0)), help="one run each")
    parser.add_argument("--eval-every", type=int, default=10_000, help="steps between evaluations")
    parser.add_argument("--episodes", type=int, default=10, help="of each evaluation; twice as many of the last")
    parser.add_argument("--out", type=Path, default=RESULTS / "small_form.jsonl")
    parser.add_argument("--table", action="store_true", help="only print the table of the results")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # the record of the run of this process
    return parser.parse_args()


def settings_of(arm: str) -> tuple[str, dict[str, Any]]:
    """Return an arm's agent and settings."""
    base, *changes = arm.split("+")
    agent, settings = BASES[base]
    for change in changes:
        settings = settings | CHANGES[change]
    return agent, {k: v for k, v in settings.items() if agent != "sac" or k != "final_learning_rate"}


def finished(path: Path) -> list[dict[str, Any]]:
    """Return the records of the runs in a results file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def key(record: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells runs apart."""
    return tuple(record[name] for name in ("task", "arm", "seed", "seconds"))


def wanted(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the runs that are not in the results file; all arms of a seed and a task in turn."""
    done = set(map(key, finished(arguments.out)))
    for seed in arguments.seeds:
        for task in arguments.tasks:
            for arm in arguments.arms:
                settings_of(arm)  # a mistake ends the search before it begins
                run = {"task": task, "arm": arm, "seed": seed, "seconds": arguments.seconds}
                run |= {"eval_every": arguments.eval_every, "episodes": arguments.episodes}
                if key(run) not in done:
                    yield run


def run_one(run: dict[str, Any]) -> dict[str, Any]:
    """Train in this process until its CPU seconds are over, and evaluate."""
    import entrax
    from entrax.training import loop

    evaluating, evaluate_mode = 0.0, loop.evaluate_mode
    evaluations: list[dict[str, Any]] = []
    last: dict[str, Any] = {}

    def timed(*arguments: Any) -> Any:
        nonlocal evaluating
        before = time.process_time()
        result = evaluate_mode(*arguments)
        evaluating += time.process_time() - before
        return result

    def hook(row: dict[str, Any]) -> bool:
        seconds = time.process_time() - evaluating
        if "evaluation" in row:
            evaluations.append({"step": row["step"], "seconds": seconds, "mean": row["evaluation"]["mean"]})
            return False
        since = last.get("seconds", seconds)
        last.update(seconds=seconds, step=row["step"], updates=row["updates"], wall=row["time"]["seconds"])
        return bool(seconds + (seconds - since) > run["seconds"])

    vars(loop)["evaluate_mode"] = timed
    agent, settings = settings_of(run["arm"])
    with tempfile.TemporaryDirectory() as folder:
        trained = entrax.train(
            run["task"],
            agent,
            run=Path(folder) / "run",
            seed=run["seed"],
            steps=MOST_STEPS,
            hook=hook,
            workers=0,
            threads=1,
            log_every=800,
            eval_every=run["eval_every"],
            eval_episodes=run["episodes"],
            checkpoint_seconds=0.0,
            **settings,
        )
        returns = trained.evaluate(episodes=2 * run["episodes"]).returns
    return run | {
        "settings": settings,
        "step": last["step"],
        "updates": last["updates"],
        "cpu_seconds": last["seconds"],
        "wall_seconds": last["wall"],
        "mean": mean(map(float, returns)),
        "returns": [round(float(value), 2) for value in returns],
        "evaluations": evaluations,
        "load_average": os.getloadavg()[0],
    }


def start(run: dict[str, Any], cores: "SimpleQueue[int]") -> dict[str, Any]:
    """Make one run in a process of its own, on a core of its own."""
    core = cores.get()
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
    variables = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "XLA_FLAGS": flags}
    command = ["taskset", "-c", str(core), sys.executable, __file__, "--one", json.dumps(run)]
    try:
        done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    finally:
        cores.put(core)
    if done.returncode != 0:  # such as an arm that diverges
        return run | {"error": done.stderr.strip().splitlines()[-1][:500]}
    record: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return record


def late(record: dict[str, Any], share: float = 0.2) -> float:
    """Return the mean of a run's last evaluation and those in the last fifth of its seconds; -inf if it failed."""
    if "error" in record:
        return float("-inf")
    since = (1.0 - share) * record["cpu_seconds"]
    return mean([record["mean"], *(row["mean"] for row in record["evaluations"] if row["seconds"] >= since)])


def table(records: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table: medians over seeds, best mean rank first."""
    tasks = list(dict.fromkeys(record["task"] for record in records))
    arms = dict.fromkeys(record["arm"] for record in records)
    cells = {
        (arm, task): [late(r) for r in records if (r["arm"], r["task"]) == (arm, task)]
        for arm in arms
        for task in tasks
    }
    medians = {place: median(values) for place, values in cells.items() if values}
    ranks: dict[str, float] = {}
    for arm in arms:
        beside = [(task, medians[arm, task]) for task in tasks if (arm, task) in medians]
        ranks[arm] = mean(1 + sum(medians.get((o, task), float("-inf")) > own for o in arms) for task, own in beside)
    yield "| arm | rank | " + " | ".join(tasks) + " | runs | updates a second |"
    yield "|---" * (len(tasks) + 4) + "|"
    for arm in sorted(arms, key=lambda arm: ranks[arm]):
        own = [r for r in records if r["arm"] == arm]
        rates = [r["updates"] / r["cpu_seconds"] for r in own if "error" not in r]
        shown = [f"{medians[arm, task]:.0f}" if (arm, task) in medians else "" for task in tasks]
        rate = f"{median(rates):.0f}" if rates else ""
        yield " | ".join([f"| `{arm}`", f"{ranks[arm]:.2f}", *shown, str(len(own)), f"{rate} |"])


def main() -> None:
    """Make the runs that are missing, then print the table."""
    arguments = parse()
    if arguments.one is not None:
        print(json.dumps(run_one(json.loads(arguments.one))))
        return
    runs = [] if arguments.table else list(wanted(arguments))
    cores: SimpleQueue[int] = SimpleQueue()
    for core in arguments.cores:
        cores.put(core)
    with ThreadPoolExecutor(len(arguments.cores)) as pool:
        for done in as_completed([pool.submit(start, run, cores) for run in runs]):
            record = done.result()
            arguments.out.parent.mkdir(exist_ok=True)
            with arguments.out.open("a") as file:
                file.write(json.dumps(record) + "\n")
            what = record.get("error") or f"{late(record):.1f} after {record['step']:,} steps"
            say(f"{record['task']} {record['arm']} seed {record['seed']}: {what}")
    for line in table([r for r in finished(arguments.out) if r["seconds"] == arguments.seconds]):
        say(line)


if __name__ == "__main__":
    main()
