"""A stress test of policies and environments whose losses can be worked out by hand, and of a real body."""

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from entrax.environments.faults import EnvironmentFault
from entrax.environments.perturb import FAMILIES
from entrax.environments.source import EnvSource
from entrax.errors import EntraxError
from entrax.evaluation.episodes import evaluate
from entrax.evaluation.stress import stress_test
from entrax.report.stress_figure import stress_figure

STEPS = 8


class Wage(gymnasium.Env):
    """Pays the action, which is what it observes times 1, plus `bonus`, in each of 8 steps."""

    observation_space, action_space = Box(-2.0, 2.0, (1,), np.float32), Box(-2.0, 2.0, (1,), np.float32)

    def __init__(self, bonus: float = 0.0, spread: float = 0.0, fragile: bool = False, wide: bool = False):
        self.bonus, self.spread, self.fragile = bonus, spread, fragile
        if wide:
            self.observation_space = Box(-2.0, 2.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.wage, self.t = 1.0 + self.spread * self.np_random.uniform(-1.0, 1.0), 0
        return np.full(1, self.wage, np.float32), {}

    def step(self, action):
        if self.fragile and action[0] == 0.0:
            raise RuntimeError("no action")
        self.t += 1
        return np.full(1, self.wage, np.float32), float(action[0]) + self.bonus, self.t == STEPS, False, {}


def source(**kwargs) -> EnvSource:
    return EnvSource("Wage", kwargs, factory=Wage)


def repeat(obs, episodes, t):
    """The policy: do what is observed."""
    return obs


def run(env: EnvSource, **settings):
    options: dict[str, Any] = {"seed": 0, "policy": "mode", "episodes": 4}
    return stress_test(repeat, env, **options | settings)


@pytest.mark.parametrize("bonus", [0.0, -3.0])
def test_late_actions_cost_what_they_would_have_earned(bonus):
    """k steps late of 8 loses k: the curve is a line from R(0) to R(0) - 4, whatever the sign of the return."""
    result = run(source(bonus=bonus), families=["action-delay"])
    nominal = STEPS * (1.0 + bonus)
    assert result.levels == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert [outcome.mean for outcome in result.families["action_delay"]] == [nominal - late for late in range(5)]
    area = result.areas["action_delay"]
    assert area is not None
    assert (area.mean, area.low, area.high) == pytest.approx((1.0 - 2.0 / abs(nominal),) * 3)
    assert result.unperturbed == result.families["action_delay"][0]


def test_a_lost_reading_costs_its_share():
    result = run(source(), families=["sensor_dropout"], levels=[1.0], episodes=100)
    worst = result.families["sensor_dropout"][1]
    assert abs(worst.mean - STEPS / 2) < 4 * np.sqrt(STEPS / 4 / 100)  # each of 8 readings lost with probability 1/2
    assert worst.low < STEPS / 2 < worst.high
    assert worst.high - worst.low == pytest.approx(2 * 1.96 * np.sqrt(STEPS / 4 / 100), rel=0.2)


def test_a_return_that_cannot_be_told_from_zero_has_no_area():
    assert run(source(bonus=-1.0, spread=0.5), families=["action_delay"]).areas == {"action_delay": None}


def test_what_is_unperturbed_is_the_evaluation_and_every_condition_plays_the_same_episodes():
    env = source(spread=0.9)
    result = run(env, families=["action_delay", "action_noise"], levels=[0.25, 1.0], episodes=5)
    plain = evaluate(repeat, env, episodes=5, seed=0, policy="mode")
    assert (result.unperturbed.returns, result.unperturbed.lengths) == (plain.returns, plain.lengths)
    late = np.array(result.families["action_delay"][1].returns)
    np.testing.assert_allclose(late, np.array(plain.returns) * 7 / 8, rtol=1e-6)


def test_variants_are_conditions_too():
    result = run(source(), families=["action_delay"], variants={"bonus=2": {"bonus": 2.0}})
    assert result.variants["bonus=2"].mean == 3.0 * STEPS
    with pytest.raises(EntraxError, match="With wide=true the environment has other observations"):
        run(source(), families=["action_delay"], variants={"wide=true": {"wide": True}})


def test_the_policy_is_told_the_episode_within_its_condition():
    seen = set()

    def act(obs, episodes, t):
        assert episodes.dtype == np.int32
        seen.update(episodes.tolist())
        return obs

    stress_test(act, source(), seed=0, policy="sampled", families=["action_delay"], episodes=3)
    assert seen == {0, 1, 2}


def steady(obs, episodes, t):
    """A policy for the hopper."""
    return np.tanh(obs[:, :3])


@pytest.fixture(scope="module")
def hopper():
    env = EnvSource("Hopper-v5", {"max_episode_steps": 20})
    return stress_test(steady, env, seed=1, policy="mode", levels=[1.0], episodes=2, envs=4, workers=0), env


def test_all_families_apply_to_a_hopper(hopper):
    result, _ = hopper
    assert set(result.families) == set(FAMILIES)
    assert result.skipped == {}
    assert result.steps == sum(sum(o.lengths) for f in result.families.values() for o in f[1:]) + sum(
        result.unperturbed.lengths
    )
    assert len({result.families[name][1].returns for name in ("mass", "gravity", "action_noise")}) == 3


def test_results_do_not_depend_on_how_many_run_at_once_nor_where(hopper):
    result, env = hopper
    for envs, workers in ((1, 0), (3, 1)):
        again = stress_test(steady, env, seed=1, policy="mode", levels=[1.0], episodes=2, envs=envs, workers=workers)
        assert again == result


def test_what_does_not_apply_is_skipped_with_the_reason():
    result = run(source(), levels=[1.0])
    assert set(result.families) == {"action_noise", "action_delay", "sensor_noise", "sensor_dropout"}
    assert result.skipped["mass"] == result.skipped["stairs_up"] == "it has no MuJoCo model"
    with pytest.raises(EntraxError, match="None of these perturbations applies to Wage"):
        run(source(), families=["mass"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"families": ["masss"]}, "did you mean 'mass'"),
        ({"levels": [0.0]}, "at least one of them above 0"),
        ({"levels": [0.5, 2.0]}, "from 0 to 1"),
        ({"episodes": 0}, "at least one episode"),
    ],
)
def test_mistakes_are_sentences(settings, words):
    with pytest.raises(EntraxError, match=words):
        run(source(), **settings)


def test_an_environment_that_fails_names_the_condition():
    with pytest.raises(EnvironmentFault, match=r"under .*action_delay.*0\.25.* raised RuntimeError: no action"):
        run(source(fragile=True), families=["action_delay"])


def test_the_record_is_json(hopper):
    record = hopper[0].to_json()
    assert json.loads(json.dumps(record)) == json.loads(json.dumps(hopper[0].to_json()))
    assert record["severe"]["mass"].startswith("mass")
    assert record["time"]["seconds_per_step"] > 0.0


def test_one_or_several_records_can_be_drawn(tmp_path):
    record = run(source(), families=["action_delay"], variants={"bonus=2": {"bonus": 2.0}}).to_json()
    for name, records in {"one": {"a": record}, "two": {"a": record, "b": record}}.items():
        stress_figure(records, tmp_path / f"{name}.png", "title")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
