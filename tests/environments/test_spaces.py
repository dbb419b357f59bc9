"""Flattening against Gymnasium's own, and actions against the bounds of their space."""

import json
import re
from dataclasses import asdict
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from entrax.environments.spaces import (
    agent_integers,
    as_env_actions,
    flattener,
    random_actions,
    rescale,
    spec_of,
    to_env_action,
)
from entrax.errors import EntraxError
from entrax.spec import Continuous, Discrete, MultiDiscrete, spec_from_json

UNIT = spaces.Box(-1.0, 1.0, (1,), np.float32)
MIXED = spaces.Dict(
    {
        "z": spaces.Discrete(4, start=-1),
        "a": spaces.Tuple((spaces.Box(-1.0, 1.0, (2, 3), np.float32), spaces.MultiDiscrete([2, 3], start=[1, -1]))),
        "m": spaces.Dict({"bits": spaces.MultiBinary((2, 2)), "bytes": spaces.Box(0, 255, (5,), np.uint8)}),
    }
)


class Spaces(gymnasium.Env):
    """An environment of which only the spaces matter."""

    def __init__(self, observation: spaces.Space, action: spaces.Space = UNIT):
        self.observation_space, self.action_space = observation, action


@pytest.mark.parametrize("space", [*MIXED.spaces.values(), MIXED], ids=["tuple", "dict", "discrete", "mixed"])
def test_flattens_as_gymnasium_does(space: spaces.Space) -> None:
    space.seed(0)
    flatten = flattener(space)
    for _ in range(20):
        obs = space.sample()
        np.testing.assert_array_equal(flatten(obs), np.asarray(spaces.utils.flatten(space, obs), np.float32))


def test_the_spec_lists_the_leaves_in_the_order_of_the_vector() -> None:
    spec = spec_of(Spaces(MIXED))
    assert [leaf.name.partition("/")[2] for leaf in spec.observation] == ["a/0", "a/1", "m/bits", "m/bytes", "z"]
    assert [leaf.size for leaf in spec.observation] == [6, 5, 4, 5, 4]
    assert spec.obs_size == spaces.utils.flatdim(MIXED)
    assert all(len(leaf.low) == len(leaf.high) == leaf.size for leaf in spec.observation)


def test_flattening_copies() -> None:
    buffer = np.ones(3, np.float32)
    flat = flattener(spaces.Box(-9.0, 9.0, (3,), np.float32))(buffer)
    buffer[:] = 5.0
    np.testing.assert_array_equal(flat, np.ones(3))


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Box(0, 255, (8, 8), np.uint8), r"image.*\[height, width, channels\]"),
        (spaces.Box(0, 255, (3, 64, 64), np.uint8), "channels first.*last"),
        (spaces.Tuple((spaces.Box(0, 255, (8, 8, 3), np.uint8), UNIT)), "image among other parts"),
        (spaces.Box(0, 2**24 + 1, (2,), np.int64), "integers beyond"),
        (spaces.Text(5), "Text"),
        (spaces.Dict({"camera": spaces.Box(0, 255, (8, 8), np.uint8)}), "camera"),
    ],
)
def test_observations_that_do_not_fit_are_refused(space: spaces.Space, words: str) -> None:
    with pytest.raises(EntraxError, match=words):
        spec_of(Spaces(space))


def test_kinds_of_actions() -> None:
    box = spaces.Box(np.array([-2.0, 0.0]), np.array([1.0, 5.0]), dtype=np.float64)
    assert spec_of(Spaces(UNIT, box)).action == Continuous((2,), "float64", (-2.0, 0.0), (1.0, 5.0))
    assert spec_of(Spaces(UNIT, spaces.Discrete(3, start=7))).action == Discrete(n=3, start=7)
    assert spec_of(Spaces(UNIT, spaces.MultiDiscrete([2, 5]))).action == MultiDiscrete(nvec=(2, 5))


GRID: Any = [[2, 3], [4, 2]]  # Gymnasium's types allow one row only
START: Any = [[0, 1], [0, 0]]
INT32: Any = np.int32
CHOICES = [
    spaces.MultiBinary(3),
    spaces.MultiBinary((2, 2)),
    spaces.MultiDiscrete([2, 3], start=[-1, 5]),
    spaces.MultiDiscrete(GRID),
    spaces.MultiDiscrete(GRID, start=START, dtype=INT32),
    spaces.Discrete(3, start=-1),
]


@pytest.mark.parametrize("space", CHOICES, ids=str)
def test_every_discrete_action_reaches_the_environment_as_one_of_its_own(space: spaces.Space) -> None:
    spec = spec_of(Spaces(UNIT, space))
    assert isinstance(spec.action, Discrete | MultiDiscrete)
    drawn = random_actions(spec.action, np.random.default_rng(0), 500)
    given = [to_env_action(spec.action, flat) for flat in rescale(spec.action, drawn)]
    assert all(space.contains(action) for action in given)
    assert len({np.asarray(action).tobytes() for action in given}) == len(np.unique(drawn, axis=0))
    np.testing.assert_array_equal(as_env_actions(spec.action, drawn), given)
    flat = np.array(given).reshape(len(given), -1)
    np.testing.assert_array_equal(agent_integers(spec.action, flat), drawn)  # as a data set's are read
    assert spec_from_json(json.loads(json.dumps(asdict(spec)))) == spec


def test_a_record_of_choices_from_before_they_had_a_start_is_read() -> None:
    spec = spec_of(Spaces(UNIT, spaces.MultiDiscrete([2, 5])))
    record = json.loads(json.dumps(asdict(spec))) | {"action": {"nvec": [2, 5]}}
    assert spec_from_json(record) == spec


