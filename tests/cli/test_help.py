"""What the command line says of itself: help, completion, the forms that numbers take, and JSON from every verb."""

import ast
import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

import entrax
from entrax.agents.lookup import get_agent
from entrax.agents.registry import REGISTRY
from entrax.cli import VERBS, main, usage
from entrax.cli.flags import with_flags
from entrax.cli.values import Integer, Number, Widths
from entrax.cli.verbs import ARGUMENTS, group
from entrax.errors import alternatives, say, wording
from entrax.exact import METHODS
from entrax.fields import described
from entrax.training.options import TrainingOptions


def said(capsys, *arguments):
    """What a verb prints when it only explains itself."""
    main(list(arguments))
    return " ".join(capsys.readouterr().out.split())


def verb(name, arguments=()):
    ctx = click.Context(group)
    ctx.meta[ARGUMENTS] = list(arguments)
    return group.get_command(ctx, name)


@pytest.mark.parametrize("agent", REGISTRY)
def test_every_flag_says_what_it_does_for_the_agent_with_default_and_range(agent, capsys):
    text = said(capsys, "train", "--agent", agent, "--help")
    for settings in (get_agent(agent).Config, TrainingOptions):
        for field in dataclasses.fields(settings):
            assert " ".join(described(field).split()) in text.replace("- ", "-"), field.name
    assert "A field of" not in text


def test_without_an_agent_every_flag_names_the_agents_that_have_it(capsys):
    text = said(capsys, "train", "--help")
    assert (
        "--discount NUMBER Weight of a reward for every step that it lies ahead. [γ; from 0 to 1] (all agents)" in text
    )
    assert "(recurrent-sac, reinforce)" in text
    assert "(all agents except reinforce)" in text


def test_planning_names_its_methods(capsys):
    assert alternatives(METHODS) in said(capsys, "plan", "--help").replace("- ", "-")


def test_no_flag_of_any_verb_is_without_help():
    for name in VERBS:
        for parameter in verb(name).params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (name, parameter.name)


@pytest.mark.parametrize("name", VERBS)
def test_help_is_asked_for_in_three_ways(name, capsys):
    long = said(capsys, name, "--help")
    assert long == said(capsys, name, "-h") == said(capsys, "help", name)
    assert f"Usage: entrax {name}" in long


def test_the_top_level_help_fits_a_narrow_terminal():
    assert max(map(len, usage().splitlines())) <= 60


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_prints_json(name):
    assert "--json" in [flag for parameter in verb(name).params for flag in parameter.opts]


def test_the_page_of_the_command_line_has_every_verb():
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    assert set(re.findall(r"^\| `([a-z]+)", page, re.MULTILINE)) == set(VERBS)


def test_verbs_without_a_run_print_json(capsys):
    for arguments in (["agents", "--json"], ["study", "--json"]):
        main(arguments)
        assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("text", ["100000", "1e5", "100_000", "1E5", "1.0e5", "+1e5"])
def test_integers_may_be_written_as_numbers(text):
    assert Integer(1).convert(text, None, None) == 100_000
    assert isinstance(Number(int).convert(text, None, None), int)
    assert Widths().convert(f"{text},2", None, None) == (100_000, 2)


@pytest.mark.parametrize("text", ["1.5", "1e-3", "ten", "inf", "nan", "1e5x", "-1e5"])
def test_what_is_no_integer_in_range_is_refused(text):
    with pytest.raises(click.BadParameter):
        Integer(1).convert(text, None, None)


def test_every_integer_flag_takes_them():
    for name in VERBS:
        for parameter in verb(name, ["--agent", "sac"]).params:
            assert type(parameter.type) not in (click.IntRange, type(click.INT)), (name, parameter.name)


