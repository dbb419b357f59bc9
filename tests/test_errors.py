from pathlib import Path

import numpy as np
import pytest

import entrax
from entrax.environments.faults import EnvironmentFault
from entrax.environments.source import EnvSource, parse_env_args
from entrax.errors import CannotWrite, EntraxError, FileFault, UsageError, damage_of, require
from entrax.evaluation.statistics import summarise
from entrax.references import import_named, resolve
from entrax.replay.data import Uniform
from entrax.runs.directory import RunDirectory
from entrax.training.options import TrainingOptions
from entrax.training.pending import Diverged

WRONG = {
    "a value out of range": lambda: TrainingOptions(envs=0),
    "a limit that depends on others": lambda: require(False, "horizon", "at least 1", 0),
    "settings that contradict each other": lambda: Uniform(batch_size=8, capacity=4),
    "an unknown name": lambda: entrax.train("Pendulum-v1", "sack", steps=1),
    "an unknown setting": lambda: entrax.train("Pendulum-v1", gama=0.9, steps=1),
    "an unknown environment": lambda: EnvSource("Pendulun-v1").make(),
    "an unknown reference": lambda: resolve("math:sinus"),
    "an argument that cannot be read": lambda: parse_env_args(["length"]),
    "numbers that are none": lambda: summarise(np.array([np.nan])),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_a_value_error(call):
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # each of these has its own words
        call()
    assert isinstance(raised.value, UsageError)
    assert isinstance(raised.value, EntraxError)
    assert raised.value.exit_code == 2


def test_faults_of_files_environments_and_training_are_no_value_errors(tmp_path):
    for kind in (FileFault, CannotWrite, EnvironmentFault, Diverged):
        assert not issubclass(kind, ValueError)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EntraxError, match="damaged") as raised:
        RunDirectory.open(tmp_path)
    assert not isinstance(raised.value, ValueError)
    with pytest.raises(EntraxError, match="imported") as raised:
        import_named("entrax_has_no_such_module")
    assert not isinstance(raised.value, ValueError)


def test_a_wrong_value_in_a_file_is_damage_of_the_file():
    with pytest.raises(EntraxError, match=r"config\.json is damaged") as raised, damage_of(Path("config.json")):
        TrainingOptions(envs=0)
    assert not isinstance(raised.value, ValueError)


def test_exit_codes():
    codes: dict[type[EntraxError], int] = {
        EntraxError: 2,
        UsageError: 2,
        EnvironmentFault: 3,
        Diverged: 4,
        FileFault: 5,
        CannotWrite: 5,
    }
    assert {kind: kind.exit_code for kind in codes} == codes
