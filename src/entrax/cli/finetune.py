"""`entrax finetune`: start a new run from the checkpoint of another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from entrax.cli.display import make_display, start_display
from entrax.cli.finish import finish
from entrax.cli.flags import agent_named, agent_options, field_options, given_settings
from entrax.cli.shared_options import FINISH, LOGGERS, OUTPUT, PRIOR, agent, checkpoint, env_arg
from entrax.cli.values import AgentName, Integer
from entrax.environments.source import parse_env_args
from entrax.errors import UsageError
from entrax.runs.directory import RunDirectory
from entrax.training.finetune import TEMPERATURE_STARTS
from entrax.training.from_record import agent_again
from entrax.training.initial_state import describe
from entrax.training.options import TrainingOptions
from entrax.training.request import Request, Session, SourceRequest
from entrax.training.train import train as run_request


@click.command("finetune")
@click.argument("source", metavar="RUN")
@click.option("--env", help="The environment to fine-tune for; by default RUN's.")
@env_arg()
@checkpoint()
@click.option(
    "--temperature-start",
    default="keep",
    show_default=True,
    help=f"{', '.join(TEMPERATURE_STARTS)}: RUN's last temperature, a new run's, or from RUN's to --temperature.",
)
@click.option("--keep-replay", is_flag=True, help="Carry over RUN's transitions, with the rewards they had.")
@click.option("--keep-optimiser", is_flag=True, help="Carry over the optimiser's state.")
@PRIOR
@agent("RUN's agent, if it is not one of entrax: module:name or a file.")
@click.option("--seed", type=Integer(), help="Seed of everything random; by default RUN's.")
@click.option("--run", help="The new run's directory; by default runs/<env>_<agent>_<seed>_<n>.")
@click.option("--resume", is_flag=True, help="Resume the new run if it exists; otherwise start it.")
@FINISH
@LOGGERS
@OUTPUT
@click.pass_obj
def command(start_time: float, **given: Any) -> None:
    """Continue from RUN in another environment, or with other settings, as a new run.

    Policy, critics, targets and normaliser are carried over; the optimiser is initialised. Settings that are not given
    are RUN's, except those that depend on the number of steps.
    """
    tune(given, start_time)


def build(arguments: Sequence[str]) -> click.Command:
    """Return the command with the flags of the agent of the run in the arguments."""
    flags = field_options(TrainingOptions, defaults=False) + agent_options(_agent(arguments), defaults=False)
    return click.Command("finetune", params=command.params + flags, callback=command.callback, help=command.help)


def tune(given: dict[str, Any], start_time: float) -> None:
    """Fine-tune a policy, evaluate it, write its report, and print where it is."""
    settings = given_settings(given, command.params)
    if "steps" not in settings:
        raise UsageError("--steps is missing: how many steps to fine-tune for.")

    def loggers(directory: RunDirectory) -> list[Any]:
        return start_display(display, directory, describe(directory), given)

    with make_display(f"{given['source']} · fine-tuned", settings["steps"]) as display:
        source = SourceRequest(
            path=given["source"],
            checkpoint=given["checkpoint"],
            temperature_start=given["temperature_start"],
            keep_replay=given["keep_replay"],
            keep_optimiser=given["keep_optimiser"],
        )
        request = Request(
            env=given["env"],
            agent=given["agent"],
            settings=settings,
            seed=given["seed"],
            run=given["run"],
            env_args=parse_env_args(given["env_args"]),
            prior=given["prior"],
            source=source,
            resume=given["resume"],
            session=Session(hook=display.show, loggers=loggers, start_time=start_time),
        )
        trained = run_request(request)
    finish(trained, episodes=given["episodes"], video=given["video"], as_json=given["as_json"])


def _agent(arguments: Sequence[str]) -> AgentName | None:
    """Return the agent of the run in the arguments, before they are parsed.

    An agent that is not one of entrax is returned only if `--agent` names it.
    """
    named = agent_named(arguments)
    for argument in arguments:
        if (Path(argument) / "config.json").is_file():
            try:
                return agent_again(RunDirectory.open(argument), named)
            except UsageError:
                return None  # fine-tuning itself raises it
    return named
