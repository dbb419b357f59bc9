"""`entrax fingerprint`: what a run came to, as hashes to compare."""

from collections.abc import Sequence

import click


@click.command("fingerprint")
@click.argument("run")
@click.option("--checkpoint", default="latest", show_default=True, help="latest, final or a checkpoint's name.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(run: str, checkpoint: str, debug: bool) -> None:
    """SHA-256 of RUN's parameters, optimiser, normaliser, replay and metrics (without wall-clock fields)."""
    from entrax.runs.audit import fingerprint
    from entrax.runs.directory import RunDirectory

    for name, digest in fingerprint(RunDirectory.open(run), checkpoint).items():
        click.echo(f"{name:<11} {digest}")


def main(arguments: Sequence[str], started: float) -> None:
    """Run the verb."""
    command.main(list(arguments), prog_name="entrax fingerprint", standalone_mode=False)
