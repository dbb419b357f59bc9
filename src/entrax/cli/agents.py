"""`entrax agents`: list the agents and when to use which."""

import click

from entrax.agents.registry import FIRST_CHOICE, REGISTRY
from entrax.cli.flags import with_flags
from entrax.cli.output import print_json
from entrax.errors import show


@click.command("agents")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """List the agents: their action spaces, their paper, and when to use them."""
    if as_json:
        print_json({name: entry._asdict() for name, entry in REGISTRY.items()})
        return
    for name, entry in REGISTRY.items():
        spaces = [f"{space} (default)" if FIRST_CHOICE[space] == name else space for space in entry.actions]
        observes = "vectors, images" if entry.images else "vectors"
        show(f"{name}\n  observes {observes}\n  actions  {', '.join(spaces)}")
        show(f"  paper    {entry.paper}\n  use      {with_flags(entry.use)}")
