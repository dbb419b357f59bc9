"""Measure the cost of the flag that keeps XLA from computing wrong sums.

    python benchmarks/guard.py

Two processes, with and without the flag, take turns at updates of an agent on HalfCheetah-v5, so that both have the
same conditions. Writes results/guard.json.
"""

import argparse
import subprocess
import sys

import jax


def main() -> None:
    """Measure every agent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", default="sac,td3,soft-q")
    parser.add_argument("--updates", type=int, default=100, help="in a turn")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--child", choices=("with", "without"))
    arguments = parser.parse_args()
    if arguments.child:
        serve(arguments)
    else:
        compare(arguments)


def serve(arguments: argparse.Namespace) -> None:
    """Print the seconds of an update for every line of standard input."""
    if arguments.child == "without":
        jax.devices()  # now the flag has no effect
    import soft_q

    from entrax.agents.lookup import get_agent
    from entrax.environments.source import EnvSource
    from entrax.environments.spaces import spec_of

    agent = get_agent(arguments.agents)
    contender = soft_q.Contender(agent, agent.Config(), spec_of(EnvSource("HalfCheetah-v5").make()), arguments)
    contender.seconds()
    for _ in sys.stdin:
        print(contender.seconds(), flush=True)


def compare(arguments: argparse.Namespace) -> None:
    """Measure the ratios of the seconds with and without the flag, turn by turn."""
    from harness import save, say, show, spread

    ratios = {}
    for agent in arguments.agents.split(","):
        children = {kind: child(arguments, agent, kind) for kind in ("with", "without")}
        turns = []
        for turn in range(arguments.rounds):
            order = list(children) if turn % 2 else list(reversed(children))
            seconds = {kind: float(ask(children[kind])) for kind in order}
            turns.append(seconds["with"] / seconds["without"])
        for process in children.values():
            process.communicate()
        ratios[agent] = spread(turns)
        say(show(f"{agent}: seconds of an update, with / without", ratios[agent], "x"))
    save("guard", {"settings": vars(arguments), "seconds_with_over_without": ratios})


def child(arguments: argparse.Namespace, agent: str, kind: str) -> subprocess.Popen[str]:
    """Start a process that measures one agent."""
    options = ["--child", kind, "--agents", agent, "--updates", arguments.updates, "--batch-size", arguments.batch_size]
    command = [sys.executable, "-W", "ignore", __file__, *map(str, options)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(process: subprocess.Popen[str]) -> str:
    """Return the seconds that a child process measures."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(file=process.stdin, flush=True)
    return process.stdout.readline()


if __name__ == "__main__":
    main()
