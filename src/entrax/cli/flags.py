"""Flags made from the fields of settings, which the verbs that train share."""

import ast
import dataclasses
import functools
import inspect
import json
import re
import shlex
import types
from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

import click

import entrax
from entrax.agents.base import get_agent
from entrax.agents.registry import REGISTRY
from entrax.cli.values import AgentName, Number, Whole, Widths
from entrax.fields import described
from entrax.training.options import TrainingOptions


def field_options(settings: type, *, defaults: bool = True, note: str = "") -> list[click.Parameter]:
    """A flag for every field of a dataclass; a flag that is not given is None, so that presets can tell.

    Without `defaults` the help does not name them, for a verb that takes them from elsewhere. `note` ends every help.
    """
    hints = get_type_hints(settings)
    options: list[click.Parameter] = []
    for field in dataclasses.fields(settings):
        flag = f"--{field.name.replace('_', '-')}"
        kind, text = _kind(hints[field.name]), described(field, defaults=defaults) + note
        names = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
        options.append(click.Option(names, type=None if kind is bool else kind, default=None, help=text))
    return options


def _kind(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        inside = [part for part in get_args(hint) if part is not types.NoneType]
        return Number(inside[0]) if len(inside) > 1 else _kind(inside[0])
    if get_origin(hint) is tuple:
        return Widths()
    return Whole() if hint is int else hint


def agent_named(arguments: Sequence[str]) -> AgentName | None:
    """The value of --agent, looked up before the parser is built, since the parser's flags depend on it."""
    agent, inner = (_value(arguments, flag) for flag in ("--agent", "--inner"))
    return agent if agent is None or inner is None else (agent, inner)


def _value(arguments: Sequence[str], flag: str) -> str | None:
    for place, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            return argument.removeprefix(f"{flag}=")
        if argument == flag and place + 1 < len(arguments):
            return arguments[place + 1]
    return None


def agent_options(agent: AgentName | None, *, defaults: bool = True) -> list[click.Parameter]:
    """The flags of one agent, or of all of them while it is not known which it will be."""
    if agent is not None:
        return field_options(get_agent(agent).Config, defaults=defaults)
    configs = {name: get_agent(name).Config for name in REGISTRY}
    flags: dict[str | None, click.Parameter] = {}
    for name, config in configs.items():
        for flag in field_options(config, defaults=False, note=f" ({name})"):
            flags.setdefault(flag.name, flag)
    return list(flags.values())


PARAMETER = re.compile(r"`(?P<name>[a-z]+(?:_[a-z]+)*)(?:=(?P<value>[^`]+))?`")


def with_flags(message: str) -> str:
    """The message of a Python error as the command line words it: `learning_starts` becomes --learning-starts.

    Parameters stand in backticks, alone or with a value such as `normalise_obs=True`.
    """
    return PARAMETER.sub(lambda found: _flag(found["name"], found["value"]) or found[0], message)


def _flag(name: str, value: str | None) -> str | None:
    """A parameter, and its value as Python writes it, as a flag; None if there is no parameter of that name."""
    if name not in _parameters():
        return None
    flag = f"--{name.removesuffix('s') if name == 'env_args' else name}".replace("_", "-")
    if value is None:
        return flag
    try:
        given = ast.literal_eval(value)
    except (SyntaxError, ValueError):
        given = value
    if isinstance(given, bool):
        return flag if given else f"--no-{flag[2:]}"
    if isinstance(given, dict):
        return " ".join(f"{flag} {shlex.quote(f'{key}={_json(part)}')}" for key, part in given.items())
    return f"{flag} {shlex.quote(','.join(map(str, given)) if isinstance(given, tuple) else str(given))}"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@functools.cache
def _parameters() -> set[str]:
    """Every parameter of the functions of the API, and every setting."""
    functions = (entrax.train, entrax.resume, entrax.finetune, entrax.compose, entrax.load)
    elsewhere = {"out", "score", "trust_table", "inner"}  # of studies, comparisons, planning, and wrapping agents
    classes = (TrainingOptions, *(get_agent(name).Config for name in REGISTRY))
    return (
        elsewhere
        | {name for function in functions for name in inspect.signature(function).parameters}
        | {field.name for settings in classes for field in dataclasses.fields(settings)}
    )
