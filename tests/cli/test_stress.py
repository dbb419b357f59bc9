"""`entrax stress` as a user meets it."""

import json
from pathlib import Path
from typing import Any

import pytest

import entrax
from entrax.cli import main
from entrax.cli.stress import table
from entrax.evaluation.stress import ConditionResult, Interval, StressResult

SMALL: dict[str, Any] = {"steps": 40, "learning_starts": 20, "batch_size": 8, "hidden": (8, 8), "eval_every": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stress") / "run"
    entrax.train("Pendulum-v1", run=path, env_args={"max_episode_steps": 10}, **SMALL)
    return path


def test_one_json_object_with_what_was_skipped(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = run.parent / "stress.png"
    options = ["--families", "action-delay,mass", "--levels", "1", "--episodes", "2", "--variant", "g=20"]
    main(["stress", str(run), *options, "--workers", "0", "--json", "--figure", str(figure)])
    record = json.loads(capsys.readouterr().out)
    assert record["levels"] == [0.0, 1.0]
    assert list(record["families"]) == ["action_delay"]
    assert record["skipped"] == {"mass": "it has no MuJoCo model"}
    assert record["variants"]["g=20"]["mean"] != record["unperturbed"]["mean"]
    assert record["unperturbed"]["returns"] == list(entrax.load(run).evaluate(2, workers=0).returns)
    assert figure.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--levels", "low"], "separated by commas"), (["--families", "wind"], "family of perturbations 'wind'")],
)
def test_a_mistake_is_one_sentence(run: Path, options: list[str], words: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["stress", str(run), *options])
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said


def test_a_figure_that_cannot_be_written_loses_no_results(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = run.parent / "nowhere" / "stress.png"
    options = ["--families", "action-delay", "--levels", "1", "--episodes", "1", "--workers", "0", "--json"]
    with pytest.raises(SystemExit) as left:
        main(["stress", str(run), *options, "--figure", str(figure)])
    said = capsys.readouterr()
    assert left.value.code == 5
    assert list(json.loads(said.out)["families"]) == ["action_delay"]
    assert f"{figure} cannot be written" in said.err


def test_the_table() -> None:
    def outcome(mean: float, half: float) -> ConditionResult:
        return ConditionResult(mean=mean, low=mean - half, high=mean + half, returns=(mean,), lengths=(1,))

    none, worse = outcome(2000.0, 30.0), outcome(12.345, 2.0)
    result = StressResult(
        policy="mode",
        episodes=1,
        levels=(0.0, 1.0),
        unperturbed=none,
        families={"mass": (none, worse), "push": (none, none)},
        areas={"mass": Interval(0.503, 0.4, 0.6), "push": None},
        variants={"closed=left": worse},
        skipped={"slope_up": "no ground", "slope_down": "no ground"},
        steps=4,
        seconds=1.0,
    )
    lines = table(result).splitlines()
    assert [line.split() for line in lines[2:7]] == [
        ["severity", "area", "1"],
        ["unperturbed", "2000", "±", "30"],
        ["mass", "0.50", "12.3", "±", "2.0"],
        ["push", "–", "2000", "±", "30"],
        ["closed=left", "12.3", "±", "2.0"],
    ]
    assert lines[-1] == "skipped slope_up, slope_down: no ground"


def test_a_condition_that_hangs_is_ended_by_the_time_limit_of_the_run(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "environments")
    limited: dict[str, Any] = SMALL | {"step_timeout": 2.0, "workers": 1}
    run = entrax.train("toys:Toy", run=tmp_path / "run", env_args={"truncate": True}, **limited)
    options = ["--env", "toys:Toy", "--families", "action-delay", "--levels", "1", "--episodes", "1"]
    with pytest.raises(SystemExit) as left:
        main(["stress", str(run.path), *options, "--variant", "fault=hang"])
    assert left.value.code == 3
    assert "within 2 s" in capsys.readouterr().err
