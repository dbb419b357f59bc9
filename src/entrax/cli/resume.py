"""`entrax resume`: take up a run where it was last saved."""

from typing import Any

import click

from entrax.cli.display import for_output, loggers
from entrax.cli.finish import finish
from entrax.cli.values import AgentName, Whole, agent_again
from entrax.runs.directory import RunDirectory


@click.command("resume")
@click.argument("run")
@click.option("--steps", type=Whole(), help="Train for more steps than were asked for; schedules keep their horizon.")
@click.option("--device", help="Learn somewhere else: cpu, gpu or tpu.")
@agent_again
@click.option("--env", help="The environment again, when it is not one of entrax or Gymnasium.")
@click.option("--env-arg", multiple=True, metavar="KEY=VALUE", help="An argument of the environment again; repeatable.")
@click.option("--episodes", type=Whole(1), default=20, show_default=True, help="Of the last evaluation.")
@click.option("--video/--no-video", default=True, show_default=True, help="Film the trained policy.")
@click.option("--tensorboard", is_flag=True, help="Show the metrics in TensorBoard as well.")
@click.option("--wandb", metavar="PROJECT", help="Show the metrics in a project of Weights & Biases as well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_obj
def command(
    start_time: float,
    run: str,
    steps: int | None,
    device: str | None,
    agent: AgentName | None,
    env: str | None,
    env_arg: tuple[str, ...],
    episodes: int,
    video: bool,
    tensorboard: bool,
    wandb: str | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Go on with RUN from its last whole checkpoint, to the byte as if it had never been interrupted."""
    from entrax.environments.source import parse_env_args
    from entrax.training.request import ResumeRequest, Session
    from entrax.training.resume import resume

    directory = RunDirectory.open(run)
    config = directory.config
    title = f"{config['environment']['id']} · {config['agent']} · resumed"

    def shown(directory: RunDirectory) -> list[Any]:
        display.begin()
        return loggers(directory, tensorboard, wandb)

    with for_output(title, steps or config["training"]["steps"]) as display:
        trained = resume(
            ResumeRequest(
                path=run,
                steps=steps,
                device=device,
                agent=agent,
                env=env,
                env_args=parse_env_args(env_arg),
                session=Session(hook=display.show, loggers=shown, start_time=start_time),
            )
        )
    finish(trained, episodes=episodes, video=video, as_json=as_json)
