"""`entrax compare`: grouping of runs, and the comparison."""

import json
import re

import numpy as np
import pytest
from scipy import stats

from entrax.cli import main
from entrax.cli.compare import text
from entrax.errors import EntraxError
from entrax.evaluation.compare import EvaluatedRun, compare_groups, curves, grouped
from entrax.report import compare_figure
from entrax.runs.directory import RunDirectory

LOOP = {"steps": 100, "horizon": 100, "envs": 1, "log_every": 10, "device": None}


def configuration(seed, agent="sac", env="Pendulum-v1", training=None, kwargs=None, **config):
    return {
        "environment": {"id": env, "kwargs": kwargs or {}, "travels": True},
        "agent": agent,
        "agent_config": {"temperature": "learned"} | config,
        "training": LOOP | (training or {}),
        "seed": seed,
    }


def run(name, evaluations, seed, **settings):
    return EvaluatedRun(name=name, config=configuration(seed, **settings), evaluations=evaluations)


def flat(value):
    return {50: value, 100: value}


def test_runs_are_grouped_by_all_but_their_seed_and_named_by_what_differs():
    runs = [
        run("a", flat(1.0), 0),
        run("b", flat(2.0), 1, training={"log_every": 5, "device": "cpu"}),  # of no matter
        run("c", flat(3.0), 0, temperature=0.2),
        run("d", flat(4.0), 0, agent="td3", training={"steps": 200}),
        run("e", flat(5.0), 0, kwargs={"g": 9.0}),
    ]
    groups = grouped(runs)
    assert [(g.task, g.method, g.runs) for g in groups] == [
        ("Pendulum-v1", "sac temperature=learned", ("a", "b")),
        ("Pendulum-v1", "sac temperature=0.2", ("c",)),
        ("Pendulum-v1", "td3", ("d",)),
        ("Pendulum-v1 g=9.0", "sac temperature=learned", ("e",)),
    ]


def test_a_fine_tuned_run_is_not_one_from_scratch_and_its_source_seeds_are_of_no_matter():
    def tuned(name, seed, **temperature):
        made = run(name, flat(1.0), seed)
        ancestor = {
            **{"path": name, "sha256": name, "environment": {"id": "Old-v0", "kwargs": {}}, "step": 300},
            **{"temperature": {"start": "keep"} | temperature, "carried": ["params/policy"], "replay": 0},
        }
        return EvaluatedRun(name=name, config={**made.config, "ancestor": ancestor}, evaluations=made.evaluations)

    groups = grouped([tuned("a", 0), tuned("b", 1), run("c", flat(1.0), 0)])
    assert [g.runs for g in groups] == [("a", "b"), ("c",)]
    assert groups[0].method == "sac after=Old-v0 at 300"
    assert groups[1].method == "sac"

    high, low = ({"start": "anneal", "anneal": {"start": alpha, "end": 0.05}} for alpha in (0.5, 0.1))
    groups = grouped([tuned("a", 0, **high), tuned("b", 1, **high), tuned("c", 0, **low)])
    assert [g.runs for g in groups] == [("a", "b"), ("c",)]
    assert [g.method for g in groups] == ["sac annealed from=0.5", "sac annealed from=0.1"]
    learned = [tuned("a", 0, **high, learned=True), tuned("b", 1, **low, learned=True)]  # differs between seeds
    assert [g.runs for g in grouped(learned)] == [("a", "b")]


def test_seeds_are_compared_at_steps_that_all_of_them_have():
    [group] = grouped([run("a", {50: 1.0, 100: 3.0, 150: 9.0}, 0), run("b", {50: 5.0, 100: 7.0}, 1)])
    assert group.steps.tolist() == [50, 100]
    assert group.scores("final").tolist() == [3.0, 7.0]
    assert group.scores("area").tolist() == [2.0, 6.0]
    assert curves([group])["Pendulum-v1"]["sac"]["value"] == [3.0, 5.0]
    with pytest.raises(EntraxError, match="no common step"):
        grouped([run("a", {50: 1.0}, 0), run("b", {60: 1.0}, 1)])
    with pytest.raises(EntraxError, match="b and a have the same configuration and seed"):
        grouped([run("a", flat(1.0), 0), run("b", flat(2.0), 0)])


def test_methods_of_one_task_are_compared_at_the_same_steps_and_a_warning_names_the_shortest():
    """A run of sac that ended early must not have sac at step 100 scored against td3 at 200."""
    stopped = [run("a", {50: 0.0, 100: 1.0, 200: 9.0}, 0), run("b", {50: 0.0, 100: 2.0}, 1)]
    others = [run(f"t{seed}", {50: 0.0, 75: 8.0, 100: 5.0, 200: 6.0}, seed, agent="td3") for seed in range(2)]
    elsewhere = run("e", {300: 1.0}, 0, env="Two-v0")
    groups = grouped([*stopped, *others, elsewhere])
    for score, ours, theirs in (("final", [1.0, 2.0], [5.0, 5.0]), ("area", [0.5, 1.0], [2.5, 2.5])):
        result = compare_groups(groups, score)
        assert [(g["step"], g["scores"]) for g in result["groups"]][:2] == [(100.0, ours), (100.0, theirs)]
        [said] = result["warnings"]
        assert said.startswith("Pendulum-v1 is compared up to step 100, ")
        assert "b ends at 100" in said
        assert said.endswith("200.")
    assert curves(groups)["Pendulum-v1"]["td3"]["steps"] == [50, 75, 100, 200]
    assert compare_groups(groups[1:])["warnings"] == []
    with pytest.raises(EntraxError, match=r"methods on Pendulum-v1 .*no common step"):
        compare_groups([groups[0], *grouped([run("t", {60: 1.0}, 0, agent="td3")])])