def test_python_m_entrax_is_entrax(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "entrax", "--help"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout == usage()


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ([], "fin", {"finetune", "fingerprint"}),
        (["train", "Pendulum-v1", "--agent"], "s", {"sac", "sac-value", "soft-q"}),
        (["train", "Pendulum-v1", "--preset"], "", {"paper", "fast", "efficient"}),
        (["train", "Pendulum-v1", "--agent", "ppo"], "--gae", {"--gae-lambda"}),
        (["train"], "Pendulum", {"Pendulum-v1"}),
    ],
)
def test_the_shell_completes(words, incomplete, expected):
    result = ShellComplete(group, {}, "entrax", "_ENTRAX_COMPLETE").get_completions(words, incomplete)
    assert {item.value for item in result} == expected


def test_completion_is_what_the_shell_asks_for(tmp_path):
    environment = os.environ | {"_ENTRAX_COMPLETE": "bash_complete", "COMP_WORDS": "entrax stu", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from entrax.cli import main; main([])"],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
    )  # fmt: skip
    assert done.stdout == "plain,study\n"


def test_dir_lists_what_the_package_offers():
    assert set(entrax.__all__) <= set(dir(entrax))
    assert not {name for name in dir(entrax) if not name.startswith("__")} - set(entrax.__all__)
    assert all(importlib.import_module("entrax").__getattr__(name) for name in entrax.__all__)


@pytest.mark.parametrize(
    ("python", "flags"),
    [
        ("`learning_starts` must be at least 0, got -1.", "--learning-starts must be at least 0, got -1."),
        ("use `workers=0`.", "use --workers 0."),
        ("give `normalise_obs=True`.", "give --normalise-obs."),
        ("give `normalise_obs=False`.", "give --no-normalise-obs."),
        ("with `env_args={'max': 10, 'map': '4x4'}`", "with --env-arg max=10 --env-arg map=4x4"),
        ("`agent=my agent:sac`", "--agent 'my agent:sac'"),
        ("`hidden=(64, 64)`", "--hidden 64,64"),
        (
            "`entrax verify runs/x` and `reset` and `nothing_known`",
            "`entrax verify runs/x` and `reset` and `nothing_known`",
        ),
    ],
)
def test_parameters_of_python_errors_become_flags(python, flags):
    assert with_flags(python) == flags


def test_an_unknown_environment_is_refused_before_anything_is_announced(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["train", "HalfChetah-v5"])
    assert capsys.readouterr().out == ""


OWN = """
from entrax.studies.power import ControlResult, median_power
from entrax.studies.study import Study

POWER = median_power("Many seeds.", "two seeds", lambda: ControlResult(seen=True))
STUDY = Study("own", "Seeds are many.", "Supported if there are two.", lambda quick, seeds, out: {"seeds": len(seeds)},
              lambda numbers: "supported" if numbers["seeds"] > 1 else "refuted", POWER, look="A point.")
NOTHING = 3
"""


def test_a_study_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_study.py").write_text(OWN)
    main(["study", "own_study:STUDY", "--seeds", "2", "--out", "out"])
    assert "own: supported" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "own" / "numbers.json").read_text())["verdict"] == "supported"
    for name, words in (("own_study:NOTHING", "got int"), ("no_such:STUDY", "No module named 'no_such'")):
        with pytest.raises(SystemExit):
            main(["study", name])
        assert words in capsys.readouterr().err


def test_messages_of_python_name_parameters():
    """The hints for a run that must be given its environment again are typed as they stand."""
    exempt = {"recorded.py", "trained.py", "source.py", "xla.py"}
    files = [file for file in Path(entrax.__file__).parent.rglob("*.py") if file.parent.name != "cli"]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and file.name not in exempt:
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                flags = [text for text in texts if isinstance(text, str) and re.search(r"(^| )--[a-z]", text)]
                assert not flags, (file.name, node.lineno, flags)


def test_what_is_said_on_the_way_is_worded_for_the_command_line(capsys):
    say("`max_episode_steps=10` sets the limit.")
    assert capsys.readouterr().err == "entrax: `max_episode_steps=10` sets the limit.\n"
    token = wording.set(with_flags)
    say("`max_episode_steps=10` sets the limit.")
    wording.reset(token)
    assert capsys.readouterr().err == "entrax: --max-episode-steps 10 sets the limit.\n"
