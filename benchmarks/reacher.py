"""Measure the success of policies on the reaching task.

    python benchmarks/reacher.py RUN... [--blank]

Each RUN was trained on entrax/Reacher-v0 or entrax/ReacherPixels-v0. The policy's mode plays the same episodes for all
runs. Prints the share of successes with its standard error, the mean distance at the end, and the mean return. With
`--blank` pictures are black.
"""

import argparse
from dataclasses import replace

import numpy as np

import entrax
from entrax.environments.seeds import episode_seed


def episodes(run: entrax.Run, count: int, blank: bool) -> np.ndarray:
    """Return (success, distance in metres, return) of each episode."""
    source = run.source()
    if blank:
        source = replace(source, kwargs=source.kwargs | {"blank": True})
    env, ends = source.make(), []
    for episode in range(count):
        obs, info = env.reset(seed=episode_seed(0, 0, episode, stream="evaluation"))
        total, over = 0.0, False
        while not over:
            obs, reward, terminated, truncated, info = env.step(run.policy(obs))
            total, over = total + float(reward), terminated or truncated
        ends.append((info["success"], info["distance"], total))
    env.close()
    return np.array(ends, float)


def main() -> None:
    """Print one line for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--blank", action="store_true")
    arguments = parser.parse_args()
    for path in arguments.runs:
        success, distance, total = episodes(entrax.load(path), arguments.episodes, arguments.blank).T
        error = success.std() / np.sqrt(len(success))
        print(f"{path}  success {success.mean():.2f} ± {error:.2f}  distance {distance.mean():.3f} m", end="  ")
        print(f"return {total.mean():.2f}", flush=True)


if __name__ == "__main__":
    main()
