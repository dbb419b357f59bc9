"""Problems from environments that carry their own table, as Gymnasium's toy-text environments do."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from entrax.errors import EntraxError, closest
from entrax.problems.columns import Columns
from entrax.problems.faithful import bare_environment, check_follows_table
from entrax.problems.layout import Layout
from entrax.problems.tables import Fields, from_columns

MOVES = {"FrozenLakeEnv": "←↓→↑", "CliffWalkingEnv": "↑→↓←"}
"""What the actions of Gymnasium's grids do."""


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
            raise EntraxError(f"{name_of(made)} does not say where episodes start: give `initial`.")
        options["initial"] = initial
    if "terminal" not in options:
        start = np.asarray(options["initial"])
        start = start > 0 if start.ndim else np.arange(columns.states) == start
        options["terminal"] = over(columns, start)
    return from_columns(columns, options)


def make(name: str) -> Any:
    """A new environment by its Gymnasium id, without a time limit's wrapper mattering."""
    import gymnasium

    try:
        return gymnasium.make(name)
    except gymnasium.error.NameNotFound:
        known = closest(name, gymnasium.registry)
        raise EntraxError(f"Gymnasium has no environment {name!r}{known}") from None
    except (gymnasium.error.Error, ImportError) as error:
        raise EntraxError(f"{name} could not be made: {error}") from error


def name_of(env: Any) -> str:
    """How an environment is named in a sentence."""
    spec = getattr(env, "spec", None)
    return type(env.unwrapped).__name__ if spec is None else spec.id


def read(env: Any) -> tuple[Columns, Any]:
    """The transitions of an unwrapped environment, and its initial distribution or None."""
    given = getattr(env, "P", None)
    if given is None:
        raise EntraxError(f"{name_of(env)} has no table of transitions `P`, so it cannot be planned for exactly.")
    items = given.items() if isinstance(given, Mapping) else enumerate(given)
    rows = [
        (s, a, p, next_s, r, terminated)
        for s, actions in items
        for a, branches in (actions.items() if isinstance(actions, Mapping) else enumerate(actions))
        for p, next_s, r, terminated in branches
    ]
    if not rows:
        raise EntraxError(f"The table `P` of {name_of(env)} is empty.")
    names = ("state", "action", "probability", "next_state", "reward", "terminated")
    given_columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    columns = Columns.read(given_columns, len(given), None)
    return columns, getattr(env, "initial_state_distrib", None)


def check_actions(env: Any, columns: Columns) -> None:
    """Refuse a table with other actions than the environment takes."""
    space = getattr(env, "action_space", None)
    if space is None:
        return
    start, count = getattr(space, "start", 0), getattr(space, "n", None)
    listed = np.unique(columns.action)
    if not isinstance(count, int | np.integer) or not np.array_equal(listed, start + np.arange(count)):
        raise EntraxError(
            f"{name_of(env)} takes actions in {space}, and its table `P` lists {len(listed)}, from {listed[0]} to "
            f"{listed[-1]}: they must be the same."
        )


def over(columns: Columns, start: Bool[np.ndarray, " state"]) -> Bool[np.ndarray, " state"]:
    """States that episodes only ever end in: entered by termination, and not while the episode goes on.

    What is reached while it goes on is found from `start`; a table may have live rows for states in which no episode
    goes on, such as CliffWalking's goal, and rows of states that no episode meets, such as some of Taxi's.
    """
    from scipy import sparse
    from scipy.sparse import csgraph

    going = columns.goes_on
    nodes = columns.states + 1  # the last one leads to every start
    source = np.concatenate([columns.state[going], np.full(int(start.sum()), columns.states)])
    target = np.concatenate([columns.next_state[going], np.flatnonzero(start)])
    graph = sparse.csr_array((np.ones(len(source)), (source, target)), shape=(nodes, nodes))
    met = np.zeros(nodes, bool)
    met[csgraph.breadth_first_order(graph, columns.states, return_predecessors=False)] = True
    return columns.entered(columns.ends) & ~met[:-1]


def layout_of(env: Any) -> Layout | None:
    """The map of one of Gymnasium's grids, to print and to draw; None for any other environment."""
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
