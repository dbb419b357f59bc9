"""`entrax report`: write the report of a run."""

from typing import Any

import click

from entrax.cli.output import print_json
from entrax.cli.shared_options import NAMED_AGAIN, OUTPUT, checkpoint


@click.command("report")
@click.argument("run")
@checkpoint()
@click.option("--video/--no-video", default=True, show_default=True, help="Film the policy.")
@NAMED_AGAIN
@OUTPUT
def command(run: str, **given: Any) -> None:
    """Write RUN's report.html, one file with figure, film, configuration and numbers."""
    from entrax.cli.finish import places, publish
    from entrax.environments.source import parse_env_args
    from entrax.training.run import load

    env_args = parse_env_args(given["env_args"])
    loaded = load(run, given["checkpoint"], agent=given["agent"], env=given["env"], env_args=env_args)
    publish(loaded, video=given["video"])
    if given["as_json"]:
        print_json({"run": run} | places(loaded))
