"""`entrax train`: train an agent on an environment."""

import dataclasses
import types
from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

import click

from entrax.agents.base import get_agent
from entrax.agents.registry import REGISTRY
from entrax.cli.display import for_output, views
from entrax.cli.finish import finish
from entrax.environments.source import parse_env_args
from entrax.errors import EntraxError
from entrax.runs.directory import RunDirectory
from entrax.training.options import PRESETS, Options, get_preset

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
    "hidden": "Widths of the hidden layers, such as 256,256.",
}

PARAMETERS: list[click.Parameter] = [
    click.Argument(["env"]),
    click.Option(["--agent"], help="A name of `entrax agents`, or module:name; by default the first choice for ENV."),
    click.Option(["--preset"], default="paper", show_default=True, help=f"One of {', '.join(PRESETS)}."),
    click.Option(["--seed"], type=int, default=0, show_default=True),
    click.Option(["--run"], help="The run's directory; by default runs/<env>_<agent>_<seed>_<n>."),
    click.Option(["--resume"], is_flag=True, help="Take the run up again if it is there, else start it."),
    click.Option(["--env-arg"], multiple=True, metavar="KEY=VALUE", help="An argument of the environment; repeatable."),
    click.Option(["--episodes"], type=click.IntRange(min=1), default=20, help="Episodes of the last evaluation. [20]"),
    click.Option(["--video/--no-video"], default=True, help="Film the trained policy. [video]"),
    click.Option(["--tensorboard"], is_flag=True, help="Show the metrics in TensorBoard as well."),
    click.Option(["--wandb"], metavar="PROJECT", help="Show the metrics in a project of Weights & Biases as well."),
    click.Option(["--debug"], is_flag=True, help="Show tracebacks."),
]


class Number(click.ParamType):
    """A number, or a word where the field takes one."""

    name = "number|text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        try:
            return float(value)
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


def field_options(settings: type, section: str) -> list[click.Parameter]:
    """A flag for every field of a dataclass; a flag that is not given is None, so that presets can tell."""
    hints = get_type_hints(settings)
    options: list[click.Parameter] = []
    for field in dataclasses.fields(settings):
        flag = f"--{field.name.replace('_', '-')}"
        kind = _kind(hints[field.name])
        text = HELP.get(field.name, section)
        default = "" if field.default is None else f" [{_shown(field.default)}]"
        names = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
        options.append(click.Option(names, type=None if kind is bool else kind, default=None, help=text + default))
    return options


def _kind(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        inside = [part for part in get_args(hint) if part is not types.NoneType]
        return Number() if len(inside) > 1 else _kind(inside[0])
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


def agent_options(agent: str | None) -> list[click.Parameter]:
    """The flags of one agent, or of all of them while it is not known which it will be."""
    flags: dict[str | None, click.Parameter] = {}
    for name in REGISTRY if agent is None else [agent]:
        for flag in field_options(get_agent(name).Config, f"A field of {name}."):
            flags.setdefault(flag.name, flag)
    return list(flags.values())


def main(arguments: Sequence[str], started: float) -> None:
    """Run the verb; `started` is when the process did."""
    flags = field_options(Options, "") + agent_options(agent_named(arguments))

    def run(**given: Any) -> None:
        train(given, started)

    command = click.Command("train", params=PARAMETERS + flags, callback=run, help="Train an agent on ENV.")
    command.main(list(arguments), prog_name="entrax train", standalone_mode=False)


def train(given: dict[str, Any], started: float) -> None:
    """Train, then evaluate, draw and film; says where everything is."""
    from entrax.training.launch import train as launch

    named = {parameter.name for parameter in PARAMETERS}
    settings = {k: v for k, v in given.items() if k not in named and v is not None}
    if settings.get("hidden") == ():
        raise EntraxError("--hidden needs at least one width.")
    steps = settings.get("steps", get_preset(given["preset"]).options.get("steps", Options.steps))
    title = " · ".join(filter(None, (given["env"], given["agent"], given["preset"])))

    def begin(directory: RunDirectory) -> list[Any]:
        if given["agent"] is None:
            display.tell(f"agent {directory.config['agent']}, the first choice for these actions (`entrax agents`)")
        return views(directory, given["tensorboard"], given["wandb"])

    with for_output(title, steps) as display:
        trained = launch(
            given["env"],
            given["agent"],
            seed=given["seed"],
            run=given["run"],
            preset=given["preset"],
            env_args=parse_env_args(given["env_arg"]),
            hook=display.show,
            views=begin,
            started=started,
            resume=given["resume"],
            **settings,
        )
    finish(trained, episodes=given["episodes"], video=given["video"])
