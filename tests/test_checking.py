"""The run-time checks of tests: whatever an annotation says is refused when it does not hold, arrays' axes included."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import Array, Float, PyTree, TypeCheckError

from entrax.fields import field
from entrax.soft import soft_max
from tests.checking import has_arrays

checked: Callable[[Any], Any] = jaxtyping.jaxtyped(typechecker=beartype)  # as the import hook decorates
Pair = tuple[Float[Array, "row"], Float[Array, "row"]]


def _total(rate: float, names: list[str]) -> int:
    return len(names) if rate else "none"  # type: ignore[return-value]


def _stack(x: Float[Array, "n"], y: Float[Array, "n"], size: int) -> Float[Array, "2 n"]:
    return jnp.zeros((size, *x.shape)) + y


def _pairs(x: Float[Array, "n"]) -> Iterator[Float[Array, "n"]]:
    yield x


@dataclasses.dataclass
class _Batch:
    size: int
    values: Float[Array, "row"]
    weights: Float[Array, "row"]


class TestPlainFunctions:
    def test_right_arguments_pass(self):
        assert checked(_total)(0.5, ["a", "b"]) == 2

    @pytest.mark.parametrize("arguments", [(1, ["a"]), (0.5, "a"), (0.5, [1]), (0.0, [])], ids=str)
    def test_a_wrong_argument_or_return_is_refused(self, arguments):
        with pytest.raises(TypeCheckError):
            checked(_total)(*arguments)


class TestArrays:
    def test_right_axes_pass(self):
        assert checked(_stack)(jnp.zeros(3), jnp.ones(3), 2).shape == (2, 3)

    @pytest.mark.parametrize(
        "arguments",
        [(jnp.zeros(3), jnp.zeros(4), 2), (jnp.zeros(3), jnp.zeros(3), 1), (np.zeros(3), jnp.zeros(3), 2)],
        ids=["axes of two arguments", "axes of the result", "NumPy for JAX"],
    )
    def test_wrong_axes_are_refused(self, arguments):
        with pytest.raises(TypeCheckError):
            checked(_stack)(*arguments)

    def test_each_call_has_axes_of_its_own(self):
        stack = checked(_stack)
        assert [stack(jnp.zeros(n), jnp.zeros(n), 2).shape for n in (2, 3)] == [(2, 2), (2, 3)]

    def test_an_iterator_checks_its_arguments(self):
        with pytest.raises(TypeCheckError):
            checked(_pairs)(jnp.zeros((3, 3)))

    def test_a_dataclass_relates_its_fields(self):
        batch = checked(_Batch)
        assert batch(1, jnp.zeros(2), jnp.zeros(2)).size == 1
        with pytest.raises(TypeCheckError):
            batch(1, jnp.zeros(2), jnp.zeros(3))


def test_the_package_is_checked():
    with pytest.raises(TypeCheckError):
        soft_max(jnp.zeros(3), 1.0, prior=jnp.ones(2))
    with pytest.raises(TypeCheckError):
        field(1, help=2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Float[Array, "n"] | None, True),
        (dict[str, Pair], True),
        (Callable[[Float[Array, "n"]], int], True),
        (PyTree, True),
        (Callable[..., int], False),
        (list[np.ndarray], False),
    ],
    ids=str,
)
def test_arrays_are_found_at_any_depth(annotation, expected):
    assert has_arrays(annotation) == expected
