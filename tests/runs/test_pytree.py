from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from entrax.errors import EntraxError
from entrax.runs.pytree import flatten, nested, subtree, unflatten


class Pair(NamedTuple):
    left: Any
    right: Any


dtypes = st.sampled_from(["float32", "int32", "uint32", "uint8", "bool", "float16"])
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
numpy_leaves = arrays.map(np.asarray)
jax_leaves = arrays.map(jnp.asarray)
keys = st.builds(
    lambda seed, n: jax.random.split(jax.random.key(seed), n) if n else jax.random.key(seed),
    st.integers(0, 2**31),
    st.integers(0, 2),
)
others = st.none() | st.integers() | st.text() | st.just(jnp.tanh)
trees = st.recursive(
    numpy_leaves | jax_leaves | keys | others,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet="a/~01", max_size=3), inner, max_size=3)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=6,
)


def is_key(leaf):
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def blank(leaf):
    if is_key(leaf):
        return jax.random.wrap_key_data(jnp.zeros_like(jax.random.key_data(leaf)))
    if isinstance(leaf, jax.Array):
        return jnp.zeros_like(leaf)
    return np.zeros_like(leaf) if isinstance(leaf, np.ndarray) else leaf


def assert_same(left, right):
    assert type(left) is type(right)
    if isinstance(left, jax.Array | np.ndarray):
        assert (left.dtype, left.shape) == (right.dtype, right.shape)
        left, right = (np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in (left, right))
        assert left.tobytes() == right.tobytes()
    else:
        assert left is right or left == right


@given(trees)
def test_a_tree_comes_back_byte_for_byte_through_a_blank_template(tree):
    stored = flatten(tree)
    assert all(isinstance(array, np.ndarray) for array in stored.values())
    back = unflatten(jax.tree.map(blank, tree), stored)
    assert jax.tree.structure(back) == jax.tree.structure(tree)  # type: ignore[operator]
    jax.tree.map(assert_same, back, tree)


@given(trees)
def test_every_array_has_a_name_of_its_own(tree):
    count = sum(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(tree))
    assert len(flatten(tree)) == count


@given(trees)
def test_names_and_arrays_come_back_through_a_tree_of_dictionaries(tree):
    stored, again = flatten(tree), flatten(nested(flatten(tree)))
    assert {name: array.tobytes() for name, array in again.items()} == {n: a.tobytes() for n, a in stored.items()}


def test_names_are_paths_of_attributes_indices_and_keys():
    net = eqx.nn.MLP(in_size=2, out_size=1, width_size=3, depth=1, key=jax.random.key(0))
    tree = {
        "params": {"policy": net},
        "opt_state": optax.adam(1e-3).init(eqx.filter(net, eqx.is_array)),
        "a/b": [7, 0.0],
    }
    names = set(flatten(tree))
    assert {"params/policy/layers/0/weight", "params/policy/layers/1/bias", "opt_state/0/mu/layers/0/weight"} <= names
    assert flatten(tree)["opt_state/0/count"].shape == ()
    assert flatten({"a/b": np.zeros(1), "a": {"b": np.ones(1)}}).keys() == {"a~1b", "a/b"}
    assert flatten(np.zeros(2)).keys() == {"."}


def test_restored_keys_draw_the_same_numbers():
    key = jax.random.key(7)
    back = unflatten({"key": jax.random.key(0)}, flatten({"key": key}))["key"]
    np.testing.assert_array_equal(jax.random.normal(back, (3,)), jax.random.normal(key, (3,)))


def test_a_restored_state_does_not_compile_a_step_again():
    state = {"w": jnp.ones(3), "scale": jnp.asarray(0.1), "key": jax.random.key(0), "t": jnp.int32(4)}
    step = jax.jit(lambda s: s["w"] * s["scale"])
    step(state)
    step(unflatten(state, flatten(state)))
    assert step._cache_size() == 1  # type: ignore[attr-defined]


def test_a_template_of_shapes_is_enough():
    tree = {"w": jnp.arange(3.0), "t": jnp.int32(4)}
    back = unflatten(jax.eval_shape(lambda: tree), flatten(tree))
    jax.tree.map(assert_same, back, tree)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"a": np.zeros(2, np.float32)}, "'b' is missing"),
        ({"a": np.zeros(2, np.float32), "b": np.int32(0), "c": np.zeros(1)}, "'c' is unexpected"),
        ({"a": np.zeros(3, np.float32), "b": np.zeros((), np.int32)}, r"'a' .*shape \(2,\), got \(3,\)"),
        ({"a": np.zeros(2, np.float64), "b": np.zeros((), np.int32)}, "'a' .*dtype float32, got float64"),
        ({"a": np.zeros(2, np.float32), "b": np.zeros(1, np.int32)}, r"'b' .*shape \(\), got \(1,\)"),
    ],
)
def test_the_first_difference_is_named(stored, words):
    with pytest.raises(EntraxError, match=words):
        unflatten({"a": jnp.zeros(2), "b": jnp.int32(0)}, {name: np.asarray(array) for name, array in stored.items()})


def test_a_key_of_another_kind_is_refused():
    with pytest.raises(EntraxError, match=r"'key' .*shape \(2,\), got \(4,\)"):
        unflatten({"key": jax.random.key(0)}, flatten({"key": jax.random.key(0, impl="rbg")}))


def test_a_tree_that_is_one_array_is_found_in_a_larger_one():
    arrays = flatten({"state": np.arange(3.0), "policy": {"a": np.ones(2)}})
    assert (unflatten(np.zeros(3), subtree("state", arrays)) == np.arange(3.0)).all()
    assert [*subtree("policy", arrays)] == ["a"]
