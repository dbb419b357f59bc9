"""`entrax fingerprint`: hashes of what a run holds, to compare two runs by."""

import click

from entrax.cli.output import print_json
from entrax.cli.shared_options import OUTPUT, checkpoint
from entrax.errors import show


@click.command("fingerprint")
@click.argument("run")
@checkpoint(best=False)
@OUTPUT
def command(run: str, checkpoint: str, as_json: bool, debug: bool) -> None:
    """Print hashes of RUN's contents.

    They are the SHA-256 of parameters, optimiser, normaliser, replay and metrics, without wall-clock fields.
    """
    from entrax.runs.audit import fingerprint
    from entrax.runs.directory import RunDirectory

    digests = fingerprint(RunDirectory.open(run), checkpoint)
    if as_json:
        print_json(digests)
        return
    for name, digest in digests.items():
        show(f"{name:<11} {digest}")
