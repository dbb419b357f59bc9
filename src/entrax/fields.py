"""What settings are made of: a field with its help text, its range and the paper's symbol.

The command line takes flags and help from the fields; the checks of a range are made here for every class of settings.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from entrax import xla as xla
from entrax.errors import UsageError

T = TypeVar("T", bound=eqx.Module)


@dataclass(frozen=True)
class Range:
    """The values that a field takes besides None: in words that follow "must be", and as a test."""

    words: str
    contains: Callable[[Any], bool]


MOST = 3.4e38
"""The largest number of 32 bits, which agents compute with."""
POSITIVE = Range("positive", lambda value: 0 < value < float("inf"))
UNIT = Range("from 0 to 1", lambda value: 0 <= value <= 1)
UNIT_ABOVE_0 = Range("above 0 and at most 1", lambda value: 0 < value <= 1)
FROM_0_BELOW_1 = Range("at least 0 and below 1", lambda value: 0 <= value < 1)
BETWEEN_0_AND_1 = Range("between 0 and 1", lambda value: 0 < value < 1)


def at_least(least: int | float, *, word: str | None = None) -> Range:
    """Numbers from `least` on; also the text `word`, if one is given."""
    words = f"at least {least}" if word is None else f"'{word}' or a number of at least {least}"
    return Range(words, lambda value: value == word if isinstance(value, str) else value >= least)


def one_of(*names: str) -> Range:
    """One of some texts."""
    return Range(f"{', '.join(names[:-1])} or {names[-1]}", lambda value: value in names)


def field(
    default: Any, help: str, range: Range | None = None, *, symbol: str = "", derived: str = "", static: bool = False
) -> Any:
    """A field of a class of settings.

    Args:
        default: its default; None for one that follows from other settings or from the environment.
        help: what it does, as a sentence.
        range: the values that it takes, besides None.
        symbol: what the paper calls it.
        derived: what None stands for, in words.
        static: of an `eqx.Module`: part of the compiled program, so that another value compiles again.
    """
    metadata = {"help": help, "range": range, "symbol": symbol, "derived": derived}
    return eqx.field(default=default, static=static, metadata=metadata)


def described(field: "dataclasses.Field[Any]", *, defaults: bool = True) -> str:
    """Help of a field, with its symbol, its default (unless `defaults` is false) and its range."""
    metadata, range = field.metadata, field.metadata.get("range")
    default = metadata.get("derived") if field.default is None else _shown(field.default)
    notes = [
        metadata.get("symbol"),
        f"default: {default}" if defaults and default else "",
        range.words if range else "",
    ]
    shown = "; ".join(filter(None, notes))
    return " ".join(filter(None, (metadata.get("help"), f"[{shown}]" if shown else "")))


def check_ranges(settings: Any) -> None:
    """Raise UsageError for the first field of a dataclass whose value is outside its range."""
    for field in dataclasses.fields(settings):
        value, range = getattr(settings, field.name), field.metadata.get("range")
        if range is None or not isinstance(value, str | Real):  # an array may be traced
            continue
        if not _within(range, value):
            raise UsageError(f"`{field.name}` must be {range.words}, got {value!r}.")


class Settings(eqx.Module):
    """Base of an agent's `Config`: ranges are checked when one is built."""

    def __check_init__(self) -> None:
        check_ranges(self)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not field.metadata.get("static") and not abs(value) <= MOST:
                raise UsageError(f"`{field.name}` must be a number that 32 bits can hold, got {value!r}.")


def as_arrays(config: T) -> T:
    """Return the configuration with numbers as 0-d float32 arrays, so that another value does not compile again."""
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, str) else jnp.asarray(leaf, jnp.float32), config)


def _within(range: Range, value: Any) -> bool:
    try:
        return bool(range.contains(value))
    except TypeError:
        return False


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
