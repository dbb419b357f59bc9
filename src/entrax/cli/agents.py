"""`entrax agents`: the agents and when to use which."""

from collections.abc import Sequence

import click

from entrax.agents.registry import REGISTRY


@click.command("agents")
def command() -> None:
    """List the agents: the actions they take, their paper, and when to use them."""
    for name, entry in REGISTRY.items():
        click.echo(f"{name}\n  actions  {entry.actions}\n  paper    {entry.paper}\n  use      {entry.use}")


def main(arguments: Sequence[str], started: float) -> None:
    """Run the verb."""
    command.main(list(arguments), prog_name="entrax agents", standalone_mode=False)
