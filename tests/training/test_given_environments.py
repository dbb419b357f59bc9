"""Whatever makes an environment trains, evaluates and films; what only this process has stays in it, and is said so."""

import functools
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from carts import Cart, Maker, without_render_mode

import entrax
from entrax.agents.controller import act_in_episodes
from entrax.environments import make
from entrax.environments.perturb import perturbed
from entrax.report.video import record

SMALL = {"steps": 12, "envs": 2, "workers": 2, "learning_starts": 4, "hidden": (4,), "batch_size": 2, "eval_every": 0}


@pytest.fixture
def registered() -> Iterator[None]:
    """Ids of a script's own code, and a module that no other process can import."""
    main = sys.modules["__main__"]
    vars(main)["ScriptCart"] = Cart
    module = types.ModuleType("only_in_this_process")
    vars(module)["Made"] = Maker()
    sys.modules[module.__name__] = module
    gymnasium.register("Script-v0", "__main__:ScriptCart")
    gymnasium.register("Callable-v0", Maker(), kwargs={"gravity": lambda: 3.0})
    gymnasium.register("Nowhere-v0", "only_in_this_process:Made")
    yield
    for name in ("Script-v0", "Callable-v0", "Nowhere-v0"):
        del gymnasium.registry[name]
    del vars(main)["ScriptCart"], sys.modules[module.__name__]


STAY: dict[str, Any] = {
    "id of __main__": "Script-v0",
    "class of __main__": "__main__:ScriptCart",
    "id with callable arguments": "Callable-v0",
    "id of a module of this process": "Nowhere-v0",
    "an id inside another": functools.partial(perturbed, env="Nowhere-v0", sensor_noise=0.1),
    "module of this process": "only_in_this_process:Made",
    "callable object": Maker(),
    "lambda": lambda: without_render_mode(),
    "partial of a local function": functools.partial(lambda gravity: without_render_mode(gravity), gravity=2.0),
    "partial with positional arguments": functools.partial(Cart, None, 6),
}
GO: dict[str, Any] = {"function": without_render_mode, "partial": functools.partial(without_render_mode, gravity=3.0)}


def lived(env: Any, path: Path) -> entrax.Run:
    """A run that was trained, evaluated and filmed."""
    run = entrax.train(env, "sac", run=path / "run", **SMALL)
    assert len(run.evaluate(2).returns) == 2
    act = act_in_episodes(run.controller, sample=False, seed=0)
    assert record(run.source(), act, path / "film.mp4", seed=0, max_seconds=0.1) is None
    return run


@pytest.mark.parametrize("kind", STAY)
def test_what_no_worker_can_make_stays_here_and_one_line_says_so(kind, registered, tmp_path, capsys):
    make._say_once.cache_clear()
    lived(STAY[kind], tmp_path)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "process" in line)
    assert "stays in this process" in line


@pytest.mark.parametrize("kind", GO)
def test_functions_of_modules_are_made_in_workers(kind, tmp_path, capsys):
    run = lived(GO[kind], tmp_path)
    assert "process" not in capsys.readouterr().err
    assert run.config["environment"]["travels"]


def test_what_runs_here_and_in_workers_learns_the_same(tmp_path):
    runs = [
        entrax.train(env, "sac", run=tmp_path / name, **SMALL)
        for name, env in (("a", without_render_mode), ("b", lambda: without_render_mode()))
    ]
    a, b = (run.policy(np.ones(3, np.float32)) for run in runs)
    assert np.array_equal(a, b)
