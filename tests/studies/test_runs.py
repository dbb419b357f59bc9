"""Runs of studies are trained once, whatever their agent derives from its kind of data, and not with other defaults."""

import pytest

from entrax.errors import EntraxError
from entrax.studies import runs

SMALL = {"steps": 256, "envs": 2, "workers": 0, "eval_every": 0, "hidden": (8,)}


@pytest.mark.parametrize(
    ("agent", "settings"),
    [("reinforce", {}), ("dqn", {"learning_starts": 16, "batch_size": 4})],
)
def test_a_finished_run_is_loaded(agent, settings, tmp_path, monkeypatch):
    first = runs.trained_run("CartPole-v1", agent, SMALL | settings, 0, tmp_path)
    monkeypatch.setattr(runs, "train", lambda _: pytest.fail("trained again"))
    assert runs.trained_run("CartPole-v1", agent, SMALL | settings, 0, tmp_path).path == first.path
    with pytest.raises(EntraxError, match="discount"):
        runs.check_defaults(first, agent, SMALL | settings | {"discount": 0.5})
