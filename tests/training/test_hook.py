"""A hook stops a run by anything true."""

from typing import Any

import numpy as np
import pytest

import entrax

SMALL: dict[str, Any] = {
    "steps": 64,
    "log_every": 16,
    "learning_starts": 32,
    "hidden": (8, 8),
    "batch_size": 8,
    "eval_every": 0,
}


@pytest.mark.parametrize(("answer", "stops"), [(1, True), ("enough", True), (np.True_, True), (0, False), ([], False)])
def test_a_run_stops_at_a_true_answer(answer, stops, tmp_path):
    run = entrax.train("Pendulum-v1", "sac", run=tmp_path / "run", hook=lambda row: answer, workers=0, **SMALL)
    assert ("stopped" in [event["kind"] for event in run.directory.events()]) == stops
    assert run.metrics()[-1]["step"] == (16 if stops else 64)
