"""Train PPO with its defaults on HalfCheetah-v5 and Hopper-v5.

A run has a million steps. Each run is trained on one core; its mode and its samples then play 20 new episodes each.
Results are added to results/ppo.json. A finished run is not repeated, and an interrupted one is resumed.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("NPROC", "1")

from harness import RESULTS, save, say

import entrax


def main() -> None:
    """Make the missing runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    path = RESULTS / "ppo.json"
    done = json.loads(path.read_text()) if path.exists() else {}
    for seed in range(arguments.seeds):
        for env in ("HalfCheetah-v5", "Hopper-v5"):
            key = f"{env} default {seed}"
            if key not in done:
                done[key] = measured(env, seed)
                save("ppo", done)
            say(f"{key}: {done[key]['return']:.0f}")


def measured(env: str, seed: int) -> dict[str, float]:
    """Train once; return the returns and the seconds of training."""
    place = Path("runs") / f"ppo-{env}-{seed}"
    run = entrax.train(env, "ppo", steps=1_000_000, seed=seed, run=place, resume=True, workers=0, eval_every=0)
    played, sampled = run.evaluate(20), run.evaluate(20, sample=True)
    rows = [row for row in run.metrics() if "evaluation" not in row]
    return {
        "return": played.mean,
        "deviation over episodes": played.std,
        "sampled": sampled.mean,
        "last training return": rows[-1]["return"],
        "seconds": rows[-1]["time"]["seconds"],
    }


if __name__ == "__main__":
    main()
