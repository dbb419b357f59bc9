"""`entrax report`: write the report of a run."""

import click

from entrax.cli.output import print_json
from entrax.cli.values import AgentName, agent_again


@click.command("report")
@click.argument("run")
@click.option("--checkpoint", default="latest", show_default=True, help="latest, best, final or a checkpoint's name.")
@click.option("--video/--no-video", default=True, show_default=True, help="Film the policy.")
@agent_again
@click.option("--env", help="The environment again, when it is not one of entrax or Gymnasium.")
@click.option("--env-arg", multiple=True, metavar="KEY=VALUE", help="An argument of the environment again; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    run: str,
    checkpoint: str,
    video: bool,
    agent: AgentName | None,
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
