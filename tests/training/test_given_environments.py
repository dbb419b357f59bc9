"""Whatever makes an environment trains, evaluates and films; what only this process has stays in it, and is said so."""

import functools
import json
import math
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import entrax
from entrax.agents import sac
from entrax.environments.perturb import perturbed
from entrax.errors import EntraxError
from entrax.policies.controller import act_in_episodes
from entrax.report.video import record
from entrax.training.from_record import command_again
from tests.carts import Cart, Maker, Roomy, without_render_mode

SMALL: dict[str, Any] = {
    "steps": 12,
    "envs": 2,
    "workers": 2,
    "learning_starts": 4,
    "hidden": (8, 8),
    "batch_size": 8,
    "eval_every": 0,
}


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
    run = lived(STAY[kind], tmp_path)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "process" in line)
    assert "stays in this process" in line
    (event,) = (row for row in run.directory.events() if row["kind"] == "warning" and "process" in row["message"])
    assert event["message"] in line


def test_a_resumed_run_is_warned_too(tmp_path, capsys):
    entrax.train(lambda: without_render_mode(), "sac", run=tmp_path / "run", **SMALL)
    capsys.readouterr()
    run = entrax.resume(tmp_path / "run", steps=2 * SMALL["steps"], env=lambda: without_render_mode())
    assert capsys.readouterr().err.count("stays in this process") == 1
    messages = [row["message"] for row in run.directory.events() if row["kind"] == "warning"]
    assert sum("stays in this process" in message for message in messages) == 2


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


def test_every_process_is_given_what_the_user_gave(tmp_path):
    notes = tmp_path / "notes"
    numbers = {"a": np.float32(0.1), "b": np.arange(6, dtype=np.int8).reshape(2, 3), "c": np.array([np.nan, np.inf])}
    nested = {"d": (0.7, math.inf), "e": {1: [(2,), {3: math.nan}]}, "f": {1.5, 2.5}, "g": np.bool_(True)}
    named = {"notes": notes, "h": Path("a b/c"), "i": math.hypot, "j": b"\x00"}
    run = entrax.train("tests.carts:Witness", "sac", run=tmp_path / "run", env_args=named | numbers | nested, **SMALL)
    run.evaluate(2, workers=1)
    again: dict[str, Any] = {"env": "tests.carts:Witness", "env_args": named}
    entrax.load(run.path, **again).evaluate(2, workers=1)
    entrax.resume(run.path, steps=20, **again)
    processes, given = zip(*map(json.loads, notes.read_text().splitlines()), strict=True)
    expected = {name: repr(value) for name, value in (named | numbers | nested).items() if name != "notes"}
    assert all(arguments == expected for arguments in given)
    assert len(set(processes)) > 4


def test_what_cannot_be_recorded_is_named_where_the_record_is_needed_only(tmp_path):
    lost: dict[str, Any] = {"gravity": lambda: 3.0, "space": gymnasium.spaces.Discrete(2)}
    run = entrax.train(Roomy, "sac", run=tmp_path / "run", env_args=lost, **SMALL)
    assert len(run.evaluate(1).returns) == 1
    loaded = entrax.load(run.path, env="tests.carts:Roomy")
    assert loaded.policy(np.ones(3, np.float32)).shape == (1,)
    for act in (loaded.evaluate, lambda: entrax.resume(run.path, steps=20, env="tests.carts:Roomy")):
        with pytest.raises(EntraxError, match=r"gravity.*env_args"):
            act()
    with pytest.raises(EntraxError, match=r"space.*Discrete"):
        entrax.load(run.path, env="tests.carts:Roomy", env_args={"gravity": lost["gravity"]}).evaluate(1)
    again = entrax.load(run.path, env=functools.partial(Roomy, **lost))
    assert again.evaluate(1).returns == run.evaluate(1).returns
    assert entrax.resume(run.path, steps=20, env="tests.carts:Roomy", env_args=lost).metrics()[-1]["step"] == 20


def test_an_agent_that_is_an_object_trains_and_is_given_again(tmp_path):
    names = ("Config", "resolve", "init", "policy", "data", "update")
    agent = types.SimpleNamespace(**{name: getattr(sac, name) for name in names})
    run = entrax.train(without_render_mode, agent, run=tmp_path / "run", **SMALL)
    with pytest.raises(EntraxError, match="agent"):
        entrax.load(run.path)
    again = entrax.load(run.path, agent=agent, env=without_render_mode)
    assert again.evaluate(1).returns == run.evaluate(1).returns
    assert "in Python" in command_again("evaluate", run.directory)


def test_finetune_says_which_arguments_an_environment_had(tmp_path):
    run = entrax.train(functools.partial(without_render_mode, gravity=3.0), "sac", run=tmp_path / "run", **SMALL)
    with pytest.raises(EntraxError, match=r"--env tests.carts:without_render_mode.*--env-arg gravity=3\.0"):
        entrax.finetune(run.path, steps=8)
