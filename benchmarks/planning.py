"""Compare the time of exact planning with other programs.

The rivals are mdpsolver, QuantEcon and a NumPy/SciPy soft value iteration.

    .venv/bin/python benchmarks/planning.py [--limit 60] [--only garnet] [--budget 600]

Every solve is a process of its own with a time limit. The rivals are installed in `.bench-planning-venv` on first use.
All get the same arrays and tolerance; the error of every answer is measured against a certified solution. `load` is the
load average before the run: with other work on the machine the seconds are unreliable. Writes results/planning.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RIVALS = HERE.parent / ".bench-planning-venv"
RESULTS = HERE / "results" / "planning.json"
TOLERANCE = 1e-4  # on the value, in the maximum norm
ALPHA = 0.1
PACKAGES = ("mdpsolver", "quantecon", "numpy", "scipy")
Arrays = dict[str, Any]


# ---- problems, as arrays in the layout of FiniteMDP ----------------------------------------------------------------


def grid(size: int) -> Arrays:
    """Return a grid with four moves, a cost of 1 per step and an end in one corner.

    A move goes where it is meant with probability 0.8, and to either side with 0.1.
    """
    states = size * size
    cell = np.arange(states).reshape(size, size)
    moved = [
        np.vstack([cell[:1], cell[:-1]]),
        np.hstack([cell[:, 1:], cell[:, -1:]]),
        np.vstack([cell[1:], cell[-1:]]),
        np.hstack([cell[:, :1], cell[:, :-1]]),
    ]
    ways = [np.stack([moved[(a + turn) % 4].ravel() for turn in (0, 1, 3)], axis=1) for a in range(4)]
    successor = np.stack(ways, axis=1).astype(np.int32)
    probability = np.broadcast_to([0.8, 0.1, 0.1], successor.shape).copy()
    reward = np.full((states, 4), -1.0)
    terminal = np.arange(states) == states - 1
    successor[successor == states - 1] = states
    successor[terminal], probability[terminal], reward[terminal] = states, 0.0, 0.0
    return {"successor": successor, "probability": probability, "reward": reward, "terminal": terminal}


def from_library(name: str, *arguments: int, **options: int) -> Arrays:
    """A problem of entrax's library."""
    from entrax.problems import library

    mdp = getattr(library, name)(*arguments, **options)
    return {key: np.asarray(getattr(mdp, key)) for key in ("successor", "probability", "reward", "terminal")}


PROBLEMS: dict[str, tuple[Callable[[], Arrays], Callable[[], Arrays]]] = {
    "garnet": (
        lambda: from_library("garnet", 100_000, 8, 5, seed=0),
        lambda: from_library("garnet", 100, 8, 5, seed=0),
    ),
    "pendulum": (lambda: from_library("pendulum", 201, 201, 9), lambda: from_library("pendulum", 11, 11, 9)),
    "grid": (lambda: grid(1000), lambda: grid(10)),
}
"""By name, the problem and a tiny one of the same shape, which measures the memory of JAX and its compiler."""


# ---- solvers: each returns the seconds of its runs and the value ---------------------------------------------------


def entrax(problem: Arrays, discount: float, alpha: float, tolerance: float) -> dict[str, Any]:
    """Solve twice: with compilation and without."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from entrax.exact import plan
    from entrax.problems import FiniteMDP

    states = len(problem["terminal"])
    mdp = FiniteMDP(**problem, initial=np.full(states, 1 / states), discount=discount)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        solution = plan(mdp, alpha, tolerance=tolerance)
        jax.block_until_ready(solution.value)
        seconds.append(time.perf_counter() - start)
        if seconds[0] > 100:
            break
    return {
        "cold": seconds[0],
        "warm": seconds[-1],
        "value": np.asarray(solution.value),
        "iterations": int(solution.iterations),
        "products": int(solution.products),
        "error_bound": float(solution.error_bound),
        "method": solution.method,
    }


def absorbing(problem: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return successors, probabilities and rewards with the end as a state.

    That state, the last one, only leads to itself.
    """
    successor, probability, reward = (problem[key] for key in ("successor", "probability", "reward"))
    states, actions, branches = successor.shape
    successor = np.concatenate([successor, np.full((1, actions, branches), states, successor.dtype)])
    probability = np.concatenate([probability, np.zeros((1, actions, branches))])
    empty = probability.sum(axis=2) == 0
    probability[empty, 0] = 1.0
    return successor, probability, np.concatenate([reward, np.zeros((1, actions))])


