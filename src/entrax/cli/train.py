"""`entrax train`: train an agent on an environment."""

import dataclasses
import types
from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

import click

from entrax.agents.base import get_agent
from entrax.cli.display import display_for
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
    "learning_starts": "Random first steps; by default a tenth of the steps, at most 10,000.",
    "chunk": "Steps of every environment between two hand-overs of the policy to the actor.",
    "normalise_obs": "Normalise observations by their running mean and deviation.",
    "log_every": "Steps between rows of metrics; by default a hundredth of the steps.",
    "eval_every": "Steps between evaluations; 0 is never; by default a tenth of the steps.",
    "eval_episodes": "Episodes of each evaluation.",
    "checkpoint_every": "Steps between checkpoints; 0 is only at the end; by default a tenth of the steps.",
    "step_timeout": "Seconds an environment may take to answer; its worker is then stopped.",
    "device": "Where learning runs: cpu, gpu or tpu; by default the fastest there is.",
    "threads": "Cores that learning may use.",
    "temperature": "The temperature α: a number, or 'learned'.",
    "hidden": "Widths of the hidden layers, such as 256,256.",
}

PARAMETERS: list[click.Parameter] = [
    click.Argument(["env"]),
    click.Option(["--agent"], default="sac", show_default=True, help="A name of `entrax agents`, or module:name."),
    click.Option(["--preset"], default="paper", show_default=True, help=f"One of {', '.join(PRESETS)}."),
    click.Option(["--seed"], type=int, default=0, show_default=True),
    click.Option(["--run"], help="The run's directory; by default runs/<env>_<agent>_<seed>_<n>."),
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


def agent_named(arguments: Sequence[str]) -> str:
    """The value of --agent, looked up before the parser is built, since the parser's flags depend on it."""
    for place, argument in enumerate(arguments):
        if argument.startswith("--agent="):
            return argument.removeprefix("--agent=")
        if argument == "--agent" and place + 1 < len(arguments):
            return arguments[place + 1]
    return "sac"


def main(arguments: Sequence[str], started: float) -> None:
    """Run the verb; `started` is when the process did."""
    agent = agent_named(arguments)
    flags = field_options(Options, "") + field_options(get_agent(agent).Config, f"A field of {agent}.")

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
    get_preset(given["preset"])
    with display_for(given["env"], given["agent"], given["preset"], settings) as display:
        trained = launch(
            given["env"],
            given["agent"],
            seed=given["seed"],
            run=given["run"],
            preset=given["preset"],
            env_args=parse_env_args(given["env_arg"]),
            hook=display.show,
            views=lambda directory: views(directory, given["tensorboard"], given["wandb"]),
            started=started,
            **settings,
        )
    finish(trained, episodes=given["episodes"], video=given["video"])


def views(directory: RunDirectory, tensorboard: bool, project: str | None) -> list[Any]:
    """The further places that rows are shown."""
    chosen: list[Any] = []
    if tensorboard:
        from entrax.runs.tensorboard import TensorBoardView

        chosen.append(TensorBoardView(directory.path / "tensorboard"))
    if project is not None:
        from entrax.runs.wandb import WandbView

        chosen.append(WandbView(directory, project))
    return chosen
