"""Types of the values that options take."""

from collections.abc import Callable, Iterable
from typing import Any

import click


class Integer(click.IntRange):
    """An integer of at least `minimum`, also written as 1e5 or 100_000."""

    name = "integer"

    def __init__(self, minimum: int | None = None):
        super().__init__(min=minimum)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(parse_integer(value))
        except ValueError:
            self.fail(f"must be an integer, got {value!r}.", param, ctx)
        if self.min is not None and number < self.min:
            self.fail(f"must be at least {self.min}, got {value}.", param, ctx)
        return number

    def _describe_range(self) -> str:
        return "" if self.min is None else f"at least {self.min}"


class Real(click.ParamType):
    """A number."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return float(value)
        except ValueError:
            self.fail(f"must be a number, got {value!r}.", param, ctx)


class Number(click.ParamType):
    """A number, or a word where the field takes one."""

    name = "number|text"

    def __init__(self, kind: type[int | float]):
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float | str:
        try:
            return self.kind(parse_integer(value) if self.kind is int else value)
        except ValueError:
            return str(value)


class Widths(click.ParamType):
    """Integers separated by commas."""

    name = "n,n,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            return tuple(int(parse_integer(part)) for part in str(value).split(","))
        except ValueError:
            self.fail(f"must be a list of integers such as 256,256, got {value!r}.", param, ctx)


def parse_integer(text: Any) -> Any:
    """Return the integer that a text such as 1e5 means; any other value unchanged."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return text
    exponent = isinstance(text, str) and not text.strip().lstrip("+-").replace("_", "").isdigit()
    return int(number) if exponent and number.is_integer() else text


Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def complete(names: Iterable[str]) -> Completion:
    """Return a function that completes one of `names` in a shell."""
    return lambda ctx, param, incomplete: [name for name in names if name.startswith(incomplete)]


def complete_environments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the ids of Gymnasium and entrax that begin with `incomplete`."""
    import gymnasium

    import entrax.environments  # noqa: F401  which registers

    return [name for name in gymnasium.registry if name.startswith(incomplete)]


AgentName = str | tuple[str, str]
"""An agent by name, or an agent that wraps another and the name of that one."""
