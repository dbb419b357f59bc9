"""The verbs as one click group, each loaded when it is used or completed."""

import importlib

import click
from click.shell_completion import CompletionItem

from entrax.cli import VERBS

ARGUMENTS = "entrax.arguments"
"""The key of a context under which the arguments after the verb are kept: some verbs' flags depend on them."""


class Verbs(click.Group):
    """The verbs of the command line.

    A verb's module has a `command`, and a function `build(arguments)` that returns it if its flags depend on them.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.meta[ARGUMENTS] = args[1:]
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = vars(importlib.import_module(f"entrax.cli.{cmd_name}"))
        command: click.Command = (
            module["build"](ctx.meta.get(ARGUMENTS, [])) if "build" in module else module["command"]
        )
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name, help=text) for name, text in VERBS.items() if name.startswith(incomplete)]


group = Verbs("entrax", context_settings={"help_option_names": ["-h", "--help"]})
