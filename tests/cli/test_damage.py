"""A run that was damaged after it was saved: every verb that reads it names the file."""

import json
import shutil
from typing import Any

import pytest

import entrax
from entrax.cli import main

SMALL: dict[str, Any] = {
    "agent": "sac",
    "hidden": (8, 8),
    "batch_size": 8,
    "eval_episodes": 1,
    "learning_starts": 20,
    "chunk": 8,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with a resumable, a best and a final checkpoint."""
    path = tmp_path_factory.mktemp("damage") / "trained"
    settings: dict[str, Any] = SMALL | {"steps": 60, "eval_every": 20, "checkpoint_every": 20, "workers": 0}
    entrax.train("Pendulum-v1", run=path, **settings)
    return path


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run, to be damaged."""
    return shutil.copytree(trained, tmp_path / "run")


def failure(capsys, *arguments):
    """The exit status and the one sentence of a verb that fails."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert len(said.err.splitlines()) <= 1, said.err
    return left.value.code, said.out + said.err


def change(run, *keys, value):
    """Set one field of config.json."""
    config = place = json.loads((run / "config.json").read_text())
    for key in keys[:-1]:
        place = place[key]
    assert place.get(keys[-1]) != value
    place[keys[-1]] = value
    (run / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("checkpoint", ["latest", "best"])
@pytest.mark.parametrize("verb", ["evaluate", "report", "stress", "fingerprint"])
def test_a_changed_configuration_is_named_by_what_reads_a_policy(run, verb, checkpoint, capsys):
    change(run, "training", "normalise_obs", value=True)
    code, said = failure(capsys, verb, run, "--checkpoint", checkpoint)
    assert (code, "config.json is damaged" in said) == (2, True), said


CHANGES = {
    "seed": (("seed",), 7),
    "environment": (("environment", "id"), "Acrobot-v1"),
    "arguments": (("environment", "kwargs"), {"g": 1.0}),
    "agent": (("agent",), "ddpg"),
    "layers": (("agent_config", "hidden"), [8, 9]),
    "bounds": (("spec", "action", "high"), [3.0]),
    "extra": (("surprise",), 1),
}


@pytest.mark.parametrize("changed", CHANGES)
@pytest.mark.parametrize("verb", ["evaluate", "resume", "finetune", "compare", "verify"])
def test_any_changed_field_is_named_by_every_verb(run, changed, verb, capsys):
    keys, value = CHANGES[changed]
    change(run, *keys, value=value)
    more = ("--steps", "100") if verb == "finetune" else ()
    code, said = failure(capsys, verb, run, *more)
    assert code in (1, 2)
    assert "config.json is damaged" in said


@pytest.mark.parametrize("kind", ["step", "best", "final"])
def test_verify_fails_on_any_damaged_checkpoint(run, kind, capsys):
    file = max((run / "checkpoints").glob(f"{kind}-*")) / "state.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    code, said = failure(capsys, "verify", run)
    assert code == 1
    assert f"{file} is damaged" in said
    assert said.count("whole") == len(list((run / "checkpoints").iterdir())) - 1