def test_a_comparison_over_two_tasks_by_hand():
    """On either task sac has 0, 2, 4 and td3 has 1, 3, 5: sac's seeds win 3 of 9 pairs; scaled, they are fifths."""
    runs = [
        run(f"{agent}{env}{seed}", flat(2.0 * seed + (agent == "td3")), seed, agent=agent, env=env)
        for agent in ("sac", "td3")
        for env in ("One-v0", "Two-v0")
        for seed in range(3)
    ]
    result = compare_groups(grouped(runs), resamples=500)
    assert result["tasks"] == ["One-v0", "Two-v0"]
    assert result["scale"]["One-v0"] == {"low": 0.0, "high": 5.0}
    one, other = result["improvement"]
    assert (one["method"], one["over"], one["value"]) == ("sac", "td3", pytest.approx(3 / 9))
    assert other["value"] == pytest.approx(6 / 9)
    assert one["low"] < one["value"] < one["high"]
    scores = np.tile([0.0, 0.4, 0.8], 2)
    assert result["pooled"]["sac"]["value"] == pytest.approx(stats.trim_mean(scores, 0.25))
    profile = result["profiles"]["sac"]["value"]
    assert [profile[place] for place in (0, 30, 50, 90)] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 0.0])
    assert json.loads(json.dumps(result)) == result


def test_methods_with_no_task_in_common_are_not_pooled():
    result = compare_groups(grouped([run("a", flat(1.0), 0), run("b", flat(2.0), 0, agent="td3", env="Two-v0")]))
    assert result["tasks"] == []
    assert result["improvement"] == []
    assert result["pooled"] == {}
    assert len(result["groups"]) == 2


@pytest.fixture
def runs(tmp_path):
    """Directories as training leaves them, without training."""
    for agent, shift in (("sac", 0.0), ("td3", 10.0)):
        for seed in range(2):
            directory = RunDirectory.create(tmp_path / f"{agent}_{seed}", configuration(seed, agent=agent))
            for step in (50, 100):
                mean = float(seed + shift + step)
                directory.append_metrics({"step": step, "return": 0.0})
                directory.append_metrics({"step": step, "evaluation": {"mean": mean}})
    return sorted(str(path) for path in tmp_path.iterdir())


@pytest.mark.parametrize("tasks", [1, 2])
def test_a_performance_profile_is_drawn_over_several_environments_only(tasks, runs, tmp_path, monkeypatch):
    for name in ("Other-v0",) * (tasks - 1):
        for agent in ("sac", "td3"):
            directory = RunDirectory.create(tmp_path / f"more_{agent}", configuration(0, agent=agent, env=name))
            directory.append_metrics({"step": 100, "evaluation": {"mean": 1.0}})
            runs = [*runs, str(directory.path)]
    drawn = []
    monkeypatch.setattr(compare_figure, "compare_figure", lambda *args, profiles, thresholds: drawn.append(profiles))
    main(["compare", *runs, "--figure", str(tmp_path / "curves.png")])
    assert [profiles is not None for profiles in drawn] == [tasks > 1]


def test_intervals_are_shown_where_there_are_seeds_for_one():
    def said(shift):
        pairs = [("sac", 0.0, seed) for seed in range(3)] + [("td3", shift, seed) for seed in range(3)]
        runs = [run(f"{agent}{seed}", flat(5.0 * seed + more), seed, agent=agent) for agent, more, seed in pairs]
        return text(compare_groups(grouped(runs)))

    assert "5.0 [0.0, 10.0]" in said(7.0)
    assert re.search(r"td3 over sac +0\.89 \[0\.\d\d, 1\.00\]", said(7.0))
    assert re.search(r"td3 over sac +1\.00\n", said(70.0))


def test_it_prints_a_table_or_json_and_draws(runs, tmp_path, capsys):
    main(["compare", *runs, "--figure", str(tmp_path / "curves.png")])
    said = capsys.readouterr().out
    assert "Pendulum-v1: return at the last step" in said
    assert "100.5" in said
    assert "td3 over sac" in said
    assert "[1" not in said  # two seeds have no interval
    assert "An interval needs at least 3 seeds" in said
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert "is compared up to" not in said
    main(["compare", *runs, "--json", "--score", "area"])
    result = json.loads(capsys.readouterr().out)
    assert [group["scores"] for group in result["groups"]] == [[75.0, 76.0], [85.0, 86.0]]
    RunDirectory.open(runs[0]).append_metrics({"step": 150, "evaluation": {"mean": 1.0}})
    main(["compare", *runs])
    assert "Pendulum-v1 is compared up to step 100" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["nowhere"], "nowhere is not a run"),
        (["--score", "finl"], "--score must be final or area, got 'finl'"),
        (["--figure", "curves.xyz"], "curves.xyz cannot be written"),
        (["never"], "never has no evaluations to compare"),
    ],
)
def test_a_mistake_is_one_sentence(runs, flags, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    RunDirectory.create(tmp_path / "never", configuration(7))
    with pytest.raises(SystemExit) as ended:
        main(["compare", *runs, *flags])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
