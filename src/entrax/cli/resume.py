"""`entrax resume`: take up a run where it was last saved."""

from collections.abc import Sequence

import click

from entrax.cli.display import for_output, views
from entrax.cli.finish import finish, published
from entrax.runs.directory import RunDirectory


@click.command("resume")
@click.argument("run")
@click.option("--steps", type=int, help="Train for more steps than were asked for; schedules keep their horizon.")
@click.option("--device", help="Learn somewhere else: cpu, gpu or tpu.")
@click.option("--agent", help="The agent again, when it is a third party's module:name.")
@click.option("--env", help="The environment again, when it is not one of entrax or Gymnasium.")
@click.option("--env-arg", multiple=True, metavar="KEY=VALUE", help="An argument of the environment again; repeatable.")
@click.option("--episodes", type=click.IntRange(min=1), default=20, show_default=True, help="Of the last evaluation.")
@click.option("--video/--no-video", default=True, show_default=True, help="Film the trained policy.")
@click.option("--tensorboard", is_flag=True, help="Show the metrics in TensorBoard as well.")
@click.option("--wandb", metavar="PROJECT", help="Show the metrics in a project of Weights & Biases as well.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_obj
def command(
    started: float,
    run: str,
    steps: int | None,
    device: str | None,
    agent: str | None,
    env: str | None,
    env_arg: tuple[str, ...],
    episodes: int,
    video: bool,
    tensorboard: bool,
    wandb: str | None,
    debug: bool,
) -> None:
    """Go on with RUN from its last whole checkpoint, to the byte as if it had never been interrupted."""
    from entrax.environments.source import parse_env_args
    from entrax.training.resume import resume

    directory = RunDirectory.open(run)
    config = directory.config
    title = f"{config['environment']['id']} · {config['agent']} · resumed"
    with for_output(title, steps or config["training"]["steps"]) as display:
        trained = resume(
            run,
            steps=steps,
            device=device,
            agent=agent,
            env=env,
            env_args=parse_env_args(env_arg),
            hook=display.show,
            views=lambda directory: views(directory, tensorboard, wandb),
            started=started,
        )
    if not published(trained.directory):
        finish(trained, episodes=episodes, video=video)


def main(arguments: Sequence[str], started: float) -> None:
    """Run the verb; `started` is when the process did."""
    command.main(list(arguments), prog_name="entrax resume", standalone_mode=False, obj=started)
