"""`entrax verify`: is everything of a run whole?"""

import sys
from collections.abc import Sequence

import click


@click.command("verify")
@click.argument("run")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(run: str, debug: bool) -> None:
    """Check every checkpoint of RUN, its replay log and its metrics against their hashes, and read its arrays.

    The exit status is 0 if every checkpoint is whole, and 1 if not.
    """
    from entrax.runs.audit import verify
    from entrax.runs.directory import RunDirectory

    findings = verify(RunDirectory.open(run))
    for name, damage in findings:
        click.echo(f"{name}  {'whole' if damage is None else damage}")
    if not findings:
        click.echo(f"{run} has no checkpoint yet.")
    if any(damage is not None for _, damage in findings):
        sys.exit(1)


def main(arguments: Sequence[str], started: float) -> None:
    """Run the verb."""
    command.main(list(arguments), prog_name="entrax verify", standalone_mode=False)
