"""Flags made from the fields of settings, which the verbs that train share."""

import dataclasses
import types
from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

import click

from entrax.agents.base import get_agent
from entrax.agents.registry import REGISTRY

HELP = {
    "steps": "Environment steps, over all environments.",
    "envs": "Environments that are stepped together.",
    "workers": "Processes that step them; 0 is this one. By default one environment stays here, more get workers.",
    "updates_per_step": "Updates of the agent per environment step: any positive ratio.",
    "learning_starts": "Random first steps; by default a tenth of the horizon, at most 10,000.",
    "chunk": "Steps of every environment between two hand-overs of the policy to the actor.",
    "normalise_obs": "Normalise observations by their running mean and deviation.",
    "log_every": "Steps between rows of metrics; by default a hundredth of the horizon.",
    "eval_every": "Steps between evaluations; 0 is never; by default a tenth of the horizon.",
    "eval_episodes": "Episodes of each evaluation.",
    "horizon": "Steps that schedules, and defaults given as a fraction of the steps, refer to; by default all steps.",
    "checkpoint_every": "Steps between checkpoints, besides those by time; 0 is none.",
    "checkpoint_seconds": "Seconds of training between checkpoints; 0 is none by time.",
    "restart_envs": "How many times a fault of an environment is answered by a new one and a new episode.",
    "step_timeout": "Seconds an environment may take to answer; its worker is then stopped.",
    "device": "Where learning runs: cpu, gpu or tpu; by default the fastest there is.",
    "threads": "Cores that learning may use.",
    "temperature": "The temperature α: a number, or 'learned'.",
    "features": "Seen of an image: so many features (by default 50), or 'points', where filters respond.",
    "n_step": "Rewards summed before the value of the state after them is taken.",
    "rollout_steps": "Steps, over all environments, between two updates.",
    "gae_lambda": "λ of generalised advantage estimation: 0 trusts the value, 1 the rewards.",
    "hidden": "Widths of the hidden layers, such as 256,256.",
}


class Number(click.ParamType):
    """A number, or a word where the field takes one."""

    name = "number|text"

    def __init__(self, kind: type[int | float]):
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        try:
            return self.kind(value)
        except ValueError:
            return str(value)


class Widths(click.ParamType):
    """Integers separated by commas."""

    name = "n,n,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of integers such as 256,256.", param, ctx)


def field_options(settings: type, section: str, *, defaults: bool = True) -> list[click.Parameter]:
    """A flag for every field of a dataclass; a flag that is not given is None, so that presets can tell.

    Without `defaults` the help does not name them, for a verb that takes them from elsewhere.
    """
    hints = get_type_hints(settings)
    options: list[click.Parameter] = []
    for field in dataclasses.fields(settings):
        flag = f"--{field.name.replace('_', '-')}"
        kind = _kind(hints[field.name])
        text = HELP.get(field.name, section)
        default = f" [{_shown(field.default)}]" if defaults and field.default is not None else ""
        names = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
        options.append(click.Option(names, type=None if kind is bool else kind, default=None, help=text + default))
    return options


def _kind(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        inside = [part for part in get_args(hint) if part is not types.NoneType]
        return Number(inside[0]) if len(inside) > 1 else _kind(inside[0])
    return Widths() if get_origin(hint) is tuple else hint


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def agent_named(arguments: Sequence[str]) -> str | None:
    """The value of --agent, looked up before the parser is built, since the parser's flags depend on it."""
    for place, argument in enumerate(arguments):
        if argument.startswith("--agent="):
            return argument.removeprefix("--agent=")
        if argument == "--agent" and place + 1 < len(arguments):
            return arguments[place + 1]
    return None


def agent_options(agent: str | None, *, defaults: bool = True) -> list[click.Parameter]:
    """The flags of one agent, or of all of them while it is not known which it will be."""
    flags: dict[str | None, click.Parameter] = {}
    for name in REGISTRY if agent is None else [agent]:
        for flag in field_options(get_agent(name).Config, f"A field of {name}.", defaults=defaults):
            flags.setdefault(flag.name, flag)
    return list(flags.values())
