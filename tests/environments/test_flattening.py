"""Any space that entrax takes is flattened as Gymnasium does it, one observation or a batch, from a record alone."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from gymnasium import Env, spaces
from hypothesis import given
from hypothesis import strategies as st

from entrax.environments.observations import Flattener
from entrax.environments.spaces import flattener, leaves_of, spec_of
from entrax.runs.records import to_json
from entrax.spec import Leaf, spec_from_json

SHAPES = st.lists(st.integers(1, 3), max_size=3).map(tuple)
LEAVES = st.one_of(
    st.builds(spaces.Discrete, st.integers(1, 6), start=st.integers(-3, 3)),
    st.builds(spaces.MultiDiscrete, st.lists(st.integers(1, 4), min_size=1, max_size=3)),
    st.builds(spaces.MultiBinary, st.integers(1, 5)),
    st.builds(lambda shape, dtype: spaces.Box(-3, 3, shape, dtype), SHAPES, st.sampled_from([np.float32, np.float64])),
    st.builds(lambda n: spaces.Box(-9, 9, (n,), np.int64), st.integers(1, 4)),
)
SPACES = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(spaces.Tuple, st.lists(parts, min_size=1, max_size=3)),
        st.builds(spaces.Dict, st.dictionaries(st.text("abc", min_size=1), parts, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)


@given(SPACES, st.integers(0, 1000))
def test_any_space_is_flattened_as_gymnasium_does(space, seed):
    space.seed(seed)
    obs = space.sample()
    flat = flattener(space)(obs)
    np.testing.assert_array_equal(flat, np.asarray(spaces.utils.flatten(space, obs), np.float32))
    assert flat.dtype == np.float32


def recorded(space: spaces.Space) -> Flattener:
    """A flattener that has seen nothing but config.json."""
    env: Env = Env()
    env.observation_space, env.action_space = space, spaces.Discrete(2)
    return Flattener(spec_from_json(json.loads(json.dumps(to_json(asdict(spec_of(env)))))).observation)


def stacked(observations):
    """As a vector environment returns them."""
    first = observations[0]
    if isinstance(first, dict):
        return {name: stacked([obs[name] for obs in observations]) for name in first}
    if isinstance(first, tuple):
        return tuple(stacked([obs[place] for obs in observations]) for place in range(len(first)))
    return np.stack([np.asarray(obs) for obs in observations])


@given(SPACES, st.integers(0, 1000), st.integers(1, 4))
def test_one_observation_and_a_batch_of_any_space(space, seed, count):
    space.seed(seed)
    observations = [space.sample() for _ in range(count)]
    flat, record = np.stack([flattener(space)(obs) for obs in observations]), recorded(space)
    rows, single = record.rows(observations[0])
    np.testing.assert_array_equal(rows, flat[:1])
    assert single
    for batch in (stacked(observations), observations):
        rows, single = record.rows(batch)
        np.testing.assert_array_equal(rows, flat)
        assert not single


BOX, ROW = spaces.Box(-9, 9, (3,)), spaces.Box(-9, 9, (1, 3))
DISCRETE, PAIR = spaces.Discrete(3, start=1), spaces.Tuple((spaces.Discrete(2), BOX))


@pytest.mark.parametrize(
    ("space", "value", "single"),
    [
        (BOX, np.ones((1, 3)), False),
        (BOX, [1, 2, 3], True),
        (BOX, (1.0, 2.0, 3.0), True),
        (BOX, np.zeros((0, 3)), False),
        (ROW, np.ones((1, 3)), True),
        (ROW, np.ones((1, 1, 3)), False),
        (ROW, np.ones(3), True),
        (spaces.Box(-9, 9, (2, 3)), np.ones((2, 3)), True),
        (spaces.Box(-9, 9, (2, 3)), np.ones((5, 6)), False),
        (spaces.Box(-9, 9, ()), 2.0, True),
        (spaces.Box(-9, 9, ()), [2.0, 3.0], False),
        (DISCRETE, 1, True),
        (DISCRETE, np.int64(3), True),
        (DISCRETE, np.array([1, 2, 3]), False),
        (DISCRETE, np.eye(3), False),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 2]), True),
        (spaces.MultiDiscrete([2, 3]), np.zeros((4, 5)), False),
        (PAIR, np.zeros((4, 5)), False),
        (PAIR, np.zeros(5), True),
    ],
)
def test_the_shape_says_whether_it_is_one(space, value, single):
    assert recorded(space).rows(value)[1] is single


@pytest.mark.parametrize(
    ("space", "value", "words"),
    [
        (ROW, np.ones((2, 3)), r"shape \(2, 3\) where its space has \(1, 3\)"),
        (BOX, np.ones(4), r"shape \(4,\)"),
        (BOX, np.ones((2, 2, 3)), r"shape \(2, 2, 3\)"),
        (BOX, [1.0, np.nan, 0.0], "NaN"),
        (BOX, [[1.0], [1.0, 2.0]], "no array of numbers"),
        (BOX, {"a": 1}, "numbers"),
        (DISCRETE, 0, "outside its discrete space"),
        (DISCRETE, np.array([1, 4]), "outside its discrete space"),
        (DISCRETE, np.zeros(3), "integers of shape"),
        (PAIR, (np.array([0, 1]), np.ones(3)), "neither all one"),
        (PAIR, (np.array([0, 1]), np.ones((3, 3))), "neither all one"),
        (PAIR, [0, np.ones(3)], "tuple of 2"),
        (PAIR, [], "empty list"),
        (spaces.Dict(a=BOX), {"b": np.ones(3)}, "entries a"),
    ],
)
def test_what_fits_neither_one_nor_a_batch_is_named(space, value, words):
    with pytest.raises(ValueError, match=f"^returned .*{words}"):
        recorded(space).rows(value)


def test_records_of_older_versions_compare_as_equal():
    new = leaves_of(DISCRETE)
    old = tuple(Leaf(leaf.name, leaf.shape, leaf.dtype, leaf.size, leaf.low, leaf.high) for leaf in new)
    assert old == new
    assert not old[0].is_plain
    assert leaves_of(BOX)[0].is_plain
