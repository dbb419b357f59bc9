"""`entrax control`: its output, its flags, its film and its messages."""

import json

import pytest

from entrax.cli import main

FLAGS = ["--samples", "4", "--horizon", "3", "--max-episode-steps", "6"]


def test_numbers_are_printed_and_kept(tmp_path, capsys):
    run = tmp_path / "run"
    main(["control", "Pendulum-v1", "--run", str(run), "--episodes", "2", "--no-film", "--json", *FLAGS])
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert answer["run"] == str(run)
    assert answer["lengths"] == [6, 6]
    assert answer["mean"] == pytest.approx(sum(answer["returns"]) / 2)
    assert "ms a decision" in printed.err
    page = (run / "report.html").read_text()
    assert f"{answer['mean']:.1f}" in page
    assert "--no-film" in page
    main(["control", "Pendulum-v1", "--run", str(run), "--episodes", "2", "--resume", "--no-film", *FLAGS])
    assert "copies of the environment" in capsys.readouterr().out


def test_the_film_shows_the_recorded_episode(tmp_path, capsys):
    run = tmp_path / "run"
    main(["control", "Pendulum-v1", "--run", str(run), *FLAGS])
    assert f"video   {run / 'video.mp4'}" in capsys.readouterr().out
    assert b"ftyp" in (run / "video.mp4").read_bytes()[:32]


def test_help_lists_the_flags_of_the_planner(capsys):
    for planner, own, other in (("mppi", "--temperature", "--elites"), ("cem", "--elites", "--temperature")):
        main(["control", "--planner", planner, "--help"])
        text = capsys.readouterr().out
        assert own in text
        assert other not in text
        assert "--samples" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Pendulum-v1", "--planner", "mpi"], "--planner must be mppi, cem or shooting"),
        (["Pendulum-v1", "--samples", "0"], "--samples must be at least 1"),
        (["Pendulum-v1", "--simulator", "model"], "Use --simulator copies"),
        (["Pendulum-v1", "--reward", "my_reward"], "MuJoCo"),
        (["HalfCheetah-v5", "--reward", "my_reward"], "--reward must be module:function"),
        (["CartPole-v1"], "continuous"),
        (["Pendulum-v1", "--elites", "3"], "no option '--elites'"),
        (["Pendulumm-v1"], "did you mean"),
    ],
)
def test_errors_are_one_sentence(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["control", *arguments])
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
