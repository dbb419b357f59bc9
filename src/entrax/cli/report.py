"""`entrax report`: write the report of a run."""

import click

from entrax.cli.output import print_json


@click.command("report")
@click.argument("run")
@click.option("--checkpoint", default="latest", show_default=True, help="latest, best, final or a checkpoint's name.")
@click.option("--video/--no-video", default=True, show_default=True, help="Film the policy.")
@click.option("--agent", help="The agent again, when it is a third party's: module:name or a file.")
@click.option("--env", help="The environment again, when it is not one of entrax or Gymnasium.")
@click.option("--env-arg", multiple=True, metavar="KEY=VALUE", help="An argument of the environment again; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    run: str,
    checkpoint: str,
    video: bool,
    agent: str | None,
    env: str | None,
    env_arg: tuple[str, ...],
    as_json: bool,
    debug: bool,
) -> None:
    """Write RUN's report.html, one file with figure, film, configuration and numbers."""
    from entrax.cli.finish import places, publish
    from entrax.environments.source import parse_env_args
    from entrax.training.run import load

    loaded = load(run, checkpoint, agent=agent, env=env, env_args=parse_env_args(env_arg))
    publish(loaded, video=video)
    if as_json:
        print_json({"run": run} | places(loaded))
