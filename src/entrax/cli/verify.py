"""`entrax verify`: check that a run's files are undamaged."""

import sys

import click

from entrax.cli.output import print_json
from entrax.cli.shared_options import OUTPUT
from entrax.errors import show


@click.command("verify")
@click.argument("run")
@OUTPUT
def command(run: str, as_json: bool, debug: bool) -> None:
    """Check RUN's checkpoints, replay log and metrics for damage.

    Files are compared with their hashes, and arrays are read.

    The exit status is 0 if every checkpoint is whole, and 1 if not.
    """
    from entrax.runs.audit import verify
    from entrax.runs.directory import RunDirectory

    findings = verify(RunDirectory.open(run))
    whole = all(damage is None for _, damage in findings)
    if as_json:
        print_json({"run": run, "whole": whole, "damage": dict(findings)})
    for name, damage in [] if as_json else findings:
        show(f"{name}  {'whole' if damage is None else damage}")
    if not findings:
        show(f"{run} has no checkpoint yet.", err=as_json)
    if not whole:
        sys.exit(1)
