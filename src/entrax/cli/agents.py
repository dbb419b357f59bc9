"""`entrax agents`: list the agents and when to use which."""

import dataclasses
import inspect

import click

from entrax.agents.base import optional
from entrax.agents.lookup import get_agent
from entrax.agents.registry import FIRST_CHOICE, REGISTRY
from entrax.cli.flags import with_flags
from entrax.cli.output import print_json
from entrax.errors import show
from entrax.fields import default_text
from entrax.training.options import PRESETS

ABILITIES = {"with_prior": "takes a --prior", "soft_q": "can be composed"}
"""What a user can do with an agent that has an optional name of the contract."""


@click.command("agents")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--markdown", is_flag=True, help="Print all settings of all agents, as docs/agents.md has them.")
def command(as_json: bool, markdown: bool) -> None:
    """List the agents: their action spaces, their paper, and when to use them."""
    if as_json:
        print_json({name: entry._asdict() | {"can": abilities(name)} for name, entry in REGISTRY.items()})
        return
    if markdown:
        show(page())
        return
    for name in REGISTRY:
        show("\n  ".join([name, *(f"{key:<8} {text}" for key, text in facts(name).items())]))


def abilities(name: str) -> list[str]:
    """Return what an agent can do besides learning, as text."""
    agent = get_agent(name)
    return [words for ability, words in ABILITIES.items() if optional(agent, ability) is not None]


def facts(name: str) -> dict[str, str]:
    """Return the first facts about an agent, as text by key."""
    entry, also = REGISTRY[name], abilities(name)
    spaces = [f"{space} (default)" if FIRST_CHOICE[space] == name else space for space in entry.actions]
    lines = {
        "observes": "vectors, images" if entry.images else "vectors",
        "actions": ", ".join(spaces),
        "paper": entry.paper,
        "use": with_flags(entry.use),
    }
    return lines | ({"also": ", ".join(also)} if also else {})


HEAD = """# Settings of the agents

Printed by `entrax agents --markdown`. A setting is a flag of `entrax train` (`learning_rate` is `--learning-rate`) and
an argument of `entrax.train`. [Which agent for what](choosing.md), [the options of training](command-line.md).
"""


def page() -> str:
    """Return docs/agents.md: every setting of every agent, with its symbol, default and range."""
    return "\n".join([HEAD, *(line for name in REGISTRY for line in section(name))]).rstrip()


def section(name: str) -> list[str]:
    """Return the lines of the page about one agent."""
    agent = get_agent(name)
    lines = [f"## {name}", "", *(f"- {key}: {text}" for key, text in facts(name).items())]
    own = optional(agent, "loop_defaults")
    if own is not None:
        lines.append(f"- training options by default: {' '.join((inspect.getdoc(own) or '').split())}")
    fields = dataclasses.fields(agent.Config)
    lines += [f"- the default of preset `{preset}`" for preset, it in PRESETS.items() if it.algorithm == name]
    for preset, chosen in PRESETS.items():
        differing = [f"`{f.name}` {chosen.agent[f.name]}" for f in fields if f.name in chosen.agent]
        if differing:
            lines.append(f"- preset `{preset}`: {', '.join(differing)}")
    lines += ["", "| setting | symbol | default | range | |", "|---|---|---|---|---|"]
    for field in fields:
        range = field.metadata["range"]
        cells = [f"`{field.name}`", field.metadata["symbol"], default_text(field), range.words if range else ""]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in (*cells, field.metadata["help"])) + " |")
    return [*lines, ""]
