"""`entrax agents`: the agents and when to use which."""

from collections.abc import Sequence

import click

from entrax.agents.registry import FIRST_CHOICE, REGISTRY


@click.command("agents")
def command() -> None:
    """List the agents: the action spaces they take, their paper, and when to use them."""
    for name, entry in REGISTRY.items():
        spaces = [f"{space} (default)" if FIRST_CHOICE[space] == name else space for space in entry.actions]
        observes = "vectors, images" if entry.images else "vectors"
        click.echo(f"{name}\n  observes {observes}\n  actions  {', '.join(spaces)}")
        click.echo(f"  paper    {entry.paper}\n  use      {entry.use}")


def main(arguments: Sequence[str], started: float) -> None:
    """Run the verb."""
    command.main(list(arguments), prog_name="entrax agents", standalone_mode=False)
