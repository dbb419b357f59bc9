"""Runs of planners: recorded actions bring the recorded rewards, and an interrupted run ends as another does."""

from dataclasses import fields
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import entrax
from entrax.environments.slot import Slot
from entrax.environments.source import EnvSource
from entrax.errors import EntraxError, UsageError
from entrax.planning import Coloured, Splines, White
from entrax.planning.lookahead import Lookahead, model_of
from entrax.planning.settings import PLANNERS, PlannerSettings, build, resolved
from entrax.report.control_report import control_lines
from entrax.training.control import ControlRun

SMALL: dict[str, Any] = {"samples": 6, "horizon": 4, "max_episode_steps": 8}


class Wall(gymnasium.Env):
    """A point that must not stop; it breaks down for good at step `breaks`."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)

    def __init__(self, breaks: int = 10_000):
        self.breaks, self.steps, self.x = breaks, 0, 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.x = 0, float(self.np_random.uniform(-1, 1))
        return np.array([self.x]), {}

    def step(self, action):
        self.steps += 1
        if self.steps > self.breaks:
            raise ZeroDivisionError("the wall is down")
        self.x += 0.1 * float(action[0])
        return np.array([self.x]), -(self.x**2), abs(self.x) > 1.5, self.steps >= 60, {}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    return entrax.control("Pendulum-v1", run=tmp_path_factory.mktemp("runs") / "run", episodes=3, seed=4, **SMALL)


def test_the_recorded_actions_bring_the_recorded_rewards(played):
    slot = Slot(EnvSource("Pendulum-v1", max_episode_steps=8), 0)
    assert len(played.episodes) == len(set(played.seeds)) == 3
    for episode, seed, row in zip(played.episodes, played.seeds, played.metrics(), strict=True):
        slot.reset(seed)
        rewards = [slot.step(action)[1] for action in episode.actions]
        np.testing.assert_array_equal(rewards, episode.rewards)
        assert row["return"] == pytest.approx(sum(rewards))
        assert row["length"] == 8
        assert not slot.running
    assert [row["step"] for row in played.metrics()] == [8, 16, 24]


def test_the_summary_is_that_of_all_decisions(played):
    summary, episodes = played.summary(), played.episodes
    assert summary["mean"] == pytest.approx(np.mean([episode.rewards.sum() for episode in episodes]))
    assert summary["lengths"] == [8, 8, 8]
    assert summary["simulator"] == "copies"
    together = np.concatenate([episode.milliseconds for episode in episodes])
    assert summary["decision"] == pytest.approx(
        {"median_ms": np.median(together), "p90_ms": np.quantile(together, 0.9)}
    )
    assert 0 < summary["physics_share"] < 1
    assert 1 <= summary["effective_samples"]["least"] <= summary["effective_samples"]["median"] <= 6
    assert summary["finite_plans"] == 1


def test_a_run_that_is_continued_ends_as_one_that_was_not_interrupted(played, tmp_path):
    options = {"run": tmp_path / "run", "seed": 4, "resume": True} | SMALL
    entrax.control("Pendulum-v1", episodes=1, **options)
    (tmp_path / "run" / "episodes" / "1.npz").write_bytes(b"of a process that was killed before it wrote the row")
    rows: list[dict[str, Any]] = []
    continued = entrax.control("Pendulum-v1", episodes=3, hook=rows.append, **options)
    assert [row["episodes"] for row in rows] == [2, 3]
    for one, other in zip(continued.episodes, played.episodes, strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)
    entrax.control("Pendulum-v1", episodes=3, hook=rows.append, **options)
    assert len(rows) == 2
    with pytest.raises(UsageError, match="another agent_config"):
        entrax.control("Pendulum-v1", episodes=3, **(options | {"samples": 7}))
    with pytest.raises(UsageError, match="another seed"):
        entrax.control("Pendulum-v1", episodes=3, **(options | {"seed": 5}))
    with pytest.raises(UsageError, match="not empty"):
        entrax.control("Pendulum-v1", **(options | {"resume": False}))


def test_a_damaged_episode_is_named(tmp_path):
    run = entrax.control("Pendulum-v1", run=tmp_path / "run", **SMALL)
    (run.path / "episodes" / "0.npz").write_bytes(b"nothing")
    with pytest.raises(EntraxError, match=r"0\.npz is damaged"):
        ControlRun(run.directory, run.source).summary()


def test_commands_for_trained_policies_refuse_it_and_the_reverse(played, tmp_path):
    with pytest.raises(UsageError, match="trains no policy"):
        entrax.load(played.path)
    entrax.train("Pendulum-v1", "sac", steps=4, run=tmp_path / "run", learning_starts=4, eval_every=0)
    with pytest.raises(UsageError, match="not of `entrax control`"):
        entrax.control("Pendulum-v1", run=tmp_path / "run", resume=True)


def test_an_episode_ends_where_the_environments_does(tmp_path):
    run = entrax.control(Wall, run=tmp_path / "run", episodes=2, samples=4, horizon=3, planner="shooting")
    for episode, row in zip(run.episodes, run.metrics(), strict=True):
        assert row["length"] == len(episode.rewards) <= 60
    summary = run.summary()
    assert "effective_samples" not in summary
    assert "advice" not in control_lines(summary)


def test_at_temperature_0_the_output_says_that_one_plan_has_all_the_weight(tmp_path):
    run = entrax.control("Pendulum-v1", run=tmp_path / "run", temperature=0.0, **SMALL)
    assert run.summary()["on_one_sample"] == 1
    assert "100.0% of decisions rest on one plan" in control_lines(run.summary())["advice"]


def test_what_the_environment_raises_in_a_plan_is_named(tmp_path):
    with pytest.raises(EntraxError, match="could not be simulated: ZeroDivisionError: the wall is down"):
        entrax.control(Wall, env_args={"breaks": 45}, run=tmp_path / "run", samples=4, horizon=3)


def test_sampled_decisions_draw_among_the_plans(played, tmp_path):
    drawn = entrax.control("Pendulum-v1", run=tmp_path / "run", seed=4, sample=True, **SMALL)
    assert np.any(drawn.episodes[0].actions != played.episodes[0].actions)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"planner": "mpc"}, "mppi, cem or shooting"),
        ({"episodes": 0}, "`episodes` must be at least 1"),
        ({"max_episode_steps": 0}, "max_episode_steps"),
        ({"elites": 4}, "elites"),
        ({"planner": "cem", "temperature": 1.0}, "temperature"),
        ({"samples": 2.5}, "samples"),
        ({"noise": "pink"}, "white, coloured or splines"),
        ({"noise": "splines", "knots": 30}, "knots"),
        ({"planner": "cem", "samples": 4, "elites": 5}, "elites"),
        ({"simulator": "model"}, "no Gymnasium MuJoCo"),
        ({"resume": True}, "requires `run`"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_input_is_refused_before_a_directory_is_made(options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        entrax.control("Pendulum-v1", **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("planner", PLANNERS)
def test_settings_have_texts_and_reach_the_planner(planner):
    kind = PLANNERS[planner]
    assert all(field.metadata["help"] and field.metadata["range"] for field in fields(kind))
    lookahead = Lookahead(model_of(lambda x, u: x, lambda x, u: 0.0), 1, 12)
    noises: dict[str, Any] = {"white": White(), "coloured": Coloured(2.0), "splines": Splines(4)}
    for noise, expected in noises.items():
        given: Any = kind(samples=24, horizon=12, std=0.3, noise=noise, exponent=2.0)
        built: Any = build(resolved(given), lookahead, seed=3)
        assert type(built).__name__ == {"mppi": "PathIntegral", "cem": "CrossEntropy"}.get(planner, "RandomShooting")
        assert (built.samples, built.noise, built.seed) == (24, expected, 3)
        assert float(built.std[0]) == pytest.approx(0.3)
        for name in {field.name for field in fields(kind)} - {field.name for field in fields(PlannerSettings)}:
            assert float(getattr(built, name)) == pytest.approx(getattr(resolved(given), name))
