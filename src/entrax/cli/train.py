"""`entrax train`: train an agent on an environment."""

from collections.abc import Sequence
from typing import Any

import click

from entrax.cli.display import make_display, start_display
from entrax.cli.finish import finish
from entrax.cli.flags import agent_named, agent_options, field_options, given_settings
from entrax.cli.shared_options import FINISH, LOGGERS, OUTPUT, PRIOR, agent, env_arg
from entrax.cli.values import Integer, complete, complete_environments
from entrax.environments.source import parse_env_args
from entrax.errors import alternatives
from entrax.runs.directory import RunDirectory
from entrax.training.options import PRESETS, TrainingOptions, get_preset


@click.command("train")
@click.argument("env", shell_complete=complete_environments)
@agent("A name of `entrax agents`, module:name or a file; by default the first choice for ENV.")
@click.option(
    "--preset",
    default="paper",
    show_default=True,
    shell_complete=complete(PRESETS),
    help=f"A named set of defaults: {alternatives(PRESETS)}.",
)
@click.option("--seed", type=Integer(), default=0, show_default=True, help="Seed of everything random.")
@click.option("--run", help="The run's directory; by default runs/<env>_<agent>_<seed>_<n>.")
@click.option("--resume", is_flag=True, help="Resume the run if it exists; otherwise start it.")
@env_arg()
@PRIOR
@click.option("--data", metavar="RUN|ID", help="Learn from this run's replay or a Minari data set only.")
@FINISH
@LOGGERS
@OUTPUT
@click.pass_obj
def command(start_time: float, **given: Any) -> None:
    """Train an agent on ENV.

    ENV is a Gymnasium id, an environment of entrax, or one of your own.

    Without --agent the flags of every agent are listed; with it, those of that agent, with defaults and ranges. A
    --preset may have other defaults.
    """
    train(given, start_time)


def build(arguments: Sequence[str]) -> click.Command:
    """Return the command with the flags of the agent that the arguments name."""
    flags = field_options(TrainingOptions) + agent_options(agent_named(arguments))
    return click.Command("train", params=command.params + flags, callback=command.callback, help=command.help)


def train(given: dict[str, Any], start_time: float) -> None:
    """Train a policy, evaluate it, write its report, and print where everything is."""
    from entrax.training.initial_state import describe
    from entrax.training.request import Request, Session
    from entrax.training.train import train as run_request

    settings = given_settings(given, command.params)
    preset = get_preset(given["preset"])
    steps = settings.get("steps", preset.options.get("steps", TrainingOptions.steps))
    name = " around ".join(given["agent"]) if isinstance(given["agent"], tuple) else given["agent"]
    title = " · ".join(filter(None, (given["env"], name, given["preset"])))

    def loggers(directory: RunDirectory) -> list[Any]:
        why = "of this preset" if directory.config["agent"] == preset.algorithm else "for these actions"
        chosen = f"agent {directory.config['agent']}, the first choice {why} (`entrax agents`)"
        sentences = [chosen] if given["agent"] is None else []
        return start_display(display, directory, [*sentences, *describe(directory)], given)

    with make_display(title, steps) as display:
        request = Request(
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
            session=Session(hook=display.show, loggers=loggers, start_time=start_time),
        )
        trained = run_request(request)
    finish(trained, episodes=given["episodes"], video=given["video"], as_json=given["as_json"])
