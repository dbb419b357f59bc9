"""`entrax resume`: resume a run from its last checkpoint."""

from typing import Any

import click

from entrax.cli.display import make_display, start_display
from entrax.cli.finish import finish
from entrax.cli.shared_options import FINISH, LOGGERS, NAMED_AGAIN, OUTPUT
from entrax.cli.values import Integer
from entrax.runs.directory import RunDirectory


@click.command("resume")
@click.argument("run")
@click.option("--steps", type=Integer(), help="Train for more steps than the run has; schedules keep their horizon.")
@click.option("--device", help="Learn on another device: cpu, gpu or tpu.")
@NAMED_AGAIN
@FINISH
@LOGGERS
@OUTPUT
@click.pass_obj
def command(start_time: float, run: str, **given: Any) -> None:
    """Resume RUN from its last whole checkpoint.

    The result is the same, to the byte, as without the interruption.
    """
    from entrax.environments.source import parse_env_args
    from entrax.training.request import ResumeRequest, Session
    from entrax.training.resume import resume

    config = RunDirectory.open(run).config
    title = f"{config['environment']['id']} · {config['agent']} · resumed"

    def loggers(directory: RunDirectory) -> list[Any]:
        return start_display(display, directory, [], given)

    with make_display(title, given["steps"] or config["training"]["steps"]) as display:
        request = ResumeRequest(
            path=run,
            steps=given["steps"],
            device=given["device"],
            agent=given["agent"],
            env=given["env"],
            env_args=parse_env_args(given["env_args"]),
            session=Session(hook=display.show, loggers=loggers, start_time=start_time),
        )
        trained = resume(request)
    finish(trained, episodes=given["episodes"], video=given["video"], as_json=given["as_json"])
