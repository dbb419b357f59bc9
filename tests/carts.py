"""Environments given in several ways, in a module that worker processes can import."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.classic_control import PendulumEnv


class Cart(PendulumEnv):
    """Episodes of `limit` steps; one of the arguments is a function."""

    def __init__(self, render_mode: str | None = None, limit: int = 5, gravity: Callable[[], float] = lambda: 9.0):
        super().__init__(render_mode=render_mode, g=gravity())
        self.limit = limit

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        self.steps = 0
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        obs, reward, *_, info = super().step(action)
        self.steps += 1
        return obs, reward, False, self.steps >= self.limit, info


class Witness(Cart):
    """Writes down which arguments it was given, and in which process."""

    def __init__(self, notes: Path, render_mode: str | None = None, **given: Any):
        super().__init__(render_mode=render_mode)
        with notes.open("a") as file:
            file.write(json.dumps([os.getpid(), {name: repr(value) for name, value in given.items()}]) + "\n")


class Roomy(Cart):
    """Takes a space, which no file can hold."""

    def __init__(self, space: gymnasium.Space, **arguments: Any):
        super().__init__(**arguments)
        self.space = space


class Maker:
    """An object that makes environments when called."""

    def __call__(self, **arguments: Any) -> gymnasium.Env:
        return Cart(**arguments)


def without_render_mode(gravity: float = 9.0) -> gymnasium.Env:
    """A function that does not take what an environment may take."""
    return Cart(gravity=lambda: gravity)
