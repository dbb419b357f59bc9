"""`entrax report`: write the report of a run."""

from collections.abc import Sequence

import click


@click.command("report")
@click.argument("run")
@click.option("--checkpoint", default="latest", show_default=True, help="latest, best, final or a checkpoint's name.")
@click.option("--video/--no-video", default=True, show_default=True, help="Film the policy.")
@click.option("--agent", help="The agent again, when it is a third party's module:name.")
@click.option("--env", help="The environment again, when it is not one of entrax or Gymnasium.")
@click.option("--env-arg", multiple=True, metavar="KEY=VALUE", help="An argument of the environment again; repeatable.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    run: str,
    checkpoint: str,
    video: bool,
    agent: str | None,
    env: str | None,
    env_arg: tuple[str, ...],
    debug: bool,
) -> None:
    """Write RUN's report.html, one file with figure, film, configuration and numbers."""
    from entrax.api import load
    from entrax.cli.finish import publish
    from entrax.environments.source import parse_env_args

    publish(load(run, checkpoint, agent=agent, env=env, env_args=parse_env_args(env_arg)), video=video)


def main(arguments: Sequence[str], started: float) -> None:
    """Run the verb."""
    command.main(list(arguments), prog_name="entrax report", standalone_mode=False)
