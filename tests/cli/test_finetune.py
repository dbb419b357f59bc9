"""`entrax finetune` as a user meets it."""

from typing import Any

import pytest

import entrax
from entrax.cli import main
from entrax.runs.directory import RunDirectory

SMALL: dict[str, Any] = {
    "learning_starts": 16,
    "chunk": 8,
    "hidden": (8, 8),
    "batch_size": 8,
    "eval_every": 0,
    "eval_episodes": 1,
}


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "old"
    entrax.train("CartPole-v1", agent="dqn", steps=40, run=path, temperature=0.5, **SMALL)
    return path


def test_it_lists_what_is_carried_over_and_what_is_initialised(old, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--steps", "24", "--temperature", "0.2", "--eval-every", "0", "--episodes", "1", "--no-video"]
    main(["finetune", str(old), "--env", "CartPole-v1", "--env-arg", "max_episode_steps=20", "--run", "new", *flags])
    said = capsys.readouterr().out
    assert f"final-000000040 of {old}, trained on CartPole-v1." in said
    assert "Carried over: params/critic, targets, normaliser." in said
    assert "Initialised: opt_state, updates, schedules." in said
    assert "Replay: empty." in said
    assert "Temperature: keep, 0.5 at the source checkpoint." in said
    config = RunDirectory.open("new").config
    assert config["agent_config"]["temperature"] == 0.2
    assert config["agent_config"]["hidden"] == [8, 8]
    assert config["environment"]["kwargs"] == {"max_episode_steps": 20}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--env", "CartPole-v1"], "--steps is missing"),
        (["--env", "Pendulum-v1", "--steps", "9"], "shape (3,), not (4,); action is Continuous, not Discrete"),
        (["--steps", "9", "--tau", "1"], "--tau is called --target-rate"),
        (["--steps", "9", "--particles", "3"], "no option '--particles'"),  # of another agent
        (["--steps", "9", "--checkpoint", "first"], "has no checkpoint 'first'"),
        (["--steps", "9", "--temperature-start", "kept"], "'kept', did you mean 'keep'?"),
    ],
)
def test_a_mistake_is_one_sentence(old, flags, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["finetune", str(old), *flags])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
