"""Environments and agents by module, by file and as objects of the user's script."""

import functools
import importlib
import json
import math
import types

import gymnasium
import pytest

from entrax.agents import sac
from entrax.agents.lookup import agent_name, get_agent
from entrax.agents.registry import REGISTRY
from entrax.environments.make import make_pool
from entrax.environments.pool import LocalPool
from entrax.environments.recorded import flags_again, recorded_source
from entrax.environments.source import as_source
from entrax.errors import EntraxError
from entrax.references import from_anywhere, reference_of, resolve

CART = """
import gymnasium
from gymnasium.envs.classic_control import PendulumEnv
import motors
class TwoMotorCart(PendulumEnv):
    def __init__(self, g=motors.G, render_mode=None):
        super().__init__(render_mode=render_mode, g=g)
"""


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "motors.py").write_text("G = 7.0\n")
    (tmp_path / "mycart.py").write_text(CART)
    (tmp_path / "my_sac.py").write_text("from entrax.agents.sac import Config, data, init, policy, resolve, update\n")
    return tmp_path


def test_an_environment_in_a_file_is_made_here_and_in_a_worker(room, monkeypatch):
    source = as_source("./mycart.py:TwoMotorCart", {})
    monkeypatch.chdir("/")  # as environments do
    assert vars(source.make().unwrapped)["g"] == 7.0
    with make_pool(source, 1, workers=1) as pool:
        assert not isinstance(pool, LocalPool)
    record = json.loads(json.dumps(source.to_json()))
    with pytest.raises(EntraxError, match="--env"):
        recorded_source(record)
    flags = flags_again(record)
    assert flags is not None
    name, value = flags
    assert (name, recorded_source(record, value)) == ("--env", source)


@pytest.mark.parametrize(
    ("name", "words"), [("mycart.py:Cart", "TwoMotorCart"), ("mycart.py", ":Cart"), ("no.py:A", "no file")]
)
def test_mistakes_with_files_are_one_sentence(room, name, words):
    with pytest.raises(EntraxError, match=words):
        as_source(name, {}).make()


class Maker:
    def __init__(self, g: float):
        self.g = g

    def __call__(self) -> gymnasium.Env:
        return gymnasium.make("Pendulum-v1", g=self.g)


def test_a_callable_object_is_called_itself_and_stays_here():
    source = as_source(Maker(3.0), {})
    assert vars(source.make().unwrapped)["g"] == 3.0
    with make_pool(source, 2, workers=2) as pool:
        assert isinstance(pool, LocalPool)
    with pytest.raises(EntraxError, match="step_timeout"):
        make_pool(source, 1, step_timeout=1.0)


def test_a_partial_with_named_arguments_only_travels():
    source = as_source(functools.partial(gymnasium.make, "Pendulum-v1"), {"g": 3.0})
    assert vars(source.make().unwrapped)["g"] == 3.0
    assert not source.importable
    env = resolve("gymnasium.envs.classic_control.pendulum:PendulumEnv")
    assert as_source(functools.partial(env, g=3.0), {}).importable


def test_ids_registered_with_a_script_s_own_code_stay_here():
    try:
        gymnasium.register("EntraxScript-v0", entry_point="__main__:Cart")
        gymnasium.register("EntraxLocal-v0", entry_point=Maker(2.0))  # type: ignore[arg-type]
        gymnasium.register("EntraxFunction-v0", "gymnasium.envs.classic_control:PendulumEnv", kwargs={"g": lambda: 1})
        for name in ("EntraxScript-v0", "EntraxLocal-v0", "EntraxFunction-v0"):
            assert not as_source(name, {}).importable
            assert not as_source("entrax/Perturbed-v0", {"env": name}).importable
    finally:
        for name in ("EntraxScript-v0", "EntraxLocal-v0", "EntraxFunction-v0"):
            gymnasium.registry.pop(name, None)


def test_an_agent_is_a_name_a_file_a_module_or_an_object(room):
    class Mine:
        Config, resolve, init = sac.Config, staticmethod(sac.resolve), staticmethod(sac.init)
        policy, data, update = staticmethod(sac.policy), staticmethod(sac.data), staticmethod(sac.update)

    assert get_agent("my_sac.py").update is sac.update
    assert get_agent(sac) is sac
    assert agent_name(sac) == "sac"
    assert get_agent(Mine()).update is sac.update
    assert agent_name(Mine()) not in REGISTRY
    assert agent_name(types.ModuleType("sac")) not in REGISTRY
    assert agent_name("my_sac.py") == str(room / "my_sac.py")
    with pytest.raises(EntraxError, match="lacks Config"):
        get_agent(math)


def test_a_file_that_exits_is_a_sentence(room):
    (room / "leaves.py").write_text("raise SystemExit(0)")
    with pytest.raises(EntraxError, match="SystemExit"):
        get_agent("leaves.py")


def test_a_package_by_its_file_finds_its_own_modules(room):
    (room / "mine").mkdir()
    (room / "mine" / "__init__.py").write_text("from .part import answer\n")
    (room / "mine" / "part.py").write_text("answer = 42\n")
    assert resolve("mine/__init__.py:answer") == 42


def test_a_module_beside_a_script_is_found_from_anywhere(room, monkeypatch):
    monkeypatch.syspath_prepend(str(room))
    (room / "beside_script.py").write_text("G = 8.0\n")
    importlib.import_module("beside_script")
    assert from_anywhere("beside_script:G") == "beside_script:G"
    monkeypatch.chdir("/")
    assert from_anywhere("beside_script:G") == f"{room / 'beside_script.py'}:G"
    assert resolve(from_anywhere("beside_script:G")) == 8.0


def test_a_reference_leads_back_to_its_object_or_there_is_none():
    assert resolve(str(reference_of(Maker))) is Maker
    assert reference_of(Maker(1.0)) is None
    assert reference_of(lambda: 1) is None
