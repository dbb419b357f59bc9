"""Images on their way from an environment to replay: uint8 all along, and the same in a worker."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from entrax.environments.pool import LocalPool
from entrax.environments.source import EnvSource
from entrax.environments.spaces import flattener
from entrax.environments.workers import WorkerPool
from entrax.replay import UniformReplay
from entrax.spec import Image, Transition

DOT = EnvSource("tests.environments.dots:Dot")


def test_a_worker_sees_what_this_process_sees():
    with LocalPool(DOT, 2) as here, WorkerPool(DOT, 2, 1) as there:
        assert here.spec.image == Image(10, 10, 2, 255.0)
        first, also = here.reset_many({0: 5, 1: 6}), there.reset_many({0: 5, 1: 6})
        for i in range(2):
            assert first[i].dtype == also[i].dtype == np.uint8
            np.testing.assert_array_equal(first[i], also[i])
        actions = np.array([[0.0], [1.0]], np.float32)
        for _ in range(3):
            step, other = here.step(actions), there.step(actions)
            assert other.next_obs.dtype == np.uint8
            for ours, theirs in zip(step, other, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_replay_and_its_log_keep_bytes():
    with LocalPool(DOT, 1) as pool:
        replay, restored = (UniformReplay(pool.spec, 10, 1) for _ in range(2))
        obs = pool.reset_many({0: 1})[0]
        step = pool.step(np.zeros((1, 1), np.float32))
    replay.append(
        Transition(obs[None], np.zeros((1, 1), np.int32), step.reward, step.next_obs, step.terminated, step.truncated)
    )
    assert replay.packed_bytes == 200 + 4 + 4 + 200 + 1 + 1
    restored.unpack(replay.packed(1))
    np.testing.assert_array_equal(restored.last(1).next_obs[0], step.next_obs)
    assert restored.last(1).obs.max() == 200


def test_planes_of_booleans_become_zeros_and_ones():
    boolean: Any = np.bool_
    space = spaces.Box(0, 1, (4, 4, 2), boolean)
    flat = flattener(space)(np.ones((4, 4, 2), np.bool_))
    assert flat.dtype == np.uint8
    assert flat.sum() == 32
    with pytest.raises(ValueError, match="dtype uint8"):
        flattener(space)(np.ones((4, 4, 2), np.uint8))