def quantecon(problem: Arrays, discount: float, alpha: float, tolerance: float) -> dict[str, Any]:
    """Modified policy iteration on the sparse state-action formulation."""
    import quantecon as qe
    from scipy import sparse

    successor, probability, reward = absorbing(problem)
    states, actions, branches = successor.shape
    start = np.arange(0, successor.size + 1, branches)
    matrix = sparse.csr_matrix((probability.ravel(), successor.ravel(), start), shape=(states * actions, states))
    matrix.sum_duplicates()
    index = np.repeat(np.arange(states), actions), np.tile(np.arange(actions), states)
    seconds = []
    for _ in range(2):
        begin = time.perf_counter()
        ddp = qe.markov.DiscreteDP(reward.ravel(), matrix, discount, *index)
        solution = ddp.solve(method="modified_policy_iteration", epsilon=tolerance, max_iter=10**9)
        seconds.append(time.perf_counter() - begin)
        if seconds[0] > 20:
            break
    return {"cold": seconds[0], "warm": seconds[-1], "value": np.asarray(solution.v)[:-1]}


def mdpsolver(problem: Arrays, discount: float, alpha: float, tolerance: float) -> dict[str, Any]:
    """Solve by mdpsolver's modified policy iteration in parallel.

    The time excludes turning the arrays into its nested lists.
    """
    import mdpsolver

    successor, probability, reward = absorbing(problem)
    model = mdpsolver.model()
    model.mdp(
        discount=discount,
        rewards=reward.tolist(),
        tranMatProbs=probability.tolist(),
        tranMatColumns=successor.tolist(),
    )
    begin = time.perf_counter()
    model.solve(algorithm="mpi", tolerance=tolerance, update="standard", parallel=True)
    seconds = time.perf_counter() - begin
    return {"cold": seconds, "warm": seconds, "value": np.asarray(model.getValueVector())[:-1]}


def numpy(problem: Arrays, discount: float, alpha: float, tolerance: float) -> dict[str, Any]:
    """Soft value iteration with SciPy, to the residual that certifies the tolerance."""
    from scipy import sparse
    from scipy.special import logsumexp

    successor, probability, reward = (problem[key] for key in ("successor", "probability", "reward"))
    states, actions, branches = successor.shape
    start = np.arange(0, successor.size + 1, branches)
    shape = (states * actions, states + 1)
    matrix = sparse.csr_matrix((probability.ravel(), successor.ravel(), start), shape=shape)
    begin = time.perf_counter()
    value = np.zeros(states + 1)
    while True:
        q = reward + discount * (matrix @ value).reshape(states, actions)
        after = alpha * logsumexp(q / alpha, axis=1) if alpha else q.max(axis=1)
        after[problem["terminal"]] = 0.0
        residual = np.abs(after - value[:-1]).max()
        value[:-1] = after
        if residual <= tolerance * (1 - discount):
            break
    seconds = time.perf_counter() - begin
    return {"cold": seconds, "warm": seconds, "value": value[:-1]}


SOLVERS = {"entrax": entrax, "quantecon": quantecon, "mdpsolver": mdpsolver, "numpy": numpy}


def peak() -> int:
    """Return the peak resident bytes of this process.

    getrusage would count the parent's too.
    """
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def work(arguments: argparse.Namespace) -> None:
    """Solve once, in a process of its own.

    Reads arrays, writes the value and a JSON line.
    """
    before = peak()
    with np.load(arguments.arrays) as file:
        problem = {key: file[key] for key in file.files}
    result = SOLVERS[arguments.solver](problem, arguments.discount, arguments.alpha, arguments.tolerance)
    np.save(arguments.out, result.pop("value"))
    result["peak_bytes"] = peak() - before
    print(json.dumps(result))


# ---- one sweep against the memory ----------------------------------------------------------------------------------


def sweeps() -> dict[str, Any]:
    """Measure one sweep: seconds, bandwidth and linearity.

    The bandwidth is a share of that of a sum over memory.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    from entrax.exact.bellman import backup, make_sweep
    from entrax.problems import FiniteMDP

    def best(function: Callable[..., Any], *arguments: Any, rounds: int = 9) -> float:
        jax.block_until_ready(function(*arguments))
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            times.append(time.perf_counter() - start)
        return min(times)

    many = jnp.ones(50_000_000)
    bandwidth = many.nbytes / best(jax.jit(jnp.sum), many)
    out: dict[str, Any] = {"bandwidth_gb_s": bandwidth / 1e9}
    jitted = jax.jit(backup)

    def timed(problem: Arrays, alpha: float) -> tuple[float, int]:
        states = len(problem["terminal"])
        mdp = FiniteMDP(**problem, initial=np.full(states, 1 / states), discount=0.99)
        sweep, v = make_sweep(mdp, False), jnp.zeros(states)
        touched = sum(x.nbytes for x in (sweep.successor, sweep.probability, sweep.reward, v, v))
        return best(jitted, sweep, jnp.asarray(alpha), v), touched

    for alpha in (0.0, ALPHA):
        seconds, touched = timed(grid(1000), alpha)
        out[f"grid_alpha_{alpha}"] = {"ms": 1e3 * seconds, "share_of_bandwidth": touched / seconds / bandwidth}
    out["ns_per_transition"] = {}
    out["ns_per_transition_nearby"] = {}
    for states in (100, 1_000, 10_000, 100_000, 1_000_000):
        problem = from_library("garnet", states, 2, 5, seed=0)
        for name in ("ns_per_transition", "ns_per_transition_nearby"):
            seconds, _ = timed(problem, ALPHA)
            out[name][str(states * 10)] = 1e9 * seconds / (states * 10)
            problem |= {"successor": nearby(problem["successor"])}
    return out


def nearby(successor: np.ndarray) -> np.ndarray:
    """Return successors at most 500 states away.

    The values looked up then stay in the cache.
    """
    states = len(successor)
    offset = successor % min(states, 1_000) - min(states, 1_000) // 2
    return ((np.arange(states)[:, None, None] + offset) % states).astype(np.int32)


# ---- the whole comparison ------------------------------------------------------------------------------------------


def prepare_rivals() -> str | None:
    """Install the rivals' environment; return the error if that fails."""
    python = RIVALS / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(RIVALS)], check=True)
    (RIVALS / ".gitignore").write_text("*\n")
    probe = subprocess.run([str(python), "-c", "import mdpsolver, quantecon"], capture_output=True)
    if probe.returncode == 0:
        return None
    done = subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES], capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr[-500:]


