"""Time `run.policy` and `run.player` for one observation of HalfCheetah.

The policy has 2×256 units. The calls take turns, so that other work on the machine affects all alike. Writes
results/policy.json.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import jax
import numpy as np
from harness import save, say

import entrax


def main() -> None:
    """Train briefly, load, and time the calls in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3000)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        entrax.train("HalfCheetah-v5", "sac", steps=300, learning_starts=300, eval_every=0, workers=0, run=path)
        run = entrax.load(path)
        obs, batch, key = np.zeros(17), np.zeros((64, 17)), jax.random.key(0)
        player, sampling = run.player(), run.player(sample=True)
        calls = {
            "run.policy, mode": lambda: run.policy(obs),
            "run.policy, sampled": lambda: run.policy(obs, sample=True, key=key),
            "player.act, mode": lambda: player.act(obs),
            "player.act, sampled": lambda: sampling.act(obs),
            "run.policy, a batch of 64": lambda: run.policy(batch),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                begun = time.perf_counter()
                call()
                times[name].append((time.perf_counter() - begun) * 1e6)
    results = {name: {"median": median(taken), "least": min(taken)} for name, taken in times.items()}
    for name, taken in results.items():
        say(f"{name:27} {taken['median']:6.1f} µs, {taken['least']:.1f} at best")
    say(f"Written: {save('policy', {'rounds': rounds, 'results': results})}")


if __name__ == "__main__":
    main()
