"""SIGKILL at any moment, also inside the writing of a checkpoint: what comes out is the whole run, to the byte."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from entrax.runs.audit import fingerprint
from entrax.runs.directory import RunDirectory

SMALL = {
    "steps": 320,
    "learning_starts": 64,
    "chunk": 8,
    "hidden": [16, 16],
    "batch_size": 16,
    "log_every": 32,
    "eval_every": 160,
    "eval_episodes": 1,
    "checkpoint_every": 40,
    "seed": 5,
}
MORTAL = Path(__file__).with_name("mortal.py")


def start(run, die_at, settings):
    return subprocess.Popen(
        [sys.executable, str(MORTAL), str(run), str(die_at), json.dumps(settings)],
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(MORTAL.parents[1] / "environments")},  # where the toy is
    )


def finish(process, seconds=300):
    """The exit status, a failure that is none of ours being shown."""
    _, said = process.communicate(timeout=seconds)
    assert process.returncode in (0, -signal.SIGKILL), said.decode()
    return process.returncode


def kill_until_done(run, settings, rng, kills):
    """Kill `kills` times, half of them at an operation on files and half by the clock, then let it end."""
    done = 0
    while done < kills:
        if rng.random() < 0.5:
            process = start(run, rng.randrange(60), settings)
        else:
            process = start(run, -1, settings)
            lines = (run / "metrics.jsonl") if (run / "metrics.jsonl").exists() else None
            before = lines.stat().st_size if lines else 0
            while process.poll() is None:  # from the first new row on, a moment of its own
                if (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").stat().st_size != before:
                    time.sleep(rng.uniform(0.0, 0.5))
                    process.kill()
                    break
                time.sleep(0.005)
        if finish(process) == 0:
            break
        done += 1
    assert finish(start(run, -1, settings)) == 0
    return done


def compare(tmp_path, settings, seed, kills):
    """Kill run after run until there were so many kills; each must come to what the undisturbed one came to."""
    assert finish(start(tmp_path / "whole", -1, settings)) == 0
    whole, rng, done, runs = RunDirectory.open(tmp_path / "whole"), random.Random(seed), 0, 0
    while done < kills:
        path = tmp_path / f"killed_{runs}"
        done, runs = done + kill_until_done(path, settings, rng, kills - done), runs + 1
        killed = RunDirectory.open(path)
        assert fingerprint(killed) == fingerprint(whole)
        assert evaluations(killed) == evaluations(whole) != []
    return done, runs


def evaluations(run):
    return [row["evaluation"] for row in run.metrics() if "evaluation" in row]


def test_killed_three_times(tmp_path):
    settings = SMALL | {"env": "Pendulum-v1", "agent": "sac", "envs": 2, "workers": 1, "normalise_obs": True}
    compare(tmp_path, settings, seed=0, kills=3)


ROLLOUTS = {"rollout_steps": 32, "learning_starts": None, "chunk": None}  # None: left to the agent
LONG = {
    "pendulum": {"env": "Pendulum-v1"},
    "pendulum in workers": {"env": "Pendulum-v1", "envs": 3, "workers": 2, "normalise_obs": True},
    "cheetah": {"env": "HalfCheetah-v5"},
    "cheetah in workers": {"env": "HalfCheetah-v5", "envs": 3, "workers": 2, "updates_per_step": 0.5},
    "toy": {"env": "toys:EntraxToy-v0", "envs": 3, "workers": 0, "replay_size": 100},
    "discrete": {"env": "CartPole-v1", "agent": "dqn"},
    "n steps": {"env": "CartPole-v1", "agent": "dqn", "n_step": 3, "envs": 2, "workers": 2},
    "rollouts": {"env": "CartPole-v1", "agent": "ppo", "envs": 2, "workers": 2, "normalise_obs": True} | ROLLOUTS,
    "histories": {"env": "CartPole-v1", "agent": "reinforce", "memory": 4, "envs": 2, "batch_size": None} | ROLLOUTS,
    "continuous rollouts": {"env": "Pendulum-v1", "agent": "ppo", "temperature": 0.1} | ROLLOUTS,
}


@pytest.mark.long
@pytest.mark.parametrize("variant", LONG)
def test_killed_many_times(tmp_path, variant):
    kills = int(os.environ.get("ENTRAX_KILLS", "40"))
    settings = {k: v for k, v in (SMALL | {"agent": "sac"} | LONG[variant]).items() if v is not None}
    done, runs = compare(tmp_path, settings, seed=1, kills=kills)
    print(f"{variant}: {done} kills in {runs} runs, all the same to the byte")
