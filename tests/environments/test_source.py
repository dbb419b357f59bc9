"""How environments are named, made and carried to another process."""

import itertools
import json

import gymnasium
import pytest

from entrax.environments.check import check_environment
from entrax.environments.faults import EnvironmentFault
from entrax.environments.make import make_pool
from entrax.environments.pool import LocalPool
from entrax.environments.recorded import recorded_source
from entrax.environments.seeds import STREAMS, episode_seed
from entrax.environments.source import EnvSource, as_source, parse_env_args
from entrax.errors import EntraxError


@pytest.mark.parametrize("name", ["HalfCheeta-v5", "Halfcheetah-v5"])
def test_an_unknown_id_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(EntraxError, match="did you mean 'HalfCheetah-v5'"):
        EnvSource(id=name).make()


def test_names_with_a_module() -> None:
    registered, function = as_source("toys:EntraxToy-v0", {}).make(), as_source("toys:Toy", {"length": 9}).make()
    assert registered.spec is not None
    assert registered.spec.max_episode_steps == 3
    assert function.get_wrapper_attr("length") == 9


@pytest.mark.parametrize(
    ("name", "kwargs", "words"),
    [
        ("Pendulum-v1", {"gravity": 3}, "gravity"),
        ("toys:Nothing", {}, "Nothing"),
        ("no_such_module:Toy", {}, "no_such_module"),
        pytest.param(
            "toys:not_an_environment",
            {},
            "int",
        ),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(name: str, kwargs: dict, words: str) -> None:
    with pytest.raises(EntraxError, match=words) as caught:
        as_source(name, kwargs).make()
    assert "\n" not in str(caught.value)


def test_sources_survive_json() -> None:
    source = as_source("toys:Toy", {"length": 4})
    assert recorded_source(json.loads(json.dumps(source.to_json())), "toys:Toy") == source
    assert EnvSource.from_process(json.loads(json.dumps(source.to_process()))) == source


def test_a_closure_runs_here_only() -> None:
    source = as_source(lambda: gymnasium.make("Pendulum-v1"), {})
    assert not source.importable
    with make_pool(source, 2) as pool:
        assert pool.reset_many({0: 1, 1: 2})[1].shape == (3,)
    with make_pool(source, 2, workers=1) as pool:
        assert isinstance(pool, LocalPool)
    with pytest.raises(EntraxError, match="give the environment again"):
        recorded_source(source.to_json())


def test_environment_arguments() -> None:
    given = parse_env_args(["a=1", "b=[1, 2.5]", "c=text", "d=true", "e=x=y"])
    assert given == {"a": 1, "b": [1, 2.5], "c": "text", "d": True, "e": "x=y"}
    with pytest.raises(EntraxError, match="key=value"):
        parse_env_args(["a"])


def test_mujoco_says_nothing_about_its_own_model(capfd: pytest.CaptureFixture, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo would write its log into the working directory
    EnvSource(id="HalfCheetah-v5").make().close()
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_the_check_returns_the_spec_and_finds_unseeded_resets() -> None:
    checked = check_environment(as_source("toys:Toy", {"truncate": True}), 0)
    assert (checked.spec.obs_size, checked.warnings) == (3, ())
    unseeded = {"fault": "unseeded", "at": 9, "truncate": True}
    (warning,) = check_environment(as_source("toys:Toy", unseeded), 0).warnings
    assert "reset(seed)" in warning
    with pytest.raises(EnvironmentFault, match="step 2"):
        check_environment(as_source("toys:Toy", {"fault": "nan"}), 0)


def test_every_episode_of_every_stream_has_its_own_seed() -> None:
    places = list(itertools.product(range(3), range(4), range(9), STREAMS))
    seeds = {episode_seed(run, env, episode, stream) for run, env, episode, stream in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert episode_seed(1, 2, 3, "training") == episode_seed(1, 2, 3, "training")
