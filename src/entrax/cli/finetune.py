"""`entrax finetune`: a new run that begins with what an old one has learned."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from entrax.agents.registry import is_registered
from entrax.cli.display import for_output, loggers
from entrax.cli.finish import finish
from entrax.cli.flags import agent_named, agent_options, field_options
from entrax.cli.values import Whole
from entrax.environments.source import parse_env_args
from entrax.errors import UsageError
from entrax.runs.directory import RunDirectory
from entrax.training.finetune import TEMPERATURE_STARTS
from entrax.training.initial_state import lines
from entrax.training.options import TrainingOptions
from entrax.training.request import Request, Session, SourceRequest
from entrax.training.train import train as run_request

HELP = """Go on from RUN in another environment, or with other settings, as a run of its own.

Policy, critics, targets and normaliser are carried over; the optimiser is initialised. Settings that are not given are
RUN's, but for those that go with the number of steps."""

PARAMETERS: list[click.Parameter] = [
    click.Argument(["ancestor"], metavar="RUN"),
    click.Option(["--env"], help="The environment to fine-tune for; by default RUN's."),
    click.Option(
        ["--env-arg", "env_args"],
        multiple=True,
        metavar="KEY=VALUE",
        help="An argument of the environment; repeatable.",
    ),
    click.Option(["--checkpoint"], default="latest", show_default=True, help="latest, best, final or a name."),
    click.Option(
        ["--temperature-start"],
        default="keep",
        show_default=True,
        help=f"{', '.join(TEMPERATURE_STARTS)}: as RUN ended, as a new run would, or from there to --temperature.",
    ),
    click.Option(["--keep-replay"], is_flag=True, help="Bring the transitions along, with the rewards they had."),
    click.Option(["--keep-optimiser"], is_flag=True, help="Bring the optimiser's state along."),
    click.Option(["--prior"], metavar="RUN", help="Stay near the policy of this run: KL to it in place of entropy."),
    click.Option(["--agent"], help="The agent again, when it is a third party's: module:name or a file."),
    click.Option(["--seed"], type=Whole(), help="By default RUN's."),
    click.Option(["--run"], help="The new run's directory; by default runs/<env>_<agent>_<seed>_<n>."),
    click.Option(["--resume"], is_flag=True, help="Take the new run up again if it is there, else start it."),
    click.Option(["--episodes"], type=Whole(1), default=20, show_default=True, help="Episodes of the last evaluation."),
    click.Option(["--video/--no-video"], default=True, help="Film the trained policy."),
    click.Option(["--tensorboard"], is_flag=True, help="Show the metrics in TensorBoard as well."),
    click.Option(["--wandb"], metavar="PROJECT", help="Show the metrics in a project of Weights & Biases as well."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object at the end."),
    click.Option(["--debug"], is_flag=True, help="Show tracebacks."),
]


def build(arguments: Sequence[str]) -> click.Command:
    """The command with the flags of the agent of the run that the arguments name."""
    flags = field_options(TrainingOptions, defaults=False) + agent_options(_agent(arguments), defaults=False)
    return click.Command("finetune", params=PARAMETERS + flags, callback=_run, help=HELP)


@click.pass_obj
def _run(start_time: float, **given: Any) -> None:
    tune(given, start_time)


def tune(given: dict[str, Any], start_time: float) -> None:
    """Fine-tune, then evaluate, draw and film; says what was carried over and where everything is."""
    named = {parameter.name for parameter in PARAMETERS}
    settings = {k: v for k, v in given.items() if k not in named and v is not None}
    if "steps" not in settings:
        raise UsageError("--steps is missing: how many steps to fine-tune for.")

    def begin(directory: RunDirectory) -> list[Any]:
        display.begin()
        for line in lines(directory):
            display.tell(line)
        return loggers(directory, given["tensorboard"], given["wandb"])

    with for_output(f"{given['ancestor']} · fine-tuned", settings["steps"]) as display:
        trained = run_request(
            Request(
                env=given["env"],
                agent=given["agent"],
                settings=settings,
                seed=given["seed"],
                run=given["run"],
                env_args=parse_env_args(given["env_args"]),
                prior=given["prior"],
                source=SourceRequest(
                    path=given["ancestor"],
                    checkpoint=given["checkpoint"],
                    temperature_start=given["temperature_start"],
                    keep_replay=given["keep_replay"],
                    keep_optimiser=given["keep_optimiser"],
                ),
                resume=given["resume"],
                session=Session(hook=display.show, loggers=begin, start_time=start_time),
            )
        )
    finish(trained, episodes=given["episodes"], video=given["video"], as_json=given["as_json"])


def _agent(arguments: Sequence[str]) -> str | None:
    """The agent of the run among the arguments, looked up before the parser is built; a third party's only if named."""
    named = agent_named(arguments)
    if named is not None:
        return named
    for argument in arguments:
        if (Path(argument) / "config.json").is_file():
            agent = RunDirectory.open(argument).config["agent"]
            return agent if is_registered(agent) else None
    return None
