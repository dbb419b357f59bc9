"""The end of a run: mode, sampled and best policy, successes, and advice where they differ."""

import json
from pathlib import Path

import numpy as np
import pytest

from entrax.cli import main
from entrax.cli.finish import better, lines
from entrax.evaluation.episodes import EvaluationResult


def evaluation(*returns, policy="mode", success_rate=None):
    return EvaluationResult(
        mean=float(np.mean(returns)),
        std=float(np.std(returns)),
        returns=tuple(map(float, returns)),
        lengths=(1,) * len(returns),
        policy=policy,
        success_rate=success_rate,
    )


LOW, HIGH, SAME = (1, 2, 3, 4), (11, 12, 14, 13), (2, 1, 4, 3)


@pytest.mark.parametrize(
    ("results", "words", "absent"),
    [
        (
            {"mode": LOW, "sampled": HIGH},
            ["2.5 ± 1.1 over 4", "12.5 ± 1.1 of sampled", "Sampled actions do"],
            [],
        ),
        ({"mode": HIGH, "sampled": LOW}, ["The mode does better than sampled"], ["than the last"]),
        ({"mode": LOW, "sampled": SAME}, [], ["advice"]),
        ({"mode": LOW, "sampled": SAME, "best": HIGH}, ["than the last: entrax evaluate x"], ["Sampled actions do"]),
        ({"mode": HIGH, "sampled": HIGH, "best": LOW}, ["best checkpoint's mode"], ["advice"]),
    ],
)
def test_advice_follows_the_difference(results, words, absent):
    text = "\n".join(lines({name: evaluation(*returns) for name, returns in results.items()}, "entrax evaluate x"))
    assert all(word in text for word in words)
    assert not any(word in text for word in absent)


def test_one_episode_decides_nothing():
    assert not better(evaluation(9), evaluation(1))
    assert better(evaluation(9, 9), evaluation(1, 1))


def test_successes_are_shown_if_the_environment_reports_them():
    rated = {"mode": evaluation(1, 2, success_rate=0.5), "sampled": evaluation(1, 2, success_rate=0.25)}
    text = "\n".join(lines(rated, "entrax evaluate x"))
    assert "mode, 50% successful" in text
    assert "actions, 25% successful" in text
    assert "successful" not in "\n".join(lines({"mode": evaluation(1), "sampled": evaluation(1)}, "entrax evaluate x"))


REACHING = """
import gymnasium
import numpy as np


class Reaching(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.easy = 0, bool(self.np_random.integers(2))
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        info = {"is_success": self.easy} if self.t == 3 else {"is_success": True}
        return np.zeros(1, np.float32), float(self.easy), False, self.t == 3, info
"""


def test_a_run_ends_with_all_of_it_as_json_too(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "reaching.py").write_text(REACHING)
    sizes = ["--steps", "6e1", "--learning-starts", "20", "--hidden", "4", "--batch-size", "4", "--workers", "0"]
    arguments = ["--agent", "sac", *sizes, "--eval-every", "30", "--episodes", "6", "--no-video", "--run", "run"]
    main(["train", "reaching:Reaching", *arguments, "--json"])
    captured = capfd.readouterr()
    record = json.loads(captured.out)
    for name in ("mode", "sampled", "best"):
        result = record["evaluations"][name]
        assert result["success_rate"] == np.mean(np.array(result["returns"]) > 0)
    assert 0 < record["evaluations"]["mode"]["success_rate"] < 1
    assert Path(record["report"]).is_file()
    assert record["video"] is None
    assert "successful" in captured.err
    assert "evaluated at step" in captured.err
    row = next(
        row for row in map(json.loads, Path("run/metrics.jsonl").read_text().splitlines()) if "evaluation" in row
    )
    assert "success_rate" in row["evaluation"]
    main(["evaluate", "run", "--env", "reaching:Reaching", "--episodes", "6", "--workers", "1", "--json"])
    assert json.loads(capfd.readouterr().out)["success_rate"] == record["evaluations"]["mode"]["success_rate"]
    main(["resume", "run", "--env", "reaching:Reaching", "--json"])
    again = json.loads(capfd.readouterr().out)
    assert again["evaluations"] == record["evaluations"]
