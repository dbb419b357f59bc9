"""The command line: one file per verb, loaded when the verb is used."""

import importlib
import os
import sys
import time
from collections.abc import Sequence

VERBS = {
    "train": "train an agent on an environment",
    "resume": "go on with a run that was interrupted, to the byte",
    "finetune": "train what a run has learned for another task",
    "evaluate": "play episodes with a trained policy",
    "stress": "see how a policy's return falls as the world changes",
    "compose": "act by several runs' soft Q-functions at once",
    "compare": "compare methods over seeds, with intervals",
    "report": "write the report of a run: figure, video, numbers",
    "verify": "check that everything of a run is whole",
    "fingerprint": "print hashes of what a run came to",
    "plan": "solve a finite problem exactly: Gymnasium's tables, maps, .npz",
    "study": "put a claim about soft optimality to the test",
    "agents": "list the agents and when to use which",
}

USAGE = """entrax: maximum-entropy reinforcement learning and control as inference.

Usage: entrax VERB ...

{verbs}

`entrax VERB --help` tells more. A first run: entrax train Pendulum-v1 --preset fast
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the verb that the arguments name and exit with its status; nothing heavy is imported before."""
    started = time.perf_counter()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(usage(), end="")
        sys.exit(0)
    if arguments[0] == "--version":
        from entrax import __version__

        print(__version__)
        sys.exit(0)
    verb = arguments[0]
    if verb not in VERBS:
        from entrax.errors import closest

        print(f"entrax has no verb {verb!r}{closest(verb, VERBS)} `entrax --help` lists them.", file=sys.stderr)
        sys.exit(2)
    from entrax.cli.guard import guarded

    sys.path.append(os.getcwd())  # for module:name of the user's own, found last so that it shadows nothing
    guarded(lambda: importlib.import_module(f"entrax.cli.{verb}").main(arguments[1:], started), arguments)


def usage() -> str:
    """What `entrax --help` prints."""
    width = max(map(len, VERBS)) + 2
    return USAGE.format(verbs="\n".join(f"  {verb:{width}}{what}" for verb, what in VERBS.items()))
