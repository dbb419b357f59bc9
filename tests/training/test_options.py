"""What may be asked of a run, and what a preset makes of it."""

import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import entrax
from entrax.agents import sac, sac_value
from entrax.agents.lookup import get_agent
from entrax.agents.registry import default_agent
from entrax.errors import EntraxError
from entrax.spec import Discrete, Leaf, Spec
from entrax.training import task
from entrax.training.options import PRESETS, TrainingOptions, get_preset
from tests.agents import reference64 as ref


def configure(agent: Any, preset: str, settings: dict[str, Any]) -> tuple[TrainingOptions, Any]:
    """Call `task.configure`, whose types do not show the fields of a configuration."""
    return task.configure(agent, preset, settings)


@pytest.mark.parametrize(("steps", "tenth"), [(7, 1), (1000, 100), (99_999, 10_000)])
def test_unsaid_intervals_are_a_tenth_of_the_steps(steps, tenth):
    options = TrainingOptions(steps=steps).resolved()
    assert (options.learning_starts, options.eval_every, options.horizon) == (tenth, tenth, steps)


def test_with_a_horizon_of_their_own_intervals_do_not_follow_the_steps():
    options = TrainingOptions(steps=5000, horizon=1000).resolved()
    assert (options.learning_starts, options.eval_every, options.log_every) == (100, 100, 10)


def test_random_steps_are_at_most_ten_thousand_unless_asked_for():
    assert TrainingOptions(steps=1_000_000).resolved().learning_starts == 10_000
    assert TrainingOptions(steps=1_000_000, learning_starts=20_000).resolved().learning_starts == 20_000


def test_resolved_options_resolve_to_themselves():
    options = TrainingOptions(steps=1234, envs=3).resolved()
    assert options.resolved() == options


def test_a_preset_beats_the_defaults_and_a_setting_beats_the_preset():
    plain, _ = configure(sac, "paper", {"steps": 100})
    fast, config = configure(sac, "fast", {"steps": 100})
    own, own_config = configure(sac, "fast", {"steps": 100, "envs": 3, "learning_rate": 0.125})
    assert plain.envs == TrainingOptions().envs != fast.envs == PRESETS["fast"].options["envs"]
    assert own.envs == 3
    assert config.learning_rate == PRESETS["fast"].agent["learning_rate"] != sac.Config().learning_rate
    assert own_config.learning_rate == 0.125
    assert own.updates_per_step == fast.updates_per_step


def test_paper_is_the_published_configuration():
    options, config = configure(sac, "paper", {})
    assert options.updates_per_step == 1.0
    assert config == sac.Config()
    assert (config.learning_rate, config.discount, config.target_rate, config.batch_size) == (3e-4, 0.99, 0.005, 256)


def test_a_preset_leaves_out_what_an_agent_does_not_have():
    _, config = configure(sac_value, "fast", {})
    assert config.learning_rate == PRESETS["fast"].agent["learning_rate"]


@pytest.mark.parametrize(
    ("wrong", "right"), [("learning_rat", "learning_rate"), ("step", "steps"), ("batchsize", "batch_size")]
)
def test_a_misspelt_setting_is_answered_with_the_right_one(wrong, right):
    with pytest.raises(EntraxError) as error:
        configure(sac, "paper", {wrong: 1})
    assert f"There is no setting {wrong!r}, did you mean {right!r}?" in str(error.value)


@pytest.mark.parametrize(
    ("agent", "theirs", "ours"),
    [
        ("sac", "gamma", "`discount`"),
        ("sac", "n_envs", "`envs`"),
        ("sac", "total_timesteps", "`steps`"),
        ("sac", "env_kwargs", "`env_args`"),
        ("sac", "ent_coef", "`temperature` in entrax"),
        ("ppo", "ent_coef", "`temperature` or `entropy_coefficient`"),
        ("ppo", "clip_range", "`clip`"),
    ],
)
def test_a_name_of_another_library_is_answered_with_ours(agent: str, theirs: str, ours: str) -> None:
    with pytest.raises(EntraxError, match=f"`{theirs}` is called {ours}"):
        configure(get_agent(agent), "paper", {theirs: 1})


