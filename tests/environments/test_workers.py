"""Worker processes: killed from outside, hanging in a reset, and required where they are not supported."""

import os
import signal

import numpy as np
import pytest

from entrax.environments.faults import EnvironmentFault
from entrax.environments.make import make_pool
from entrax.environments.source import EnvSource
from entrax.errors import EntraxError

STILL = np.zeros((2, 2), np.float32)


def toy(**kwargs: object) -> EnvSource:
    return EnvSource(id="toys:Toy", kwargs=dict(kwargs))


def test_a_worker_killed_from_outside_is_one_sentence_and_can_be_replaced(tmp_path) -> None:
    note = tmp_path / "note"
    with make_pool(toy(fault="note", at=1, note=str(note)), 2, workers=1) as pool:
        first = pool.reset_many({0: 5, 1: 6})
        pool.step(STILL)
        os.kill(int(note.read_text().split()[0]), signal.SIGKILL)
        with pytest.raises(EnvironmentFault) as caught:
            pool.step(STILL)
        assert str(caught.value) == (
            "Environment 0 lost its worker process (exit status -9) at step 2 of the episode with seed 5."
        )
        pool.restart(0)
        again = pool.reset_many({0: 5, 1: 6})
    np.testing.assert_array_equal([again[0], again[1]], [first[0], first[1]])


def test_an_environment_that_hangs_in_its_reset_is_named_and_killed(tmp_path) -> None:
    with make_pool(toy(fault="hang", at=0), 1, workers=1, step_timeout=0.3) as pool:
        with pytest.raises(EnvironmentFault) as caught:
            pool.reset_many({0: 5})
        assert str(caught.value) == "Environment 0 did not answer within 0.3 s when reset with seed 5."


def test_a_timeout_needs_a_process_that_can_be_stopped() -> None:
    with pytest.raises(EntraxError, match="`step_timeout`"):
        make_pool(toy(), 1, workers=0, step_timeout=1.0)


def test_a_system_without_inherited_descriptors_is_named(monkeypatch) -> None:
    monkeypatch.setattr("entrax.errors.POSIX", False)
    with pytest.raises(EntraxError, match=r"worker.*Linux or macOS"):
        make_pool(toy(), 2, workers=1)
