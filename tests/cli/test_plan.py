"""`entrax plan` as a user meets it: numbers, maps, figures, and what it answers to mistakes."""

import io
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib import image
from rich.console import Console

from entrax.cli.output import print_json
from entrax.cli.plan import command
from entrax.cli.plan_text import map_lines, moves, show_values
from entrax.errors import EntraxError
from entrax.exact import DEFAULT_TOLERANCE
from entrax.problems import Layout, forest, safe_or_risky
from entrax.report.plan_figure import plan_figure

MAZE = "#####\n#S..#\n#.#.#\n#..G#\n#####\n"


def run(*arguments):
    result = CliRunner().invoke(command, list(map(str, arguments)), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def plan(*arguments):
    """The JSON object that it prints; NaN and infinities, which JSON has not, are refused."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(run(*arguments, "--json"), parse_constant=refuse)


@pytest.fixture
def maze(tmp_path):
    path = tmp_path / "maze[a].txt"  # brackets are markup to Rich
    path.write_text(MAZE)
    return path


def test_frozen_lake_from_the_shell():
    """In a process of its own, where nothing has set 64-bit mode before."""
    shell = [sys.executable, "-m", "entrax.cli", "plan", "FrozenLake-v1", "--temperature", "0", "--discount", "0.99"]
    done = subprocess.run([*shell, "--json"], capture_output=True, text=True, timeout=300, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["start_value"] == pytest.approx(0.542025932000, abs=1e-12)
    assert 0 < answer["error_bound"] < 1e-11


@pytest.mark.parametrize(
    ("temperature", "convention", "start_value"),
    [(0.01, "entropy", 0.5989242013), (0.1, "entropy", 2.4710324780), (0.1, "kl", 0.0192922001)],
)
def test_frozen_lake_softly(temperature, convention, start_value):
    flags = ["--temperature", temperature, "--discount", 0.99, "--convention", convention, "--tolerance", 1e-11]
    answer = plan("FrozenLake-v1", *flags)
    assert answer["start_value"] == pytest.approx(start_value, abs=5e-11)
    assert answer["value"][0] == answer["start_value"]
    assert len(answer["value"]) == 16
    assert answer["iterations"] > 0
    assert answer["converged"]
    assert answer["method"] == "newton-krylov"
    np.testing.assert_allclose(np.sum(answer["policy"], axis=1), 1)
    assert np.shape(answer["policy"]) == (16, 4)


def test_the_posterior_of_safe_or_risky(tmp_path):
    """It takes the risk with probability .7874, where the variational policy takes it with .2689."""
    safe_or_risky().save(tmp_path / "risk.npz")
    answer = plan(tmp_path / "risk.npz", "--temperature", 1, "--horizon", 1, "--posterior")
    assert answer["policy"][0][1] == pytest.approx(0.2689414, abs=5e-8)
    assert answer["posterior"]["policy"][0][1] == pytest.approx(0.7874008, abs=5e-8)
    evidence = math.log((1 + (math.exp(2) + math.exp(-4)) / 2) / 2)
    assert answer["posterior"]["log_evidence"] == pytest.approx(evidence)
    bound = math.log((1 + math.exp(-1)) / 2)
    assert answer["posterior"]["evidence_lower_bound"] == pytest.approx(bound)
    assert answer["posterior"]["optimism"] == pytest.approx([evidence - bound])


def test_a_saved_problem_keeps_its_discount_unless_told(tmp_path):
    forest(discount=0.96).save(tmp_path / "forest.npz")
    own = plan(tmp_path / "forest.npz", "--temperature", 0)
    assert own["value"] == pytest.approx([74.6496, 78.1056, 82.1056], abs=5e-5)
    assert plan(tmp_path / "forest.npz", "--temperature", 0, "--discount", 0)["value"] == pytest.approx([0, 1, 4])


def test_the_average_reward_of_the_forest(tmp_path):
    forest().save(tmp_path / "forest.npz")
    answer = plan(tmp_path / "forest.npz", "--temperature", 0, "--objective", "average")
    assert answer["average_reward"] == pytest.approx(3.24)


def test_a_map_is_a_gridworld(maze):
    answer = plan(maze, "--temperature", 0, "--discount", 0.5, "--step-reward", -1, "--goal-reward", 8)
    assert answer["states"] == 8
    assert answer["start_value"] == pytest.approx(-1 - 0.5 - 0.25 + 0.125 * 7)


def colours(path):
    """How many colours a picture has, roughly."""
    drawn = image.imread(path)
    return len(np.unique(drawn.reshape(-1, drawn.shape[2]).round(2), axis=0))


def test_a_map_is_printed_with_arrows_and_values(maze, tmp_path):
    printed = run(maze, "--temperature", 0, "--discount", 0.9, "--figure", tmp_path / "maze.png").split("\n")
    assert printed[0].startswith("maze[a].txt: 8 states, 4 actions; temperature 0, discount 0.9")
    assert "start value 0.729 (error at most" in printed[1]
    rows = [line.strip(" █").split() for line in printed if "█" in line][1:-1]
    assert rows[0] == ["S→↓", "0.73", "→", "0.81", "↓", "0.90"]
    assert rows[2] == ["→", "0.90", "→", "1.00", "G"]
    assert colours(tmp_path / "maze.png") > 50, "hardly anything is drawn"


def test_the_posterior_is_printed_and_drawn(maze, tmp_path):
    asked = ("--temperature", 0.1, "--slip", 0.2, "--horizon", 9, "--posterior", "--figure", tmp_path / "three.png")
    printed = run(maze, *asked)
    assert "log evidence" in printed
    assert sum("█" in line for line in printed.split("\n")) == 10
    assert colours(tmp_path / "three.png") > 100


def values(layout, value, policy, terminal=None, width=120):
    """What is printed of these values on a page so wide."""
    page = Console(width=width, record=True, file=io.StringIO())
    terminal = np.zeros(len(value), bool) if terminal is None else terminal
    show_values(page, layout, value, policy, terminal)
    return page.export_text()


def test_a_map_too_wide_for_values_shows_arrows_and_one_too_large_says_so():
    layout = Layout.parse("S" + "." * 29)
    right = np.tile([0.0, 1.0, 0.0, 0.0], (30, 1))
    beside = values(layout, np.full(30, 0.5), right, width=400).split()
    assert beside == ["S", *["→", "0.500"] * 30]
    below = values(layout, np.full(30, 0.5), right, width=220).split()
    assert below == ["S", *["→"] * 30, *["0.500"] * 30]
    assert values(layout, np.full(30, 0.5), right).split() == ["S", *["→"] * 30]
    assert "too large to print" in values(layout, np.full(30, 0.5), right, width=80)


def test_a_problem_without_a_map_is_a_table_and_curves(tmp_path):
    value, policy = np.arange(30.0), np.tile([0.25, 0.75], (30, 1))
    terminal = np.arange(30) == 2
    printed = values(None, value, policy, terminal).split("\n")
    assert printed[1].split() == ["0", "0", "1", "0.7500"]
    assert printed[3].split() == ["2", "2", "–", "–"]
    assert "and 14 more" in "".join(printed)
    plan_figure(tmp_path / "states.png", "states", "", {"value": value, "policy": policy}, terminal)
    assert colours(tmp_path / "states.png") > 50


def test_the_help_has_the_default_tolerance():
    assert f"[{DEFAULT_TOLERANCE:g}]" in run("--help")


def test_ties_show_all_their_arrows():
    assert moves(np.array([0.5, 0.5, 0, 0]), "↑→↓←") == "↑→"
    assert moves(np.array([0.1, 0.2, 0.2, 0.5]), "↑→↓←") == "←"
    assert moves(np.full(4, 0.25), "↑→↓←") == "•"


def test_equal_values_are_no_division_by_zero():
    layout = Layout.parse("S.")
    lines = map_lines(layout, np.zeros(2), np.zeros(2, bool), ["a ", "b "])
    assert lines[0].plain.split() == ["a", "b"]


def test_what_is_not_finite_is_null(capsys):
    print_json({"a": math.inf, "b": [np.array([1.0, -math.inf, math.nan])], "c": "x", "d": 3})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [[1.0, None, None]], "c": "x", "d": 3}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["FrozenLakes-v1", "--temperature", 0], "FrozenLake-v1"),
        (["CartPole-v1", "--temperature", 0], "CartPole-v1 has no table of transitions P"),
        (["CartPole-v1", "--temperature", 0], "Use `entrax train` for it, or give a map or an .npz file."),
        (["nonsense", "--temperature", 0], "There is no environment 'nonsense'. Give a Gymnasium id, module:Class"),
        (["nonsense", "--temperature", 0], "or file.py:Class, or a map or an .npz file."),
        (["ALE/NoSuch-v5", "--temperature", 0], "entrax/Atari-v0"),
        (["nowhere/maze.txt", "--temperature", 0], "There is no file nowhere/maze.txt"),
        (["nowhere.npz", "--temperature", 0], "nowhere.npz cannot be read: No such file"),
        (["Taxi-v4", "--temperature", 0, "--env-arg", "fickle_passenger=true"], "fickle_passenger"),
        (["FrozenLake-v1", "--temperature", -1], "emperature"),
        (["FrozenLake-v1", "--temperature", "nan"], "emperature"),
        (["FrozenLake-v1", "--temperature", 0, "--discount", 2], "[0, 1]"),
        (["FrozenLake-v1", "--temperature", 0, "--horizon", 0], "orizon"),
        (["FrozenLake-v1", "--temperature", 1, "--posterior"], "--posterior requires --horizon"),
        (["FrozenLake-v1", "--temperature", 0, "--slip", 0.1], "--slip is for maps in text files"),
        (["FrozenLake-v1", "--temperature", 0, "--env-arg", "x"], "key=value"),
        (["FrozenLake-v1", "--temperature", 0, "--discount", 0.9, "--method", "newton"], "newton-krylov"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    with pytest.raises(EntraxError) as caught:
        run(*arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_of_the_wrong_kind(tmp_path, maze):
    (tmp_path / "bad.npz").write_text("hello")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "huge.txt").touch()
    os.truncate(tmp_path / "huge.txt", 2**40)
    for arguments, words in (
        ([tmp_path / "bad.npz"], "bad.npz"),
        ([tmp_path / "bad.txt"], "cannot be read as a map"),
        ([tmp_path / "huge.txt"], "larger than any file"),
        (["FrozenLake-v1", "--env-arg", "x=" + "[" * 100_000], "cannot be read"),
        ([maze, "--env-arg", "a=1"], "--env-arg is for Gymnasium's environments"),
        ([maze, "--trust-table"], "--trust-table is for Gymnasium's environments"),
        ([maze, "--discount", 0.9, "--figure", tmp_path / "no" / "where.png"], "cannot be written"),
        ([maze, "--discount", 0.9, "--figure", tmp_path / "what.xyz"], "cannot be written"),
    ):
        with pytest.raises(EntraxError) as caught:
            run(*arguments, "--temperature", 0)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
