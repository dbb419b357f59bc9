"""An environment that prints in every way, at every time. Workers import this by name, so nothing here is a test."""

import atexit
import ctypes
import os
import subprocess
from sys import stdout

import gymnasium
import numpy as np
from gymnasium import spaces


def chat() -> None:
    """Print by Python, by a stream that was kept, by a descriptor, by C and by another process."""
    print("by print")
    stdout.write("by a stream\n")
    os.write(1, b"by a descriptor\n")
    ctypes.CDLL(None).puts(b"by C")
    subprocess.run(["echo", "by a process"], check=True)


class Chatty(gymnasium.Env):
    """Two steps an episode."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self):
        chat()
        atexit.register(chat)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        chat()
        self.left = 2
        return np.zeros(1, np.float32), {}

    def step(self, action):
        chat()
        self.left -= 1
        return np.zeros(1, np.float32), 1.0, False, self.left == 0, {}

    def close(self):
        chat()
