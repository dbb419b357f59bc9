"""Flags made from the fields of an agent's Config and of the training options."""

import ast
import dataclasses
import functools
import inspect
import json
import re
import shlex
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

import click

import entrax
from entrax.agents.lookup import get_agent
from entrax.agents.registry import REGISTRY
from entrax.cli.values import AgentName, Integer, Number, Real, Widths
from entrax.fields import described
from entrax.training.options import TrainingOptions


def field_options(
    settings: type, *, defaults: bool = True, notes: Mapping[str, str] | None = None
) -> list[click.Parameter]:
    """Return an option for every field of a dataclass.

    An option that is not given has the value None.

    Args:
        settings: the dataclass.
        defaults: whether the help texts name the fields' defaults; not for a verb whose defaults are a run's settings.
        notes: the ends of help texts, by field.
    """
    hints = get_type_hints(settings)
    options: list[click.Parameter] = []
    for field in dataclasses.fields(settings):
        flag = f"--{field.name.replace('_', '-')}"
        kind, text = _kind(hints[field.name]), described(field, defaults=defaults)
        text += (notes or {}).get(field.name, "")
        names = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
        options.append(click.Option(names, type=None if kind is bool else kind, default=None, help=text))
    return options


def _kind(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        inside = [part for part in get_args(hint) if part is not types.NoneType]
        return Number(inside[0]) if len(inside) > 1 else _kind(inside[0])
    if get_origin(hint) is tuple:
        return Widths()
    return {int: Integer(), float: Real()}.get(hint, hint)


def agent_named(arguments: Sequence[str]) -> AgentName | None:
    """Return the value of --agent, with that of --inner, before the arguments are parsed."""
    agent, inner = (argument_of(arguments, flag) for flag in ("--agent", "--inner"))
    return agent if agent is None or inner is None else (agent, inner)


def argument_of(arguments: Sequence[str], flag: str) -> str | None:
    """Return the value of a flag before the arguments are parsed; None if it is not given."""
    for place, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            return argument.removeprefix(f"{flag}=")
        if argument == flag and place + 1 < len(arguments):
            return arguments[place + 1]
    return None


def agent_options(agent: AgentName | None, *, defaults: bool = True) -> list[click.Parameter]:
    """Return the flags of one agent, or of all agents if `agent` is None."""
    if agent is not None:
        return field_options(get_agent(agent).Config, defaults=defaults)
    configs = {name: get_agent(name).Config for name in REGISTRY}
    names = {name: {field.name for field in dataclasses.fields(config)} for name, config in configs.items()}
    notes = {each: f" ({_owners(each, names)})" for each in set().union(*names.values())}
    flags: dict[str | None, click.Parameter] = {}
    for config in configs.values():
        for flag in field_options(config, defaults=False, notes=notes):
            flags.setdefault(flag.name, flag)
    return list(flags.values())


def _owners(setting: str, names: Mapping[str, Collection[str]]) -> str:
    """Return the agents that have a setting, in words; `names` has the settings of every agent."""
    owners = [agent for agent in names if setting in names[agent]]
    others = [agent for agent in names if agent not in owners]
    if not others:
        return "all agents"
    return f"all agents except {', '.join(others)}" if len(others) < len(owners) else ", ".join(owners)


def given_settings(given: Mapping[str, Any], own: Iterable[click.Parameter]) -> dict[str, Any]:
    """Return the given settings: the arguments that are not among the verb's `own`."""
    names = {parameter.name for parameter in own}
    return {name: value for name, value in given.items() if name not in names and value is not None}


PARAMETER = re.compile(r"`(?P<name>[a-z]+(?:_[a-z]+)*)(?:=(?P<value>[^`]+))?`")


def with_flags(message: str) -> str:
    """Replace parameters in a message by flags: `seed` becomes --seed.

    Parameters are in backticks, alone or with a value such as `normalise_obs=True`.
    """
    return PARAMETER.sub(lambda match: _flag(match["name"], match["value"]) or match[0], message)


def _flag(name: str, value: str | None) -> str | None:
    """Return a parameter with its Python value as a flag; None for an unknown name."""
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
    """Return every parameter of the API's functions and every setting."""
    from entrax.planning.settings import PLANNERS

    functions = (entrax.train, entrax.resume, entrax.finetune, entrax.compose, entrax.load, entrax.control)
    elsewhere = {"out", "score", "inner"}  # of studies, comparisons, and wrapping agents
    elsewhere |= {"trust_table", "method", "convention", "objective", "tolerance"}  # of planning
    elsewhere |= {"slip", "step_reward", "goal_reward", "pit_reward"}
    classes = (TrainingOptions, *(get_agent(name).Config for name in REGISTRY), *PLANNERS.values())
    return (
        elsewhere
        | {name for function in functions for name in inspect.signature(function).parameters}
        | {field.name for settings in classes for field in dataclasses.fields(settings)}
    )