def test_a_preset_has_an_agent_where_that_fits_the_environment():
    box, discrete = ref.SPEC, ref.discrete_spec(Discrete(3))
    efficient = get_preset("efficient")
    assert default_agent(box, efficient.algorithm) == efficient.algorithm == "xqc"
    assert default_agent(discrete, efficient.algorithm) == default_agent(discrete) == "dqn"
    image = Leaf("", (6, 6, 1), "uint8", 36, (0.0,), (255.0,))
    assert default_agent(Spec((image,), box.action), efficient.algorithm) == default_agent(box) == "sac"
    options, config = configure(get_agent("xqc"), "efficient", {})
    assert (options.envs, options.updates_per_step, options.learning_starts) == (1, 2.0, 5_000)
    assert config == get_agent("xqc").Config()


def test_a_misspelt_preset_is_answered_with_the_right_one():
    with pytest.raises(EntraxError, match=r"`preset` must be .* 'fsat', did you mean 'fast'"):
        get_preset("fsat")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("steps", [50, 2000, 100_000])
def test_learning_starts_within_a_tenth_of_the_steps(preset, steps):
    assert configure(sac, preset, {"steps": steps})[0].learning_starts <= steps // 10
    assert configure(sac, preset, {"steps": steps, "learning_starts": steps})[0].learning_starts == steps


def test_whole_numbers_of_other_types_and_lists_are_taken():
    options, config = configure(sac, "paper", {"steps": 1e5, "envs": np.int64(2), "hidden": [64, np.int32(32)]})
    assert (options.steps, options.envs, config.hidden) == (100_000, 2, (64, 32))
    assert all(type(value) is int for value in (options.steps, options.envs, *config.hidden))
    _, config = configure(sac, "paper", {"learning_rate": np.float32(0.5), "temperature": 1.0})
    assert (config.learning_rate, config.temperature) == (0.5, 1.0)
    wrong: dict[str, Any]
    for wrong in ({"steps": 10.5}, {"hidden": [0.5]}, {"hidden": []}, {"envs": True}, {"steps": "many"}):
        with pytest.raises(EntraxError, match=f"`{next(iter(wrong))}` must be"):
            configure(sac, "paper", wrong)


@pytest.mark.parametrize("seed", [None, -1, 1.5, True, "1"])
def test_a_seed_that_is_none_is_refused_by_name(seed):
    train = inspect.unwrap(entrax.train)  # users do not have the run-time checks of the tests
    with pytest.raises(EntraxError, match="`seed` must be an integer"):
        train("Pendulum-v1", seed=seed)


@pytest.mark.parametrize(
    ("agent", "settings"),
    [("sac", {"target_entropy": np.nan}), ("sac", {"target_entropy": -1e39}), ("sac", {"learning_rate": 1e39})],
)
def test_numbers_that_32_bits_cannot_hold_are_refused_by_name(agent, settings):
    with pytest.raises(EntraxError, match=rf"`{next(iter(settings))}` must be a number that 32 bits"):
        configure(get_agent(agent), "paper", settings)


def test_a_seed_has_64_bits_at_most():
    with pytest.raises(EntraxError, match="`seed` must be"):
        entrax.train("Pendulum-v1", "sac", seed=2**63)


def test_what_train_takes_is_checked_before_anything_begins(tmp_path):
    """In a process without the run-time checks of types that tests have."""
    script = """
import entrax
for given in ({"env_args": [("g", 9.0)]}, {"hook": "x"}, {"run": 5}, {"prior": 5}):
    try:
        entrax.train("Pendulum-v1", "sac", **given)
    except entrax.EntraxError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert [line.split(" must be")[0] for line in said] == ["`env_args`", "`hook`", "`run`", "`prior`"]
    assert not list(tmp_path.iterdir())
