"""An agent around another one, from the command line: trained, killed and resumed, evaluated, filmed and fine-tuned."""

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import entrax
from entrax.agents.lookup import get_agent
from entrax.cli import main
from entrax.errors import UsageError
from entrax.runs.audit import fingerprint
from entrax.runs.directory import RunDirectory
from tests.killing import Killed, killer

CLIPPED = str(Path(__file__).with_name("clipped.py"))
LIMIT = 3.0
SMALL: dict[str, Any] = {
    "steps": 60,
    "hidden": (8, 8),
    "batch_size": 8,
    "learning_starts": 16,
    "eval_every": 0,
    "checkpoint_every": 16,
}
FLAGS = [
    "--steps",
    "60",
    "--hidden",
    "8,8",
    "--batch-size",
    "8",
    "--learning-starts",
    "16",
    "--eval-every",
    "0",
    "--checkpoint-every",
    "16",
]
WRAPPED = [*FLAGS, "--agent", CLIPPED, "--reward-limit", str(LIMIT)]


def prints(path):
    return fingerprint(RunDirectory.open(path))


@pytest.mark.long
def test_a_wrapped_agent_goes_through_every_verb(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["train", "Pendulum-v1", *WRAPPED, "--inner", "sac", "--run", "run", "--episodes", "1"])
    said = capsys.readouterr().out
    assert f"evaluate {tmp_path / 'run'} --agent {CLIPPED}" in said
    assert (tmp_path / "run" / "video.mp4").stat().st_size > 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["agent"], config["inner"]) == (CLIPPED, "sac")
    assert config["agent_config"]["reward_limit"] == LIMIT

    main(["evaluate", "run", "--agent", CLIPPED, "--episodes", "2", "--json"])
    assert len(json.loads(capsys.readouterr().out)["returns"]) == 2
    tuning = ["--steps", "20", "--eval-every", "0", "--reward-limit", "0.5", "--episodes", "1", "--no-video", "--json"]
    main(["finetune", "run", "--agent", CLIPPED, "--run", "tuned", *tuning])
    tuned = RunDirectory.open(tmp_path / "tuned").config
    assert (tuned["inner"], tuned["agent_config"]["reward_limit"]) == ("sac", 0.5)


def test_killed_and_resumed_it_ends_as_one_that_was_not(tmp_path, capsys):
    settings = SMALL | {"agent": (CLIPPED, "sac"), "reward_limit": LIMIT}
    entrax.train("Pendulum-v1", run=tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", run=tmp_path / "run", hook=killer(2), **settings)
    main(["resume", str(tmp_path / "run"), "--agent", CLIPPED, "--episodes", "1", "--no-video", "--json"])
    assert prints(tmp_path / "run") == prints(tmp_path / "whole")


def clipping():
    limited = gymnasium.make("Pendulum-v1")
    return gymnasium.wrappers.TransformReward(limited, lambda reward: float(np.clip(float(reward), -LIMIT, LIMIT)))


def test_it_learns_what_the_inner_agent_learns_from_clipped_rewards(tmp_path):
    outer = entrax.train("Pendulum-v1", (CLIPPED, "sac"), run=tmp_path / "a", reward_limit=LIMIT, **SMALL)
    alone = entrax.train(clipping, "sac", run=tmp_path / "b", **SMALL)
    without = entrax.train("Pendulum-v1", "sac", run=tmp_path / "c", **SMALL)
    a, b, c = (prints(run.path)["parameters"] for run in (outer, alone, without))
    assert a == b
    assert a != c


@pytest.mark.parametrize("inner", ["td3", "dqn", "ppo"])
def test_any_agent_can_be_the_inner_one(inner, tmp_path):
    env = "CartPole-v1" if inner == "dqn" else "Pendulum-v1"
    own = {"rollout_steps": 32, "envs": 1} if inner == "ppo" else {"learning_starts": 16}
    settings: dict[str, Any] = {"steps": 64, "hidden": (8, 8), "batch_size": 8, "eval_every": 0, "workers": 0}
    run = entrax.train(env, (CLIPPED, inner), run=tmp_path / "run", **settings | own)
    assert run.config["inner"] == inner
    loaded = entrax.load(run.path, agent=CLIPPED)
    assert loaded.agent is get_agent((CLIPPED, inner))


def test_an_inner_agent_of_others_is_named_again_and_never_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stranger.py").write_text("from pathlib import Path\nPath(__file__).with_name('PWNED').touch()\n")
    run = entrax.train("Pendulum-v1", (CLIPPED, "sac"), run=tmp_path / "run", **SMALL)
    config = json.loads((run.path / "config.json").read_text())
    for name in ("stranger.py", "stranger:x", str(tmp_path / "stranger.py"), ["sac"], None, 3):
        forged = tmp_path / "forged"
        shutil.rmtree(forged, ignore_errors=True)
        forged.mkdir()
        (forged / "config.json").write_text(json.dumps(config | {"inner": name}))
        with pytest.raises(entrax.EntraxError):
            entrax.load(forged, agent=CLIPPED)
        assert not (tmp_path / "PWNED").exists()


def test_what_is_wrong_with_the_names_is_said(tmp_path):
    run = entrax.train("Pendulum-v1", (CLIPPED, "sac"), run=tmp_path / "run", **SMALL)
    with pytest.raises(UsageError, match=r"inner agent .* is sac, not 'td3'"):
        entrax.load(run.path, agent=(CLIPPED, "td3"))
    with pytest.raises(UsageError, match=r"name it again \(--agent"):
        entrax.load(run.path)
    with pytest.raises(UsageError, match="wraps another agent"):
        entrax.train("Pendulum-v1", CLIPPED, run=tmp_path / "other", **SMALL)
    with pytest.raises(UsageError, match="inner sac, not td3"):
        entrax.train("Pendulum-v1", (CLIPPED, "td3"), run=run.path, resume=True, **SMALL)
