"""Train agents that learn a model on few steps, and evaluate them.

    python benchmarks/learned_models.py                          pets and mbpo on Pendulum-v1, seeds 0 to 4
    python benchmarks/learned_models.py --agents mbpo --seeds 100 101
    python benchmarks/learned_models.py --agents                 the nearly optimal policy only

Each final policy plays ten episodes of greedy actions, on seeds that training did not use. The goal is a mean of at
least -200. Some seeds have harder starts than others: the same episodes are played by a nearly optimal policy, from
dynamic programming on a grid. Results go to results/learned-models.json, which keeps those of other agents and seeds.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS, save, say

import entrax
from entrax.environments.source import EnvSource
from entrax.evaluation import evaluate

GOAL = -200.0
TORQUES = np.linspace(-2.0, 2.0, 41)
LOOP: dict[str, Any] = {"eval_every": 0, "workers": 0, "threads": 1, "checkpoint_seconds": 0, "learning_starts": 200}
SETTINGS: dict[str, dict[str, Any]] = {
    "pets": LOOP | {"steps": 2000, "hidden": (64, 64)},
    "mbpo": LOOP
    | {
        "steps": 3000,
        "updates_per_step": 8.0,
        "learning_rate": 1e-3,
        "initial_temperature": 0.2,
        "hidden": (64, 64),
        "batch_size": 128,
        "model_hidden": (64, 64, 64),
        "members": 5,
        "elites": 3,
    },
}
CALIBRATION = ("inside_50", "inside_90", "held_out_nll", "held_out_rmse")


def step(angle: Any, velocity: Any, torque: Any) -> tuple[Any, Any, Any]:
    """Return the next angle and velocity of Pendulum-v1, and the reward."""
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    reward = -(angle**2 + 0.1 * velocity**2 + 0.001 * torque**2)
    velocity = np.clip(velocity + (15.0 * np.sin(angle) + 3.0 * torque) * 0.05, -8.0, 8.0)
    return angle + 0.05 * velocity, velocity, reward


def interpolated(values: Any, angle: Any, velocity: Any) -> Any:
    """Return values [angle, velocity] of a grid between its points; the angle is periodic."""
    x = (angle + np.pi) / (2 * np.pi) * values.shape[0]
    y = np.clip((velocity + 8.0) / 16.0 * (values.shape[1] - 1), 0, values.shape[1] - 1.000001)
    i, j = np.floor(x).astype(int), np.floor(y).astype(int)
    right, up = x - i, y - j
    i, after = i % len(values), (i + 1) % len(values)
    low = (1 - up) * values[i, j] + up * values[i, j + 1]
    return (1 - right) * low + right * ((1 - up) * values[after, j] + up * values[after, j + 1])


def optimal_values() -> list[Any]:
    """Return the values on a grid with 0 to 199 steps left, by dynamic programming."""
    angle = np.arange(-np.pi, np.pi, 2 * np.pi / 400)[:, None, None]
    velocity = np.linspace(-8.0, 8.0, 201)[None, :, None]
    *after, reward = step(angle, velocity, TORQUES)
    values = [np.zeros((400, 201))]
    while len(values) < 200:
        values.append(np.max(reward + interpolated(values[-1], *after), axis=2))
    return values


def nearly_optimal_mean(values: list[Any], seed: int) -> float:
    """Return the mean return of the greedy policy of `optimal_values`, in the episodes that runs of a seed play."""

    def act(obs: Any, episodes: Any, t: Any) -> Any:
        chosen = []
        for (cos, sin, velocity), now in zip(obs.astype(float), t, strict=True):
            *after, reward = step(np.arctan2(sin, cos), velocity, TORQUES)
            chosen.append(TORQUES[np.argmax(reward + interpolated(values[199 - now], *after))])
        return np.asarray(chosen, np.float32)[:, None]

    result = evaluate(act, EnvSource("Pendulum-v1"), episodes=10, seed=seed, policy="mode", workers=0)
    return float(result.mean)


def record(agent: str, seed: int, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train and evaluate one run."""
    begun = time.perf_counter()
    run = entrax.train("Pendulum-v1", agent, seed=seed, run=folder / f"{agent}-{seed}", **settings)
    trained = time.perf_counter()
    returns = [float(value) for value in run.evaluate(episodes=10).returns]
    last = [row for row in run.metrics() if "inside_50" in row][-1]
    return {
        "agent": agent,
        "seed": seed,
        "settings": settings,
        "mean": float(np.mean(returns)),
        "returns": returns,
        "training_seconds": round(trained - begun, 1),
        "evaluation_seconds": round(time.perf_counter() - trained, 1),
        "calibration": {name: round(last[name], 4) for name in CALIBRATION},
    }


def main() -> None:
    """Train and evaluate all agents and seeds that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    arguments = parser.parse_args()
    path = RESULTS / "learned-models.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    runs, best = results.get("runs", []), results.get("nearly_optimal", {})
    values = optimal_values()
    with tempfile.TemporaryDirectory() as folder:
        for seed in arguments.seeds:
            best[str(seed)] = nearly_optimal_mean(values, seed)
            say(f"nearly optimal, episodes of seed {seed}: {best[str(seed)]:.1f}")
            for agent in arguments.agents:
                new = record(agent, seed, SETTINGS[agent], Path(folder))
                runs = [run for run in runs if (run["agent"], run["seed"]) != (agent, seed)] + [new]
                say(f"{agent} seed {seed}: {new['mean']:.1f} in {new['training_seconds']} s, {new['calibration']}")
            save("learned-models", {"goal": GOAL, "runs": runs, "nearly_optimal": best})


if __name__ == "__main__":
    main()
