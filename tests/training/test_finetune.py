"""Fine-tuning: what comes along, what does not, and that nothing depends on the old run afterwards."""

import os
import shutil
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import entrax
from entrax.errors import EntraxError
from entrax.runs import checkpoints
from entrax.runs.audit import fingerprint, verify
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import flatten
from entrax.runs.start_file import read_start_file
from entrax.spec import Continuous, Discrete, Leaf, Spec
from entrax.training.request import Request, SourceRequest
from entrax.training.source_checkpoint import kept_rows, load_source_checkpoint, spec_differences
from tests.killing import Killed, killer
from tests.marks import long_except

SMALL: dict[str, Any] = {
    "learning_starts": 60,
    "chunk": 8,
    "hidden": (8, 8),
    "batch_size": 8,
    "log_every": 24,
    "eval_every": 100,
    "eval_episodes": 1,
    "checkpoint_every": 64,
}
TUNED: dict[str, Any] = {"steps": 160, "env_args": {"g": 9.0}, "checkpoint_every": 64, "eval_every": 0, "log_every": 16}


def prints(path):
    return fingerprint(RunDirectory.open(path))


def started(path):
    """The arrays that a fine-tuned run began with, by their paths."""
    return read_start_file(RunDirectory.open(path))


def same(arrays, others, prefix):
    names = [name for name in others if name.startswith(prefix)]
    assert names
    return all(np.array_equal(arrays[name], others[name]) for name in names)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A run of soft actor-critic with two environments and a normaliser."""
    path = tmp_path_factory.mktemp("old") / "run"
    settings: dict[str, Any] = SMALL | {"envs": 2, "workers": 0, "normalise_obs": True, "initial_temperature": 0.5}
    entrax.train("Pendulum-v1", agent="sac", seed=3, steps=200, run=path, **settings)
    return path


def test_what_a_policy_alone_does_not_have_cannot_be_kept(old, tmp_path):
    for name in ("keep_optimiser", "keep_replay"):
        with pytest.raises(EntraxError, match=r"has a policy only|holds a policy without"):
            entrax.finetune(old, checkpoint="best", run=tmp_path / "new", **(TUNED | {name: True}))
    assert not (tmp_path / "new").exists()
    with pytest.raises(EntraxError, match="`steps` is required"):
        Request(env=None, source=SourceRequest(path=old))


def test_a_fine_tuned_run_is_resumed_with_what_was_kept(old, tmp_path):
    kept: dict[str, Any] = {"keep_optimiser": True, "keep_replay": True}
    entrax.finetune(old, run=tmp_path / "new", hook=lambda row: True, **TUNED, **kept)
    for name in kept:
        with pytest.raises(EntraxError, match="holds another run"):
            entrax.finetune(old, run=tmp_path / "new", resume=True, **TUNED, **(kept | {name: False}))
    entrax.finetune(old, run=tmp_path / "new", resume=True, **TUNED, **kept)


def test_what_is_learned_comes_along_and_what_is_not_begins_anew(old, tmp_path):
    run = entrax.finetune(old, run=tmp_path / "new", hook=lambda row: True, **TUNED)
    arrays, _ = checkpoints.load(RunDirectory.open(old), "final")
    begun = started(tmp_path / "new")
    for part in ("state/params", "state/targets", "normaliser"):
        assert same(begun, arrays, part)
    assert all(not begun[name].any() for name in begun if name.startswith(("state/opt_state", "state/updates")))
    ancestor = run.config["ancestor"]
    assert ancestor["step"] == 200
    assert ancestor["checkpoint"] == "final-000000200"
    assert ancestor["carried"] == ["params/critics", "params/log_alpha", "params/policy", "targets", "normaliser"]
    assert ancestor["reset"] == ["opt_state", "updates"]
    assert ancestor["temperature"]["ancestor"] == pytest.approx(float(np.exp(arrays["state/params/log_alpha"])))
    [event] = [event for event in run.directory.events() if event["kind"] == "finetuned"]
    assert "Carried over: params/critics" in event["message"]
    assert run.config["agent_config"]["hidden"] == [8, 8]
    assert (run.config["training"]["envs"], run.config["training"]["chunk"]) == (2, 8)
    assert run.config["environment"]["kwargs"] == {"g": 9.0}


def test_the_first_steps_are_those_of_the_old_policy(old, tmp_path):
    """The first chunk's actions, stored in the replay, are what the old policy's densest part allows: not uniform."""
    new = entrax.finetune(old, run=tmp_path / "new", steps=16, env_args={"g": 9.0}, eval_every=0, learning_starts=16)
    _, meta = checkpoints.load(new.directory)
    rows = kept_rows(load_source_checkpoint(tmp_path / "new", "final", None))
    again = entrax.finetune(old, run=tmp_path / "again", steps=16, env_args={"g": 9.0}, eval_every=0, learning_starts=0)
    assert meta["updates"] == 0
    assert checkpoints.load(again.directory)[1]["updates"] == 16
    np.testing.assert_array_equal(
        rows["action"], kept_rows(load_source_checkpoint(again.path, "final", None))["action"]
    )


@pytest.mark.parametrize("keep_replay", [pytest.param(False, marks=pytest.mark.long), True])
def test_killed_before_and_after_its_first_checkpoint_it_ends_as_one_that_was_not(old, tmp_path, keep_replay):
    """The old run is gone by then."""
    settings: dict[str, Any] = TUNED | {
        "keep_replay": keep_replay,
        "envs": 3,
    }  # 200 transitions fill 66 steps of 3 environments
    shutil.copytree(old, tmp_path / "old")
    entrax.finetune(tmp_path / "old", run=tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        entrax.finetune(tmp_path / "old", run=tmp_path / "new", hook=killer(1), **settings)
    assert checkpoints.available(RunDirectory.open(tmp_path / "new")) == []
    shutil.rmtree(tmp_path / "old")
    with pytest.raises(Killed):
        entrax.resume(tmp_path / "new", hook=killer(6))
    assert checkpoints.available(RunDirectory.open(tmp_path / "new"))
    entrax.resume(tmp_path / "new")
    assert prints(tmp_path / "new") == prints(tmp_path / "whole")


def test_killed_while_it_is_made_there_is_no_run(old, tmp_path, monkeypatch):
    def die(*arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", die)
        with pytest.raises(Killed):
            entrax.finetune(old, run=tmp_path / "new", **TUNED)
    assert not (tmp_path / "new").exists()
    run = entrax.finetune(old, run=tmp_path / "new", hook=lambda row: True, **TUNED)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]
    entrax.finetune(old, run=tmp_path / "new", resume=True, **TUNED)
    assert run.directory.metrics()[-1]["step"] == 160
    with pytest.raises(EntraxError, match=r"holds another run, .*final-000000200"):
        entrax.finetune(old, run=tmp_path / "new", resume=True, temperature_start="restart", **TUNED)


def test_a_damaged_start_is_named(old, tmp_path):
    with pytest.raises(Killed):
        entrax.finetune(old, run=tmp_path / "new", hook=killer(0), **TUNED)
    file = tmp_path / "new" / "start.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(data)
    with pytest.raises(EntraxError, match=r"start\.safetensors is damaged"):
        entrax.resume(tmp_path / "new")
    finding = verify(RunDirectory.open(tmp_path / "new"))[0]
    assert finding.checkpoint == "start.safetensors"
    assert "start.safetensors is damaged" in str(finding.damage)


def test_the_replay_comes_along_in_order(old, tmp_path):
    rows = kept_rows(load_source_checkpoint(old, "latest", None))
    entrax.finetune(old, run=tmp_path / "new", keep_replay=True, hook=lambda row: True, **TUNED)
    both = kept_rows(load_source_checkpoint(tmp_path / "new", "latest", None))
    assert len(rows["reward"]) == 200
    for name, values in rows.items():
        np.testing.assert_array_equal(both[name][:200], values)
    assert RunDirectory.open(tmp_path / "new").config["training"]["learning_starts"] == 0
    with pytest.raises(EntraxError, match=r"best-\d+ of .* holds a policy without a replay"):
        entrax.finetune(old, checkpoint="best", keep_replay=True, run=tmp_path / "none", **TUNED)
    assert not (tmp_path / "none").exists()


def test_of_the_best_checkpoint_there_is_a_policy_only(old, tmp_path):
    run = entrax.finetune(old, checkpoint="best", run=tmp_path / "new", hook=lambda row: True, **TUNED)
    arrays, _ = checkpoints.load(RunDirectory.open(old), "best")
    begun = started(tmp_path / "new")
    assert all(np.array_equal(begun[name.replace("policy/", "state/params/policy/", 1)], array)
               for name, array in arrays.items() if name.startswith("policy/"))  # fmt: skip
    assert run.config["ancestor"]["carried"] == ["params/policy", "normaliser"]
    assert "params/critics" in run.config["ancestor"]["reset"]


def test_temperatures_are_kept_begun_anew_or_annealed(old, tmp_path):
    final = float(np.exp(checkpoints.load(RunDirectory.open(old))[0]["state/params/log_alpha"]))

    def alpha(name, **settings):
        run = entrax.finetune(old, run=tmp_path / name, **TUNED | settings)
        there = float(np.exp(started(tmp_path / name)["state/params/log_alpha"]))
        return there, [row["temperature"] for row in run.metrics() if row.get("temperature") is not None]

    assert final < 0.5
    assert alpha("kept")[0] == pytest.approx(final)
    assert alpha("anew", temperature_start="restart")[0] == pytest.approx(0.5)
    np.testing.assert_allclose(alpha("given", temperature=0.25)[1], 0.25, rtol=1e-6)
    _, annealed = alpha("annealed", temperature_start="anneal", temperature=0.1)
    assert annealed == sorted(annealed, reverse=True)
    assert final * 0.8 < annealed[0] < final
    assert annealed[-1] == pytest.approx(0.1, rel=0.4)  # of the last chunk, ten per cent before the end
    for settings, words in (
        ({"temperature_start": "anneal"}, "requires a positive `temperature`"),
        ({"temperature_start": "aneal"}, "did you mean 'anneal'"),
    ):
        with pytest.raises(EntraxError, match=words):
            alpha("never", **settings)


def test_an_annealed_temperature_survives_a_kill(old, tmp_path):
    settings: dict[str, Any] = TUNED | {"temperature_start": "anneal", "temperature": 0.1}
    entrax.finetune(old, run=tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        entrax.finetune(old, run=tmp_path / "new", hook=killer(6), **settings)
    entrax.resume(tmp_path / "new")
    assert prints(tmp_path / "new") == prints(tmp_path / "whole")


AGENTS = {
    "sac-value": ("Pendulum-v1", {}, {"params/policy", "params/critics", "params/value", "targets"}, {"params/policy"}),
    "soft-q": (
        "Pendulum-v1",
        {"particles": 4, "value_particles": 4, "temperature": 0.5},
        {"params/policy", "params/critics", "targets"},
        {"params/policy", "params/critics", "targets"},
    ),
    "xqc": (
        "Pendulum-v1",
        {},
        {"params/policy", "params/critics", "params/log_alpha", "targets", "statistics"},
        {"params/policy", "statistics"},
    ),
    "td3": (
        "Pendulum-v1",
        {},
        {"params/policy", "params/critics", "targets"},
        {"params/policy", "targets"},
    ),
    "ddpg": ("Pendulum-v1", {}, {"params/policy", "params/critics", "targets"}, {"params/policy", "targets"}),
    "dqn": ("CartPole-v1", {"temperature": 0.5, "final_temperature": 0.1}, {"params/critic", "targets"},
            {"params/critic", "targets"}),
    "discrete-sac": ("CartPole-v1", {}, {"params/policy", "params/critics", "params/log_alpha", "targets"},
                     {"params/policy"}),
}  # fmt: skip


@pytest.mark.parametrize("agent", long_except(("td3",), AGENTS))
def test_every_agent_is_taken_apart_by_the_same_paths(agent, tmp_path):
    env, settings, whole, best = AGENTS[agent]
    small: dict[str, Any] = {"learning_starts": 16, "chunk": 8, "hidden": (8, 8), "batch_size": 8, "eval_episodes": 1}
    entrax.train(env, agent=agent, steps=40, run=tmp_path / "old", **small | settings)
    old, _ = checkpoints.load(RunDirectory.open(tmp_path / "old"))
    for which, carried in (("final", whole), ("best", best)):
        new = tmp_path / which
        run = entrax.finetune(tmp_path / "old", steps=24, checkpoint=which, run=new, eval_every=0)
        assert set(run.config["ancestor"]["carried"]) == carried | {"normaliser"}
        assert all(np.all(np.isfinite(array)) for array in flatten(run.controller.policy).values())
        if which == "final":
            begun = started(new)
            assert all(same(begun, old, f"state/{part}") for part in carried)
    if agent == "dqn":  # annealed over the first fifth, so it had ended at 0.1, and stays there
        config = run.config["agent_config"]
        assert config["temperature"] == pytest.approx(0.1)
        assert config["final_temperature"] is None
        assert config["exploration"] == config["final_exploration"] == 0.0
    if agent == "discrete-sac":
        assert run.config["agent_config"]["initial_entropy_share"] == 0.0
    if agent == "td3":
        with pytest.raises(EntraxError, match="no temperature"):
            entrax.finetune(tmp_path / "old", steps=24, temperature_start="anneal", temperature=1.0)


def test_a_target_starts_as_its_parameter_where_only_that_was_kept(tmp_path):
    small: dict[str, Any] = {"learning_starts": 16, "chunk": 8, "hidden": (8, 8), "batch_size": 8, "eval_episodes": 1}
    entrax.train("CartPole-v1", agent="dqn", steps=40, run=tmp_path / "old", **small)
    entrax.finetune(tmp_path / "old", steps=8, checkpoint="best", run=tmp_path / "new", eval_every=0)
    begun = started(tmp_path / "new")
    targets = {name.replace("targets", "params/critic"): a for name, a in begun.items() if "targets" in name}
    assert same(begun, targets, "state/params/critic")


def leaf(name="observation", size=3, dtype="float32", low=-1.0):
    return Leaf(name=name, shape=(size,), dtype=dtype, size=size, low=(low,) * size, high=(1.0,) * size)


def box(size=1):
    return Continuous(shape=(size,), dtype="float32", low=(-1.0,) * size, high=(1.0,) * size)


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (Spec((leaf(),), box()), []),
        (Spec((leaf(low=-9.0),), box()), []),
        (Spec((leaf(size=4),), box()), ["observation has shape (4,), not (3,)"]),
        (Spec((leaf(dtype="uint8"),), box(2)), ["observation has dtype uint8, not float32",
                                               "action has shape (2,), not (1,)"]),
        (Spec((leaf("goal"),), Discrete(2)), ["observation is missing", "goal is new",
                                             "action is Discrete, not Continuous"]),
    ],
)  # fmt: skip
def test_spaces_are_compared_field_by_field(new, expected):
    assert spec_differences(Spec((leaf(),), box()), new) == expected


def test_the_order_of_observations_counts():
    one, other = (Spec((leaf(a), leaf(b)), Discrete(3)) for a, b in (("x", "y"), ("y", "x")))
    assert spec_differences(one, other) == ["observations come in the order y, x, not x, y"]
    assert spec_differences(one, Spec(one.observation, Discrete(4))) == ["action has n 4, not 3"]


def test_other_spaces_and_other_networks_are_refused_before_anything_is_made(old, tmp_path):
    for env, settings, words in (
        ("MountainCarContinuous-v0", {}, r"spaces of .*: observation has shape \(2,\), not \(3,\)"),
        ("Pendulum-v1", {"hidden": (8, 16)}, r"must have shape \(\d+, \d+\), got \(\d+, \d+\)"),
        ("Pendulum-v1", {"normalise_obs": False}, "`normalise_obs` cannot change"),
        ("Pendulum-v1", {"stepz": 3}, "no setting 'stepz'"),
    ):
        with pytest.raises(EntraxError, match=words):
            entrax.finetune(old, env, steps=100, run=tmp_path / "new", **settings)
        assert not (tmp_path / "new").exists()
    assert jnp.asarray(1.0).dtype == jnp.float32


@pytest.mark.parametrize(
    ("agent", "env", "settings", "end"),
    [
        # Acts by the configuration's temperature, so that it shows in what is collected at once.
        pytest.param(
            "pcl",
            "CartPole-v1",
            {"unified": True, "batch_size": 8, "temperature": 0.5},
            0.05,
            marks=pytest.mark.long,
        ),
        # A policy alone ("best") has no temperature in it, and the state has.
        pytest.param("sac", "Pendulum-v1", {"temperature": 0.5}, 0.05, marks=pytest.mark.long),
    ],
)
def test_the_annealed_temperature_is_the_one_of_its_chunk_wherever_it_is_kept(agent, env, settings, end, tmp_path):
    small: dict[str, Any] = {
        "learning_starts": 40,
        "chunk": 8,
        "hidden": (8, 8),
        "batch_size": 8,
        "eval_episodes": 1,
    } | settings
    entrax.train(env, agent=agent, steps=80, run=tmp_path / "old", **small)
    tuned: dict[str, Any] = {
        "steps": 160,
        "temperature_start": "anneal",
        "temperature": end,
        "log_every": 16,
        "checkpoint_every": 48,
    }
    which = "best" if agent == "sac" else "final"
    entrax.finetune(tmp_path / "old", run=tmp_path / "whole", checkpoint=which, **tuned)
    with pytest.raises(Killed):
        entrax.finetune(tmp_path / "old", run=tmp_path / "new", checkpoint=which, hook=killer(6), **tuned)
    entrax.resume(tmp_path / "new")
    assert prints(tmp_path / "new") == prints(tmp_path / "whole")
    if agent == "sac":  # which tells its temperature
        told = [row["temperature"] for row in RunDirectory.open(tmp_path / "whole").metrics() if "temperature" in row]
        assert 0.5 > told[0] > told[-1] > end
    halfway = next(n for n in checkpoints.available(RunDirectory.open(tmp_path / "whole")) if n.startswith("step"))
    read = load_source_checkpoint(tmp_path / "whole", halfway, None)
    assert read.temperature is not None
    assert end < read.temperature < 0.5


def test_what_would_be_read_wrongly_is_refused(tmp_path):
    small: dict[str, Any] = {"learning_starts": 16, "chunk": 8, "hidden": (8, 8), "batch_size": 8, "eval_episodes": 1}
    entrax.train("CartPole-v1", agent="dqn", steps=40, run=tmp_path / "dqn", **small)
    with pytest.raises(EntraxError, match=r"`keep_replay` .*single transitions"):
        entrax.finetune(tmp_path / "dqn", steps=24, keep_replay=True, n_step=3)
    run = entrax.finetune(tmp_path / "dqn", steps=24, run=tmp_path / "windows", n_step=5, eval_every=0)
    assert (run.config["training"]["learning_starts"], run.config["training"]["chunk"]) == (5, 8)
    energy: dict[str, Any] = {"particles": 4, "value_particles": 4, "temperature": 0.5}
    entrax.train("Pendulum-v1", agent="soft-q", steps=40, run=tmp_path / "soft", **small | energy)
    with pytest.raises(EntraxError, match=r"units of its temperature.*0\.5"):
        entrax.finetune(tmp_path / "soft", steps=24, temperature=1.0)


def test_more_steps_are_added_to_a_fine_tuned_run(old, tmp_path):
    entrax.finetune(old, run=tmp_path / "new", **TUNED)
    more: dict[str, Any] = TUNED | {"steps": 320}
    run = entrax.finetune(old, run=tmp_path / "new", resume=True, **more)
    assert run.metrics()[-1]["step"] == 320
    with pytest.raises(EntraxError, match="holds another run"):
        entrax.finetune(old, run=tmp_path / "new", resume=True, keep_optimiser=True, **more)
