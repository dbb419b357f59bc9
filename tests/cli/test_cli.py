"""The command line as a user meets it: what it writes, and what it answers to mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from entrax.cli import VERBS, main, usage
from entrax.errors import EntraxError

SMALL = ["--steps", "300", "--learning-starts", "100", "--batch-size", "16", "--hidden", "8,8", "--episodes", "2"]


def entrax(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "entrax.cli", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, env=dict(os.environ))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small run, made by the command line, and what it printed."""
    folder = tmp_path_factory.mktemp("cli")
    done = entrax("train", "Pendulum-v1", *SMALL, "--seed", "5", "--run", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run", done.stdout


def test_training_ends_with_an_evaluation_and_says_where_everything_is(trained: tuple[Path, str]) -> None:
    run, printed = trained
    assert "over 2 new episodes" in printed
    for what, file in (("figure", "learning_curve.png"), ("video", "video.mp4"), ("report", "report.html")):
        assert f"{what}  {run / file}" in " ".join(printed.split("\n")).replace("   ", "  ")
        assert (run / file).stat().st_size > 1000
    assert (run / "checkpoints" / "final-000000300" / "state.safetensors").is_file()


def test_evaluate_prints_one_json_object(trained: tuple[Path, str]) -> None:
    run, _ = trained
    mode, again, sampled = (
        json.loads(entrax("evaluate", "run", "--episodes", "3", "--json", *flags, cwd=run.parent).stdout)
        for flags in ((), (), ("--sample", "--checkpoint", "best"))
    )
    assert mode == again
    assert mode["policy"] == "mode"
    assert sampled["policy"] == "sampled"
    assert mode["episodes"] == len(mode["returns"]) == 3
    assert mode["mean"] == pytest.approx(sum(mode["returns"]) / 3)
    assert sampled["returns"] != mode["returns"]


def test_the_configuration_explains_the_run(trained: tuple[Path, str]) -> None:
    config = json.loads((trained[0] / "config.json").read_text())
    assert config["agent"] == "sac"
    assert config["seed"] == 5
    assert config["environment"]["id"] == "Pendulum-v1"
    assert config["agent_config"]["hidden"] == [8, 8]
    assert config["training"]["steps"] == 300
    assert config["training"]["learning_starts"] == 100


def test_every_row_is_there_once_and_in_order(trained: tuple[Path, str]) -> None:
    rows = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if "evaluation" not in row]
    assert steps == sorted(set(steps))
    assert rows[-1]["updates"] == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "HalfChetah-v5"], ["HalfChetah-v5", "did you mean 'HalfCheetah-v5'"]),
        (["train", "Pendulum-v1", "--agent", "sca"], ["'sca'", "did you mean 'sac'"]),
        (["train", "Pendulum-v1", "--stepz", "3"], ["--stepz", "--steps"]),
        (["train", "Pendulum-v1", "--gamma", "0.9"], ["--gamma is called --discount"]),
        (["train", "Pendulum-v1", "--tau", "0.9"], ["--tau is called --target-rate"]),
        (["train", "Pendulum-v1", "--ent-coef", "0.1"], ["--ent-coef is called --temperature"]),
        (["train", "Pendulum-v1", "--total-timesteps", "9"], ["--total-timesteps is called --steps"]),
        (["train", "Pendulum-v1", "--n-envs", "9"], ["--n-envs is called --envs"]),
        (["train", "Pendulum-v1", "--num-envs", "9"], ["--num-envs is called --envs"]),
        (["train", "Pendulum-v1", "--steps", "-5"], ["--steps must be at least 1, got -5"]),
        (["train", "Pendulum-v1", "--batch-size", "0"], ["--batch-size must be at least 1"]),
        (["train", "Pendulum-v1", "--temperature", "warm"], ["--temperature must be 'learned'", "warm"]),
        (
            ["train", "Pendulum-v1", "--agent", "ppo", "--ent-coef", "0.1"],
            ["--temperature or --entropy-coefficient"],
        ),
        (["train", "--env", "Pendulum-v1"], ["--env is called the environment's id as the first argument"]),
        (["train", "--env-id", "Pendulum-v1"], ["--env-id is called the environment's id as the first argument"]),
        (["train", "Pendulum-v1", "--env-kwargs", "{}"], ["--env-kwargs is called --env-arg"]),
        (["train", "Pendulum-v1", "--preset", "fasst"], ["'fasst'", "did you mean 'fast'"]),
        (["train", "Pendulum-v1", "--run", "taken"], ["taken is not empty"]),
        (["train", "CartPole-v1", "--agent", "sac"], ["continuous", "use discrete-sac, dqn"]),
        (["train", "Pendulum-v1", "--resume"], ["--resume requires --run"]),
        (["resume", "nowhere"], ["nowhere is not a run", "no such directory"]),
        (["evaluate", "nowhere"], ["nowhere is not a run", "no such directory"]),
        (["train", "NoSuch-v0"], ["'NoSuch-v0'. Give a Gymnasium id, module:Class or file.py:Class."]),
        (["train", "ALE/NoSuch-v5"], ["Use entrax/Atari-v0 with --env-arg game=NoSuch."]),
        (["train", "Pendulum-v1", "--steps", "ten"], ["--steps must be an integer, got 'ten'."]),
        (["train", "Pendulum-v1", "--discount", "abc"], ["--discount must be a number, got 'abc'."]),
        (["train", "Pendulum-v1", "--hidden", "wide"], ["--hidden must be a list of integers", "'wide'"]),
        (["train", "Pendulum-v1", "--learning-rat", "1"], ["no option '--learning-rat'", "'--learning-rate'?"]),
        (["plan", "FrozenLake-v1", "--temperature", "0", "--method", "x"], ["--method must be auto, ", " or newton"]),
        (["trian"], ["'trian'", "did you mean 'train'"]),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert said.startswith("entrax: ")
    for word in words:
        assert word in said
    assert (tmp_path / "taken" / "thesis.txt").read_text() == "mine"
    assert not (tmp_path / "runs").exists()


