"""`entrax fingerprint`: what a run came to, as hashes to compare."""

import click

from entrax.cli.output import print_json
from entrax.errors import show


@click.command("fingerprint")
@click.argument("run")
@click.option("--checkpoint", default="latest", show_default=True, help="latest, final or a checkpoint's name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(run: str, checkpoint: str, as_json: bool, debug: bool) -> None:
    """SHA-256 of RUN's parameters, optimiser, normaliser, replay and metrics (without wall-clock fields)."""
    from entrax.runs.audit import fingerprint
    from entrax.runs.directory import RunDirectory

    digests = fingerprint(RunDirectory.open(run), checkpoint)
    if as_json:
        print_json(digests)
        return
    for name, digest in digests.items():
        show(f"{name:<11} {digest}")