@pytest.mark.parametrize("bound", [-np.inf, np.inf])
def test_unbounded_actions_are_refused_with_advice_that_works(bound: float) -> None:
    env = Spaces(UNIT, spaces.Box(min(bound, 0.0), max(bound, 0.0), (2, 1), np.float32))
    with pytest.raises(EntraxError, match="finite bounds") as refused:
        spec_of(env)
    advice = re.search(r"gymnasium\.wrappers\.TransformAction\(.*\)\)", str(refused.value))
    assert advice is not None
    wrapped = eval(advice[0], {"gymnasium": gymnasium, "env": env})  # noqa: S307
    assert spec_of(wrapped).action == Continuous((2, 1), "float32", (-1.0, -1.0), (1.0, 1.0))


def test_clipped_actions_are_refused_with_advice_that_works() -> None:
    inner = gymnasium.make("Pendulum-v1")
    with pytest.raises(EntraxError, match=r"remove gymnasium\.wrappers\.ClipAction"):
        spec_of(gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.wrappers.ClipAction(inner)))
    action = spec_of(inner).action
    assert isinstance(action, Continuous)
    assert action.high == (2.0,)


def test_actions_that_are_none_of_these_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(EntraxError, match=r"Tuple.*MultiBinary.*TransformAction"):
        spec_of(Spaces(UNIT, spaces.Tuple((UNIT, UNIT))))


def test_rescale_reaches_both_bounds_exactly_and_stays_inside() -> None:
    low, high = (tuple(np.array(x, np.float32).tolist()) for x in ([-0.4, 1e-3, -7.1], [0.4, 3e5, -0.3]))
    action = Continuous((3,), "float32", low, high)
    ends = rescale(action, np.array([[-1, -1, -1], [1, 1, 1]], np.float32))
    np.testing.assert_array_equal(ends, np.array([low, high], np.float32))
    unit = np.random.default_rng(0).uniform(-1, 1, (5000, 3)).astype(np.float32)
    scaled = rescale(action, unit)
    assert (scaled >= np.array(low, np.float32)).all()
    assert (scaled <= np.array(high, np.float32)).all()
    expected = np.array(low) + (unit.astype(np.float64) + 1) / 2 * (np.array(high) - np.array(low))
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)


def test_what_step_is_given() -> None:
    box = Continuous((2, 1), "float64", (-1.0, 0.0), (1.0, 2.0))
    given = to_env_action(box, np.array([-9.0, 9.0], np.float32))
    assert given.shape == (2, 1)
    assert given.dtype == np.float64
    np.testing.assert_array_equal(given, [[-1.0], [2.0]])
    assert to_env_action(Discrete(n=3, start=7), np.array([2.0], np.float32)) == 9
    np.testing.assert_array_equal(to_env_action(MultiDiscrete((2, 5)), np.array([1.0, 4.0], np.float32)), [1, 4])


@pytest.mark.parametrize(
    ("action", "nvec"), [(Discrete(n=3, start=7), (3,)), (MultiDiscrete((2, 5, 1)), (2, 5, 1))], ids=str
)
def test_random_integers_are_uniform_from_0(action: Discrete | MultiDiscrete, nvec: tuple[int, ...]) -> None:
    drawn = random_actions(action, np.random.default_rng(0), 20_000)
    assert drawn.dtype == np.int32
    assert drawn.shape == (20_000, len(nvec))
    for column, n in zip(drawn.T, nvec, strict=True):
        counts = np.bincount(column, minlength=n)
        assert len(counts) == n
        assert np.abs(counts / 20_000 - 1 / n).max() <= 4 * np.sqrt((1 - 1 / n) / n / 20_000)
    given = rescale(action, drawn)
    assert given.dtype == np.float32
    np.testing.assert_array_equal(given, drawn)


def test_random_numbers_fill_the_unit_box() -> None:
    box = Continuous((2, 1), "float64", (-3.0, 0.0), (1.0, 2.0))
    drawn = random_actions(box, np.random.default_rng(0), 1000)
    assert drawn.dtype == np.float32
    assert drawn.shape == (1000, 2)
    assert (np.abs(drawn) <= 1).all()
    assert (drawn.max(axis=0) > 0.99).all()
    assert (drawn.min(axis=0) < -0.99).all()


def test_batches_in_the_shape_of_the_space() -> None:
    flat = np.array([[0.0, 4.0], [1.0, 2.0]], np.float32)
    box = Continuous((2, 1), "float64", (-1.0, 0.0), (1.0, 2.0))
    assert as_env_actions(box, flat).shape == (2, 2, 1)
    np.testing.assert_array_equal(as_env_actions(Discrete(n=5, start=7), flat[:, 1:]), [11, 9])
    many = as_env_actions(MultiDiscrete((2, 5)), flat)
    assert many.dtype == np.int64
    np.testing.assert_array_equal(many, flat)


def test_a_spec_has_the_smallest_time_limit_and_is_equal_without_it() -> None:
    pendulum = gymnasium.make("Pendulum-v1")
    spec, shorter = spec_of(pendulum), spec_of(gymnasium.wrappers.TimeLimit(pendulum, 50))
    assert (spec.time_limit, shorter.time_limit, spec_of(pendulum.unwrapped).time_limit) == (200, 50, None)
    assert spec == shorter
    record = json.loads(json.dumps(asdict(spec)))
    assert spec_from_json(record).time_limit == 200
    del record["time_limit"]  # as of an older version
    assert spec_from_json(record).time_limit is None
