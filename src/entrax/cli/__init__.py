"""The command line: one file per verb, loaded when the verb is used."""

import os
import sys
import time
from collections.abc import Sequence

VERBS = {
    "train": "train an agent on an environment",
    "resume": "continue a run that was interrupted",
    "finetune": "train a run's policy on another task",
    "evaluate": "play episodes with a trained policy",
    "stress": "measure returns as the world changes",
    "compose": "combine soft Q-functions into one policy",
    "compare": "compare methods over seeds, with intervals",
    "report": "write a run's report: figure, video, numbers",
    "verify": "check a run's files for damage",
    "fingerprint": "print hashes of a run's contents",
    "plan": "solve a finite problem exactly",
    "infer": "infer a reward from demonstrations",
    "control": "act by planning in a simulator, untrained",
    "study": "test a claim about soft optimality",
    "agents": "list the agents and when to use which",
}

USAGE = """entrax: maximum-entropy reinforcement learning and control
as inference.

Usage: entrax VERB ...

{verbs}

`entrax VERB --help` explains a verb, and `entrax train
--agent dqn --help` the settings of an agent. A first run:

    entrax train Pendulum-v1 --preset fast
"""
COMPLETION = "_ENTRAX_COMPLETE"
"""The environment variable that a shell sets to complete a line."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the verb that the arguments name and exit with its status."""
    start_time = time.perf_counter()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if COMPLETION in os.environ:
        from entrax.cli.verbs import group

        group.main(arguments, prog_name="entrax")
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
    if not arguments or arguments[0] in ("--help", "-h"):
        print(usage(), end="")
        sys.exit(0)
    if arguments[0] == "--version":
        from entrax import __version__

        print(__version__)
        sys.exit(0)
    verb = arguments[0]
    if verb not in VERBS:
        from entrax.errors import closest

        print(f"entrax: There is no verb {verb!r}{closest(verb, VERBS)} `entrax --help` lists them.", file=sys.stderr)
        sys.exit(2)
    from entrax.cli.guard import guarded

    if any(
        ":" in argument for argument in arguments
    ):  # only for module:name, since the current directory may be a stranger's
        sys.path.append(os.getcwd())  # last, so that it shadows nothing
    guarded(arguments, start_time)


def usage() -> str:
    """Return the text of `entrax --help`."""
    width = max(map(len, VERBS)) + 2
    return USAGE.format(verbs="\n".join(f"  {verb:{width}}{text}" for verb, text in VERBS.items()))
