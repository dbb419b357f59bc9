"""Compare the steps per second of tabular learners.

They are entrax, a NumPy reference, and numba.

    python benchmarks/tabular.py [--repeats 5] [--no-numba]

Every competitor runs in a process of its own, in turn, `--repeats` times. numba compiles the reference function below
unchanged. entrax is measured for one learner and for many seeds at once, numba for one learner and for as many seeds on
all cores. The distance to the exact values is reported for each. numba is among the rivals in .bench-venv. Random
numbers are part of the time; compilation is not, and is reported. Ratios are taken within a repeat.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LEARNERS = {"q-learning": (0.0, 0.1), "soft-q-learning": (0.2, 0.0)}  # temperature, ε
PROBLEMS = ("frozen-lake", "garnet")
SEEDS = 64
CHUNK = 1024
POWER = 0.75
PAIRED = (("ours", "numpy"), ("ours", "numba"), ("ours-seeds", "numpy"), ("ours-seeds", "numba-seeds"))
STEPS = {"ours": 2_000_000, "ours-seeds": 200_000, "numpy": 100_000, "numba": 10_000_000, "numba-seeds": 1_000_000}


def learn(successor, threshold, reward, ends, first, discount, temperature, epsilon, q, visits, state, uniform):  # type: ignore[no-untyped-def]
    """Learn by Q-learning or soft Q-learning for one chunk of uniform numbers.

    Q-learning (temperature 0) is ε-greedy; soft Q-learning uses its own policy.
    """
    actions = q.shape[1]
    weight = np.zeros(actions)
    for t in range(uniform.shape[0]):
        row = q[state]
        if temperature > 0:
            best = row.max()
            total = 0.0
            for a in range(actions):
                total += np.exp((row[a] - best) / temperature)
                weight[a] = total
            action = 0
            while weight[action] <= uniform[t, 0] * total and action < actions - 1:
                action += 1
        elif uniform[t, 0] < epsilon:
            action = int(uniform[t, 0] / epsilon * actions)
        else:
            action = int(row.argmax())
        branch = 0
        while uniform[t, 1] >= threshold[state, action, branch]:
            branch += 1
        following = successor[state, action, branch]
        target = reward[state, action, branch]
        if not ends[state, action, branch]:
            row = q[following]
            best = row.max()
            if temperature > 0:
                total = 0.0
                for a in range(actions):
                    total += np.exp((row[a] - best) / temperature)
                best += temperature * np.log(total)
            target += discount * best
        visits[state, action] += 1
        q[state, action] += visits[state, action] ** -POWER * (target - q[state, action])
        if ends[state, action, branch]:
            following = 0
            while uniform[t, 2] >= first[following]:
                following += 1
        state = following
    return state


def run_reference(step: Any, tables: dict[str, Any], learner: str, steps: int, seed: int) -> Any:
    """Run the reference or its compiled form for `steps` steps; return Q."""
    temperature, epsilon = LEARNERS[learner]
    rng = np.random.default_rng(seed)
    q = np.zeros(tables["reward"].shape[:2])
    visits = np.zeros(q.shape, np.int64)
    names = ("successor", "threshold", "reward", "ends", "first")
    state = int(np.searchsorted(tables["first"], rng.random(), side="right"))
    for _ in range(steps // CHUNK):
        uniform = rng.random((CHUNK, 3))
        state = step(
            *(tables[n] for n in names), float(tables["discount"]), temperature, epsilon, q, visits, state, uniform
        )
    return q


def measure_reference(kind: str, tables: dict[str, Any], learner: str) -> dict[str, Any]:
    """Measure the NumPy reference or numba."""
    steps, step, compiling = STEPS[kind], learn, 0.0
    runs = SEEDS if kind == "numba-seeds" else 1
    if kind != "numpy":
        import numba

        step = numba.njit(learn, nogil=True)
        start = time.perf_counter()
        run_reference(step, tables, learner, CHUNK, 0)
        compiling = time.perf_counter() - start
    start = time.perf_counter()
    if runs == 1:
        learned = [run_reference(step, tables, learner, steps, 1)]
    else:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # the compiled function holds no lock of the interpreter
            learned = list(pool.map(lambda seed: run_reference(step, tables, learner, steps, seed), range(runs)))
    return report(runs * (steps // CHUNK) * CHUNK, time.perf_counter() - start, compiling, learned, tables, learner)


def measure_ours(kind: str, tables: dict[str, Any], learner: str) -> dict[str, Any]:
    """Measure entrax on the CPU."""
    import jax

    from entrax import tabular

    mdp = problem(str(tables["name"]))
    temperature, epsilon = LEARNERS[learner]
    steps, seeds = STEPS[kind], SEEDS if kind == "ours-seeds" else 1
    step_size = tabular.StepSize(power=POWER)

    def one(key: jax.Array) -> jax.Array:
        if temperature:
            return tabular.soft_q_learning(mdp, temperature, steps=steps, key=key, step_size=step_size).q
        behaviour = tabular.EpsilonGreedy(epsilon)
        return tabular.q_learning(mdp, steps=steps, key=key, step_size=step_size, behaviour=behaviour).q

    run = jax.jit(jax.vmap(one))
    keys = jax.random.split(jax.random.key(0), seeds)
    start = time.perf_counter()
    compiled = run.lower(keys).compile()
    compiling = time.perf_counter() - start
    start = time.perf_counter()
    learned = np.asarray(jax.block_until_ready(compiled(keys)))
    return report(seeds * -(-steps // CHUNK) * CHUNK, time.perf_counter() - start, compiling, learned, tables, learner)


def report(
    steps: int, seconds: float, compiling: float, learned: Any, tables: dict[str, Any], learner: str
) -> dict[str, Any]:
    """Return the record of one measurement, with the median error over seeds."""
    truth = tables[learner]
    errors = [np.abs(np.asarray(q).max(axis=1) - truth.max(axis=1)).mean() for q in learned]
    return {
        "steps_per_second": steps / seconds,
        "compile_seconds": compiling,
        "mean_error": float(np.median(errors)),
        "mean_value": float(np.abs(truth.max(axis=1)).mean()),
    }


def problem(name: str) -> Any:
    """Return FrozenLake from every live cell, or a random problem.

    The random problem has 1000 states, 8 actions and 5 branches.
    """
    from entrax.problems import FiniteMDP, garnet

    if name == "garnet":
        return garnet(1000, 8, 5, seed=0, discount=0.95)
    live = np.ones(16)
    live[[5, 7, 11, 12, 15]] = 0
    return FiniteMDP.from_gymnasium("FrozenLake-v1", discount=0.95, initial=live / live.sum())


def write_tables(name: str, path: Path) -> None:
    """Write the reference's tables and the exact Q to an .npz file.

    It can be read without JAX.
    """
    from entrax.tabular import make_simulator

    mdp = problem(name)
    simulator = make_simulator(mdp)
    exact = {}
    for learner, (temperature, _) in LEARNERS.items():
        value, q = np.zeros(mdp.states + 1), mdp.reward
        for _ in range(1000):
            q = mdp.reward + mdp.discount * (mdp.probability * value[mdp.successor]).sum(axis=-1)
            best = q.max(axis=1)
            if temperature:
                best = best + temperature * np.log(np.exp((q - best[:, None]) / temperature).sum(axis=1))
            value[:-1] = np.where(mdp.terminal, 0, best)
        exact[learner] = np.where(mdp.terminal[:, None], 0, q)
    np.savez(
        path,
        name=name,
        successor=np.asarray(simulator.successor),
        threshold=np.asarray(simulator.cumulative, float),
        reward=np.asarray(simulator.reward, float),
        ends=np.asarray(simulator.ends),
        first=np.asarray(simulator.initial, float),
        discount=mdp.discount,
        **exact,
    )


def compare(numba: bool, repeats: int) -> None:
    """Measure everything in turn, print it, and write results/tabular.json."""
    import harness

    kinds = ["ours", "ours-seeds", "numpy"] + (["numba", "numba-seeds"] if numba else [])
    record: dict[str, Any] = {"seeds": SEEDS, "steps": STEPS, "results": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in PROBLEMS:
            path = Path(folder) / f"{name}.npz"
            write_tables(name, path)
            for learner in LEARNERS:
                runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
                for _ in range(repeats):
                    for kind in kinds:
                        python = harness.THEIRS if kind.startswith("numba") else harness.MINE
                        environment = {"JAX_PLATFORMS": "cpu"}
                        runs[kind].append(
                            harness.measure(python, "tabular.py", kind, path, learner, environment=environment)
                        )
                harness.say(f"{name}, {learner}: million steps per second")
                for kind in kinds:
                    speed = harness.spread(run["steps_per_second"] / 1e6 for run in runs[kind])
                    harness.say(harness.show(f"  {kind}", speed), f"mean error {runs[kind][0]['mean_error']:.4f}")
                    record["results"][f"{name}/{learner}/{kind}"] = {
                        "million_steps_per_second": speed,
                        "runs": runs[kind],
                    }
                for mine, theirs in PAIRED:
                    if theirs in runs:
                        pairs = zip(runs[mine], runs[theirs], strict=True)
                        ratio = harness.spread(m["steps_per_second"] / t["steps_per_second"] for m, t in pairs)
                        harness.say(harness.show(f"  {mine} / {theirs}", ratio, "x"))
                        record["results"][f"{name}/{learner}/{mine} / {theirs}"] = ratio
    harness.say("wrote", harness.save("tabular", record))


def main() -> None:
    """Compare all kinds, or measure the one given and print JSON."""
    if len(sys.argv) > 1 and sys.argv[1] in STEPS:
        kind, path, learner = sys.argv[1:]
        tables = dict(np.load(path, allow_pickle=False))
        measure = measure_ours if kind.startswith("ours") else measure_reference
        print(json.dumps(measure(kind, tables, learner)))
        return
    parser = argparse.ArgumentParser(description="Speed of the tabular learners.")
    parser.add_argument("--no-numba", action="store_true", help="against NumPy alone")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    compare(not arguments.no_numba, arguments.repeats)


if __name__ == "__main__":
    main()
