"""`entrax infer` as a user meets it: planted weights from sampled files, figures, and what it answers to mistakes."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib import image

from entrax.cli.infer import command as infer_command
from entrax.cli.plan import command as plan_command
from entrax.errors import EntraxError
from entrax.inverse import load_demonstrations
from entrax.problems import garnet

MAZE = "#####\n#S..#\n#.#X#\n#..G#\n#####\n"
SETTINGS = ["--temperature", "0.5", "--convention", "kl", "--slip", "0.1", "--step-reward", "-0.2"]


def run(command, *arguments):
    result = CliRunner().invoke(command, list(map(str, arguments)), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def maze(tmp_path_factory):
    path = tmp_path_factory.mktemp("maze") / "maze.txt"
    path.write_text(MAZE)
    demos = path.with_name("demos.json")
    run(plan_command, path, *SETTINGS, "--demos", demos, "--episodes", 150, "--seed", 1)
    return path, demos


def test_planted_rewards_of_a_map_are_recovered(maze):
    path, demos = maze
    assert len(load_demonstrations(demos).weight) == 150
    answer = json.loads(run(infer_command, path, "--demos", demos, *SETTINGS, "--features", "cells", "--json"))
    assert answer["names"] == ["a step", "entering a goal", "entering a pit"]
    free = json.loads(run(infer_command, path, "--demos", demos, *SETTINGS, "--features", "cells", "--l2", 0, "--json"))
    assert free["converged"]
    assert abs(free["weights"][0] + 0.2) < 4 * free["errors"][0]
    np.testing.assert_allclose(np.abs(free["unidentified"]), [[0, 0.5**0.5, 0.5**0.5]], atol=1e-6)
    assert free["errors"][1] is None  # the rewards of both ends can be shifted together


def test_the_text_shows_weights_and_directions_and_the_figure_is_drawn(maze, tmp_path):
    path, demos = maze
    figure = tmp_path / "reward.png"
    text = run(infer_command, path, "--demos", demos, *SETTINGS, "--figure", figure)
    assert "150 demonstrations" in text
    assert "95 % interval" in text
    assert "error at most" in text
    assert "not identified by the demonstrations" in text
    assert min(image.imread(figure).shape[:2]) > 200


def test_a_temperature_is_fitted_to_a_known_reward(tmp_path):
    problem, demos = tmp_path / "problem.npz", tmp_path / "demos.npz"
    garnet(6, 3, 2, seed=0, discount=0.9).save(problem)
    run(plan_command, problem, "--temperature", 0.6, "--demos", demos, "--episodes", 40, "--steps", 20)
    flags = ["--temperature", "fit", "--known-reward", "--features", "none"]
    answer = json.loads(run(infer_command, problem, "--demos", demos, *flags, "--json"))
    assert answer["weights"] == []
    assert abs(answer["temperature"] - 0.6) < 4 * answer["temperature_error"]
    assert "temperature 0." in run(infer_command, problem, "--demos", demos, *flags, "--figure", tmp_path / "a.png")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--temperature", "warm"], "`temperature` must be a number above 0, or fit"),
        (["--temperature", "0"], "`temperature` must be"),
        (["--temperature", "fit"], "known_reward"),
        (["--features", "colours"], "`features` must be arrival"),
        (["--features", "none.npy"], "none.npy cannot be read"),
        (["--objective", "best"], "`objective` must be"),
        (["--horizon", "2", "--slip", "0.1"], "at most 2 decisions"),
    ],
)
def test_mistakes_are_one_sentence(maze, flags, words):
    path, demos = maze
    with pytest.raises(EntraxError, match=words):
        run(infer_command, path, "--demos", demos, "--convention", "kl", *flags)


def test_demonstrations_of_another_problem_are_refused(maze, tmp_path):
    small = tmp_path / "small.txt"
    small.write_text("####\n#SG#\n####\n")
    with pytest.raises(EntraxError, match=r"Trajectory 0 at decision \d+ has (action|state|next state)"):
        run(infer_command, small, "--demos", maze[1], "--convention", "kl")