def test_a_run_without_a_name_never_collides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        main(["train", "Pendulum-v1", *SMALL, "--eval-every", "0", "--no-video"])
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["Pendulum-v1_sac_0_1", "Pendulum-v1_sac_0_2"]


def test_debug_raises_what_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EntraxError, match="nowhere"):
        main(["evaluate", "nowhere", "--debug"])


def test_help_names_every_verb_and_loads_nothing_heavy(tmp_path: Path) -> None:
    assert all(verb in usage() for verb in VERBS)
    script = "import sys; from entrax.cli import usage; usage(); print({'jax', 'click', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "set()"


OWN = """
import gymnasium
import numpy as np


class Line(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-10.0, 10.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)

    def __init__(self, length=10):
        self.length = length

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.full(1, self.t, np.float32), float(action[0]), False, self.t == self.length, {}


gymnasium.register(id="Line-v0", entry_point="own.things:Line")
"""


@pytest.mark.parametrize("env", ["own.things:Line-v0", pytest.param("own.things:Line", marks=pytest.mark.long)])
def test_an_environment_and_an_agent_of_ones_own(
    env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").write_text("")
    (tmp_path / "own" / "things.py").write_text(OWN)  # without JAX, which every worker would import with it
    names = "Config, data, init, policy, resolve, update"
    (tmp_path / "own" / "learner.py").write_text(f"from entrax.agents.sac import {names}")
    flags = ["--agent", "own:learner", "--env-arg", "length=7", "--envs", "2", "--no-video", "--run", "run"]
    main(["train", env, *SMALL, *flags])
    with pytest.raises(SystemExit):
        main(["evaluate", "run"])
    assert "--agent own:learner" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "run", "--agent", "own:learner"])
    assert f"--env {env}" in capsys.readouterr().err
    main(["evaluate", "run", "--agent", "own:learner", "--env", env, "--episodes", "2", "--json"])
    assert json.loads(capsys.readouterr().out)["lengths"] == [7, 7]


def test_agents_are_listed_with_their_papers(capsys: pytest.CaptureFixture[str]) -> None:
    main(["agents"])
    said = capsys.readouterr().out
    assert "sac-value" in said
    assert "1801.01290" in said


@pytest.mark.long
def test_resume_makes_the_evaluation_and_the_report_that_a_kill_left_out(tmp_path: Path, monkeypatch) -> None:
    def die(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    for place in ("entrax.training.run.Run.evaluate", "entrax.cli.finish.write_report"):
        name = place.rpartition(".")[2]
        monkeypatch.setattr(place, die)
        with pytest.raises(SystemExit):
            main(["train", "Pendulum-v1", *SMALL, "--no-video", "--run", name])
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        assert not (tmp_path / name / "report.html").exists()
        main(["resume", name, "--episodes", "2", "--no-video"])
        assert (tmp_path / name / "report.html").exists()
        events = [json.loads(line)["kind"] for line in (tmp_path / name / "events.jsonl").read_text().splitlines()]
        assert events[-2:] == ["evaluation", "published"]
        main(["resume", name])
        assert len((tmp_path / name / "events.jsonl").read_text().splitlines()) == len(events)  # nothing was left to do
