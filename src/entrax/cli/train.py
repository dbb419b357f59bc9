"""`entrax train`: train an agent on an environment."""

from collections.abc import Sequence
from typing import Any

import click

from entrax.agents.registry import REGISTRY
from entrax.cli.display import for_output, loggers
from entrax.cli.finish import finish
from entrax.cli.flags import agent_named, agent_options, field_options
from entrax.cli.values import AGENT_AGAIN, INNER, Whole, complete, complete_environments
from entrax.environments.source import parse_env_args
from entrax.runs.directory import RunDirectory
from entrax.training.options import PRESETS, TrainingOptions, get_preset

PARAMETERS: list[click.Parameter] = [
    click.Argument(["env"], shell_complete=complete_environments),
    click.Option(["--inner"], shell_complete=complete(REGISTRY), **INNER),
    click.Option(
        ["--agent"],
        shell_complete=complete(REGISTRY),
        **AGENT_AGAIN
        | {"help": "A name of `entrax agents`, module:name or a file; by default the first choice for ENV."},
    ),
    click.Option(
        ["--preset"],
        default="paper",
        show_default=True,
        shell_complete=complete(PRESETS),
        help=f"Defaults under one name: {' or '.join(PRESETS)}.",
    ),
    click.Option(["--seed"], type=Whole(), default=0, show_default=True, help="Seed of everything random."),
    click.Option(["--run"], help="The run's directory; by default runs/<env>_<agent>_<seed>_<n>."),
    click.Option(["--resume"], is_flag=True, help="Take the run up again if it is there, else start it."),
    click.Option(
        ["--env-arg", "env_args"],
        multiple=True,
        metavar="KEY=VALUE",
        help="An argument of the environment; repeatable.",
    ),
    click.Option(["--prior"], metavar="RUN", help="Stay near the policy of this run: KL to it in place of entropy."),
    click.Option(["--data"], metavar="RUN|ID", help="Learn from this run's replay or a Minari data set only."),
    click.Option(["--episodes"], type=Whole(1), default=20, show_default=True, help="Episodes of the last evaluation."),
    click.Option(["--video/--no-video"], default=True, help="Film the trained policy."),
    click.Option(["--tensorboard"], is_flag=True, help="Show the metrics in TensorBoard as well."),
    click.Option(["--wandb"], metavar="PROJECT", help="Show the metrics in a project of Weights & Biases as well."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object at the end."),
    click.Option(["--debug"], is_flag=True, help="Show tracebacks."),
]


HELP = """Train an agent on ENV, a Gymnasium id or an environment of your own.

Without --agent the flags of every agent are listed; with it, those of that agent, with defaults and ranges. A --preset
may have other defaults."""


def build(arguments: Sequence[str]) -> click.Command:
    """The command with the flags of the agent that the arguments name."""
    flags = field_options(TrainingOptions) + agent_options(agent_named(arguments))
    return click.Command("train", params=PARAMETERS + flags, callback=_run, help=HELP)


@click.pass_obj
def _run(start_time: float, **given: Any) -> None:
    train(given, start_time)


def train(given: dict[str, Any], start_time: float) -> None:
    """Train, then evaluate, draw and film; says where everything is."""
    from entrax.training.initial_state import lines
    from entrax.training.request import Request, Session
    from entrax.training.train import train as run_request

    named = {parameter.name for parameter in PARAMETERS}
    settings = {k: v for k, v in given.items() if k not in named and v is not None}
    steps = settings.get("steps", get_preset(given["preset"]).options.get("steps", TrainingOptions.steps))
    agent = given["agent"]
    agent = " around ".join(agent) if isinstance(agent, tuple) else agent
    title = " · ".join(filter(None, (given["env"], agent, given["preset"])))

    def shown(directory: RunDirectory) -> list[Any]:
        display.begin()
        if given["agent"] is None:
            display.tell(f"agent {directory.config['agent']}, the first choice for these actions (`entrax agents`)")
        for line in lines(directory):
            display.tell(line)
        return loggers(directory, given["tensorboard"], given["wandb"])

    with for_output(title, steps) as display:
        trained = run_request(
            Request(
                env=given["env"],
                agent=given["agent"],
                settings=settings,
                preset=given["preset"],
                seed=given["seed"],
                run=given["run"],
                env_args=parse_env_args(given["env_args"]),
                prior=given["prior"],
                data=given["data"],
                resume=given["resume"],
                session=Session(hook=display.show, loggers=shown, start_time=start_time),
            )
        )
    finish(trained, episodes=given["episodes"], video=given["video"], as_json=given["as_json"])
