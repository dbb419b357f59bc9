"""Problems from environments with a table of transitions, such as FrozenLake."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from entrax.errors import UsageError, closest
from entrax.problems.columns import Columns
from entrax.problems.faithful import bare_environment, check_follows_table
from entrax.problems.layout import Layout
from entrax.problems.tables import Fields, from_columns

MOVES = {"FrozenLakeEnv": "←↓→↑", "CliffWalkingEnv": "↑→↓←"}
"""The directions of the actions of Gymnasium's grids."""


def from_gymnasium(env: Any, trust_table: bool, options: Mapping[str, Any]) -> Fields:
    """See `FiniteMDP.from_gymnasium`."""
    made = make(env) if isinstance(env, str) else env
    try:
        bare = bare_environment(made)
        columns, initial = read(bare)
        check_actions(made, columns)
        if not trust_table:
            check_follows_table(bare)
    finally:
        if made is not env:
            made.close()
    options = dict(options)
    if "initial" not in options:
        if initial is None:
            raise UsageError(f"{name_of(made)} has no `initial_state_distrib`. Give `initial`.")
        options["initial"] = initial
    if "terminal" not in options:
        start = np.asarray(options["initial"])
        start = start > 0 if start.ndim else np.arange(columns.states) == start
        options["terminal"] = terminal_states(columns, start)
    return from_columns(columns, options)


def make(name: str) -> Any:
    """Make an environment by its Gymnasium id."""
    import gymnasium

    try:
        return gymnasium.make(name)
    except gymnasium.error.NameNotFound:
        known = closest(name, gymnasium.registry)
        raise UsageError(f"Gymnasium has no environment {name!r}{known}") from None
    except (gymnasium.error.Error, ImportError) as error:
        raise UsageError(f"Gymnasium could not make {name}: {error}") from error


def name_of(env: Any) -> str:
    """Return the name of an environment for messages."""
    spec = getattr(env, "spec", None)
    return type(env.unwrapped).__name__ if spec is None else spec.id


def read(env: Any) -> tuple[Columns, Any]:
    """Return an environment's transitions, and its initial distribution or None."""
    table = getattr(env, "P", None)
    if table is None:
        raise UsageError(f"{name_of(env)} has no table of transitions `P`, so its dynamics are unknown.")
    items = table.items() if isinstance(table, Mapping) else enumerate(table)
    rows = [
        (s, a, p, next_s, r, terminated)
        for s, actions in items
        for a, branches in (actions.items() if isinstance(actions, Mapping) else enumerate(actions))
        for p, next_s, r, terminated in branches
    ]
    if not rows:
        raise UsageError(f"The table `P` of {name_of(env)} is empty.")
    names = ("state", "action", "probability", "next_state", "reward", "terminated")
    columns = Columns.read(dict(zip(names, zip(*rows, strict=True), strict=True)), len(table), None)
    return columns, getattr(env, "initial_state_distrib", None)


def check_actions(env: Any, columns: Columns) -> None:
    """Check that the table lists the actions of the environment's action space."""
    space = getattr(env, "action_space", None)
    if space is None:
        return
    start, count = getattr(space, "start", 0), getattr(space, "n", None)
    listed = np.unique(columns.action)
    if not isinstance(count, int | np.integer) or not np.array_equal(listed, start + np.arange(count)):
        raise UsageError(
            f"The table `P` of {name_of(env)} must list the actions of {space}; it lists {len(listed)} actions from "
            f"{listed[0]} to {listed[-1]}."
        )


def terminal_states(columns: Columns, start: Bool[np.ndarray, " state"]) -> Bool[np.ndarray, " state"]:
    """Return the states that are entered by termination only.

    The states reached while an episode continues are searched from `start`, since tables may have rows for states in
    which no episode continues (CliffWalking's goal) and for states that no episode visits (some of Taxi's).
    """
    from scipy import sparse
    from scipy.sparse import csgraph

    continues = columns.continues
    nodes = columns.states + 1  # the last node has an edge to every start
    source = np.concatenate([columns.state[continues], np.full(int(start.sum()), columns.states)])
    target = np.concatenate([columns.next_state[continues], np.flatnonzero(start)])
    graph = sparse.csr_array((np.ones(len(source)), (source, target)), shape=(nodes, nodes))
    visited = np.zeros(nodes, bool)
    visited[csgraph.breadth_first_order(graph, columns.states, return_predecessors=False)] = True
    return columns.successors(columns.ends) & ~visited[:-1]


def layout_of(env: Any) -> Layout | None:
    """Return the map of one of Gymnasium's grids, or None."""
    env = env.unwrapped
    own = type(env).__module__.startswith("gymnasium.envs.toy_text.")
    moves = MOVES.get(type(env).__name__) if own else None
    if moves is None:
        return None
    if moves == MOVES["FrozenLakeEnv"]:
        text = "\n".join(b"".join(row).decode() for row in env.desc)
        return Layout.parse(text, moves)
    rows, columns = env.shape
    cliff = "S" + "X" * (columns - 2) + "G"
    return Layout.parse("\n".join(["." * columns] * (rows - 1) + [cliff]), moves)
