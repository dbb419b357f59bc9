"""Uniform replay against a plain list that forgets its oldest entries."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrax.errors import EntraxError
from entrax.replay import Uniform, UniformReplay
from entrax.spec import Continuous, Leaf, Spec, Transition

OBS, ACTION = 3, 2
LEAF = Leaf("obs", (OBS,), "float64", OBS, (-np.inf,) * OBS, (np.inf,) * OBS)
SPEC = Spec(observation=(LEAF,), action=Continuous((ACTION,), "float32", (-1.0,) * ACTION, (1.0,) * ACTION))


def step(t, envs):
    """Step t of `envs` environments: every number in it tells time, environment and field."""
    mark = 100.0 * t + np.arange(envs, dtype=np.float32)
    return Transition(
        obs=np.repeat(mark[:, None], OBS, axis=1) + 0.1,
        action=np.repeat(mark[:, None], ACTION, axis=1) + 0.2,
        reward=mark,
        next_obs=np.repeat(mark[:, None], OBS, axis=1) + 0.4,
        terminated=(t + np.arange(envs)) % 3 == 0,
        truncated=(t + np.arange(envs)) % 5 == 0,
    )


def filled(capacity, envs, appends):
    replay = UniformReplay(SPEC, capacity, envs)
    for t in range(appends):
        replay.append(step(t, envs))
    return replay


SIZES: dict[str, Any] = {"capacity": st.integers(1, 40), "envs": st.integers(1, 5), "appends": st.integers(1, 60)}


@given(**SIZES)
def test_what_can_be_drawn_is_the_newest_that_fit(capacity, envs, appends):
    replay = filled(capacity, envs, appends)
    times = max(1, capacity // envs)
    model = [step(t, envs) for t in range(appends)][-times:]
    assert len(replay) == len(model) * envs
    drawn = replay.sample(np.random.default_rng(0), 2, 400)
    stored = {float(row.reward[i]): [field[i] for field in row.fields().values()] for row in model for i in range(envs)}
    flat = [np.asarray(field).reshape(800, *np.shape(field)[2:]) for field in drawn.fields().values()]
    assert set(np.unique(drawn.reward)) <= stored.keys()
    for i in range(0, 800, 37):
        for field, expected in zip(flat, stored[float(drawn.reward.flat[i])], strict=True):
            np.testing.assert_array_equal(field[i], expected)


@given(**SIZES, share=st.floats(0.0, 1.0))
def test_last_is_the_end_of_the_list(capacity, envs, appends, share):
    replay = filled(capacity, envs, appends)
    times = int(share * min(appends, max(1, capacity // envs)))
    model = [step(t, envs) for t in range(appends - times, appends)]
    last = replay.last(times)
    assert last.obs.shape == (times, envs, OBS)
    for name, field in last.fields().items():
        assert field.shape[:2] == (times, envs)
        for t in range(times):
            np.testing.assert_array_equal(field[t], getattr(model[t], name))


def test_last_is_a_copy():
    replay = filled(10, 2, 5)
    replay.last(1).obs[:] = -1.0
    assert replay.last(1).obs.min() > 0


@pytest.mark.parametrize(("capacity", "appends", "times"), [(10, 2, 3), (4, 9, 5), (4, 0, 1)])
def test_more_than_is_stored_cannot_be_had(capacity, appends, times):
    with pytest.raises(ValueError, match="stored"):
        filled(capacity, 1, appends).last(times)


def test_nothing_can_be_drawn_from_nothing():
    with pytest.raises(ValueError, match="empty"):
        filled(10, 1, 0).sample(np.random.default_rng(0), 1, 1)


def test_draws_are_uniform_and_follow_the_generator():
    replay = filled(24, 2, 20)
    drawn = replay.sample(np.random.default_rng(1), 10, 2400).reward
    counts = np.unique(drawn, return_counts=True)[1]
    assert len(counts) == 24
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)
    np.testing.assert_array_equal(drawn, replay.sample(np.random.default_rng(1), 10, 2400).reward)


def test_appending_copies_the_callers_arrays():
    replay, row = UniformReplay(SPEC, 4, 1), step(1, 1)
    replay.append(row)
    row.obs[:] = np.nan
    assert np.isfinite(replay.last(1).obs).all()


def test_fields_are_float32_and_bool_whatever_the_environments_dtype():
    drawn = filled(4, 1, 2).sample(np.random.default_rng(0), 3, 5)
    assert [field.dtype for field in drawn.fields().values()] == [np.float32] * 4 + [np.bool_] * 2
    assert [field.shape for field in drawn.fields().values()] == [
        (3, 5, OBS),
        (3, 5, ACTION),
        (3, 5),
        (3, 5, OBS),
        (3, 5),
        (3, 5),
    ]


@pytest.mark.parametrize("envs", [1, 7])
def test_memory_is_the_bytes_of_the_transitions(envs):
    replay = UniformReplay(SPEC, 1000, envs)
    assert sum(rows.nbytes for rows in replay.rows.fields().values()) <= 1000 * (4 * (2 * OBS + ACTION + 1) + 2)


def test_impossible_sizes_are_refused():
    with pytest.raises(EntraxError, match="`batch_size` must be at least 1"):
        Uniform(batch_size=0, capacity=10)
    with pytest.raises(EntraxError, match=r"`replay_size` .*20.* got 10"):
        Uniform(batch_size=20, capacity=10)
