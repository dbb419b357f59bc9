"""Compiled programs do not pile up in a process that trains again and again."""

import subprocess
import sys

import pytest

from entrax import programs

TRAININGS = """
import sys, tempfile
import entrax
from entrax import programs

for i in range(int(sys.argv[2])):
    agent, env = [("sac", "Pendulum-v1"), ("dqn", "CartPole-v1"), ("td3", "Pendulum-v1"), ("ppo", "CartPole-v1")][i % 4]
    loop = {"rollout_steps": 32} if agent == "ppo" else {"learning_starts": 32}
    programs.SHARE = float(sys.argv[1])
    with tempfile.TemporaryDirectory() as path:
        loop |= {"batch_size": 8, "eval_every": 0, "run": path + "/run"}
        entrax.train(env, agent, steps=64, hidden=(8 + i // 4, 8), **loop)
    print(programs.memory_maps(), flush=True)
"""


def maps_after(share, trainings):
    """The process's memory maps after each training, every one with other programs than those before."""
    command = [sys.executable, "-c", TRAININGS, str(share), str(trainings)]
    return [int(line) for line in subprocess.check_output(command, text=True).split()]


@pytest.mark.long
def test_programs_are_released_when_they_are_many():
    kept, released = maps_after(1.0, 4), maps_after(0.0, 4)
    assert kept[-1] - kept[0] > 500
    assert released[-1] - released[0] < (kept[-1] - kept[0]) / 2


@pytest.mark.long
def test_a_hundred_trainings_in_one_process():
    assert max(maps_after(programs.SHARE, 100)) < programs.memory_map_limit() / 8
