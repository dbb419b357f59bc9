"""What flags take, as click's parameter types, and the flags that name an agent again."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from entrax.errors import UsageError


class Whole(click.IntRange):
    """An integer of at least `least`, also written as 1e5 or 100_000."""

    name = "integer"

    def __init__(self, least: int | None = None):
        super().__init__(min=least)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(whole(value), param, ctx)

    def _describe_range(self) -> str:
        return "" if self.min is None else f"at least {self.min}"


class Number(click.ParamType):
    """A number, or a word where the field takes one."""

    name = "number|text"

    def __init__(self, kind: type[int | float]):
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float | str:
        try:
            return self.kind(whole(value) if self.kind is int else value)
        except ValueError:
            return str(value)


class Widths(click.ParamType):
    """Integers separated by commas."""

    name = "n,n,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            return tuple(int(whole(part)) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of integers such as 256,256.", param, ctx)


def whole(text: Any) -> Any:
    """The integer that a text such as 1e5 stands for; the text itself if it stands for none."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return text
    exact = isinstance(text, str) and number.is_integer() and not text.strip().lstrip("+-").replace("_", "").isdigit()
    return int(number) if exact else text


Completion = Callable[[click.Context, click.Parameter, str], list[str]]


def complete(names: Iterable[str]) -> Completion:
    """How a shell completes one of `names`."""
    return lambda ctx, param, incomplete: [name for name in names if name.startswith(incomplete)]


def complete_environments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The ids that Gymnasium and entrax have."""
    import gymnasium

    import entrax.environments  # noqa: F401  which registers

    return [name for name in gymnasium.registry if name.startswith(incomplete)]


AgentName = str | tuple[str, str]
"""An agent by name, or one that wraps another and that one."""
_INNER = f"{__name__}.inner"


def _keep_inner(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    ctx.meta[_INNER] = value


def _with_inner(ctx: click.Context, param: click.Parameter, value: str | None) -> AgentName | None:
    inner = ctx.meta.get(_INNER)
    if inner is None:
        return value
    if value is None:
        raise UsageError("--inner requires --agent: an agent that wraps another.")
    return value, inner


INNER: dict[str, Any] = {
    "is_eager": True,  # before --agent, whose value becomes a pair with it
    "expose_value": False,
    "callback": _keep_inner,
    "help": "The agent inside one that wraps another: a name of `entrax agents`, module:name or a file.",
}
AGENT_AGAIN: dict[str, Any] = {
    "callback": _with_inner,
    "help": "The agent again, when it is a third party's: module:name or a file.",
}
"""What `click.option` takes for --inner and for --agent of a verb on a run."""


def agent_again(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --agent and --inner to a verb on a run; its parameter `agent` is an `AgentName`, or None."""
    return click.option("--agent", **AGENT_AGAIN)(click.option("--inner", **INNER)(command))