def run(solver: str, arrays: Path, discount: float, alpha: float, tolerance: float, limit: float) -> dict[str, Any]:
    """Run one solver in a process; `value` of the result is a path."""
    out = arrays.with_name(f"{solver}-{tolerance}.npy")
    python = sys.executable if solver in ("entrax", "numpy") else str(RIVALS / "bin" / "python")
    command = [python, __file__, "--solver", solver, "--arrays", str(arrays), "--out", str(out)]
    command += ["--discount", str(discount), "--alpha", str(alpha), "--tolerance", str(tolerance)]
    environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    load = os.getloadavg()[0]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=environment)
    except subprocess.TimeoutExpired:
        return {"limit_hit": limit, "load": load}
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1:], "load": load}
    return {**json.loads(done.stdout.splitlines()[-1]), "value": str(out), "load": load}


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure all problems until the budget is spent."""
    begin = time.perf_counter()
    result: dict[str, Any] = {"tolerance": TOLERANCE, "limit_s": arguments.limit, "cores": os.cpu_count(), "rows": []}
    if arguments.only and RESULTS.exists():  # the rows of the other problems stay, each with the load of its time
        result["rows"] = [row for row in json.loads(RESULTS.read_text())["rows"] if row["problem"] != arguments.only]
    result["rivals"] = prepare_rivals() or "installed"
    result["sweeps"] = {"load": os.getloadavg()[0], **sweeps()}
    print(json.dumps(result["sweeps"], indent=1), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in [n for n in PROBLEMS if arguments.only in (None, n)]:
            make, make_tiny = PROBLEMS[name]
            problem = make()
            arrays, tiny = Path(folder) / f"{name}.npz", Path(folder) / f"tiny-{name}.npz"
            np.savez(arrays, **problem)
            np.savez(tiny, **make_tiny())
            size = sum(x.nbytes for x in problem.values())
            for discount in (0.9999, 0.99):
                for alpha, solvers in ((0.0, ("entrax", "quantecon", "mdpsolver")), (ALPHA, ("entrax", "numpy"))):
                    reference = None
                    for solver in solvers:
                        if time.perf_counter() - begin > arguments.budget:
                            result["budget_ended"] = True
                            return result
                        row = run(solver, arrays, discount, alpha, TOLERANCE, arguments.limit)
                        value = np.load(row.pop("value")) if "value" in row else None
                        if solver == "entrax":
                            reference = value
                        if value is not None and reference is not None and solver != "entrax":
                            row["distance_from_entrax"] = float(np.abs(value - reference).max())
                        if "peak_bytes" in row:
                            fixed = run(solver, tiny, discount, alpha, TOLERANCE, arguments.limit).get("peak_bytes", 0)
                            row["peak_less_tiny_over_problem"] = (row["peak_bytes"] - fixed) / size
                            row["peak_over_problem"] = row.pop("peak_bytes") / size
                        row = {"problem": name, "discount": discount, "alpha": alpha, "solver": solver, **row}
                        result["rows"].append(row)
                        print(json.dumps(row), flush=True)
                        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    return result


def main() -> None:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for one process, loading included")
    parser.add_argument("--budget", type=float, default=600.0, help="seconds after which no process is started")
    parser.add_argument("--only", choices=sorted(PROBLEMS))
    for name in ("solver", "arrays", "out"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    for name in ("discount", "alpha", "tolerance"):
        parser.add_argument(f"--{name}", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.solver:
        work(arguments)
        return
    RESULTS.write_text(json.dumps(compare(arguments), indent=1) + "\n")


if __name__ == "__main__":
    main()
