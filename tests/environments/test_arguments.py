"""Arguments of an environment are in every process, and after a run's record, what the user gave."""

import json
import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from entrax.environments.arguments import NotRecordable, decode, encode
from entrax.environments.recorded import flags_again, recorded_source
from entrax.environments.source import EnvSource, as_source, parse_env_args
from entrax.errors import EntraxError

PLAIN_VALUES: list[Any] = [
    (0.7, math.inf), [-math.inf, -0.0], {1: "a", "b": (2,)}, {1.5, 2.5}, frozenset({"x"}), np.float32(0.1),
    np.int8(3), np.bool_(True), np.str_("ab"), np.dtype(">f4"), np.arange(6, dtype=">i4").reshape(2, 3),
    np.zeros((2, 3), order="F"),
]  # fmt: skip
VALUES: list[Any] = [
    *PLAIN_VALUES, {"$tuple": 1}, b"\x00", Path("a/b"), np.float32, np.array([np.nan, np.inf], np.float16), np.array(3),
    np.zeros((0, 3)), np.array([["ab", "c"]]), 10**400, math.hypot,
]  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equal in value and type, at every depth; NaN is equal to NaN."""
    if type(one) is not type(other):
        return False
    match one:
        case np.ndarray() | np.generic():
            one_layout, other_layout = ((each.dtype, each.shape, each.flags.f_contiguous) for each in (one, other))
            return one_layout == other_layout and repr(one.ravel().tolist()) == repr(other.ravel().tolist())
        case dict():
            pairs = zip(one.items(), other.items(), strict=True)
            return len(one) == len(other) and all(same(a, b) for a, b in pairs)
        case list() | tuple():
            return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
        case float():
            return repr(one) == repr(other)
    return one == other


def carried(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value), allow_nan=False)))


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_json_would_change_is_carried_exactly(value):
    assert same(carried(value), value)


TEXTS = st.text(st.characters(codec="utf-8"))
NUMBERS = st.integers() | st.floats() | st.floats(width=32).map(np.float32) | st.integers(-99, 99).map(np.int8)
DTYPES: list[Any] = [np.float64, np.int16, np.bool_]
PROPER = st.characters(codec="utf-8", exclude_characters="\0")  # NumPy drops a NUL at the end of a text
SHAPES = array_shapes(min_dims=0, min_side=0)
ARRAYS: st.SearchStrategy[Any] = arrays(st.sampled_from(DTYPES), SHAPES)
ARRAYS |= arrays("<U3", SHAPES, elements=st.text(PROPER, max_size=3))
PLAIN = st.none() | st.booleans() | NUMBERS | ARRAYS | TEXTS | st.binary() | TEXTS.map(Path)
KEYS = st.integers() | st.floats() | st.none() | TEXTS | st.sampled_from(["a", "$tuple", "$"])
ANY = st.recursive(PLAIN, lambda part: st.lists(part) | st.tuples(part, part) | st.dictionaries(KEYS, part))


@given(ANY)
def test_any_nesting_is_carried_exactly(value):
    assert same(carried(value), value)


@given(ANY)
def test_the_flags_that_are_printed_give_the_same_argument_again(value):
    source = as_source("math:hypot", {"x": value})
    record = json.loads(json.dumps(source.to_json()))
    flags = flags_again(record)
    assert flags is not None
    assert "\x1b" not in shlex.join(flags)
    words = shlex.split(shlex.join(flags))
    given_again = dict(zip(words[::2], words[1::2], strict=True))
    pairs = [given_again["--env-arg"]] if "--env-arg" in given_again else []
    again = recorded_source(record, given_again["--env"], parse_env_args(pairs))
    assert again.id == source.id
    assert same(again.kwargs, source.kwargs)


class Kind(dict):
    """Not a dict to an environment that asks for its type."""


@pytest.mark.parametrize("value", [lambda: 1, object(), Kind(), [Kind()], np.array([None]), "\ud800", np.longdouble(1)])
def test_what_cannot_be_recorded_stays_here_and_is_named_when_the_record_is_needed(value):
    with pytest.raises(NotRecordable):
        encode(value)
    source = as_source("Pendulum-v1", {"g": 9.0, "strange": value})
    assert not source.importable
    assert source.kwargs["strange"] is value
    record = json.loads(json.dumps(source.to_json(), allow_nan=False))
    with pytest.raises(EntraxError, match=r"strange.*env_args"):
        recorded_source(record)
    assert recorded_source(record, env_args={"strange": 1}).kwargs == {"g": 9.0, "strange": 1}


@pytest.mark.parametrize("value", PLAIN_VALUES, ids=repr)
def test_the_record_and_a_worker_have_what_was_given(value):
    source = as_source("Pendulum-v1", {"x": value})
    sent, record = (json.loads(json.dumps(made, allow_nan=False)) for made in (source.to_process(), source.to_json()))
    assert same(EnvSource.from_process(sent).kwargs["x"], value)
    assert same(recorded_source(record).kwargs["x"], value)


def test_infinity_on_the_command_line():
    source = as_source("Walker2d-v5", parse_env_args(["healthy_z_range=[0.7,Infinity]"]))
    assert recorded_source(json.loads(json.dumps(source.to_json(), allow_nan=False))) == source
    source.make().close()


def test_a_function_in_a_record_is_not_imported_until_it_is_given_again():
    record = as_source("Pendulum-v1", {"f": math.hypot}).to_json()
    with pytest.raises(EntraxError, match="--env-arg") as caught:
        recorded_source(record)
    assert "math:hypot" in str(caught.value)
    assert parse_env_args(['f={"$name": "math:hypot"}']) == {"f": math.hypot}


def test_each_environment_has_arguments_of_its_own():
    given_list = [1]
    source = as_source("toys:Toy", {"note": given_list})
    given_list.append(2)
    first, second = source.make(), source.make()
    first.get_wrapper_attr("note").append(3)
    assert second.get_wrapper_attr("note") == [1]
