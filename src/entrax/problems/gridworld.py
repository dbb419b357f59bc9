"""Gridworlds from maps in text, and the ones that papers and lectures use."""

from typing import Unpack

import numpy as np
from jaxtyping import Int

from entrax.errors import EntraxError
from entrax.problems.assemble import Entries, assemble, settings
from entrax.problems.finite import FiniteMDP, Options
from entrax.problems.layout import GOAL, PIT, START, Layout


def gridworld(
    layout: Layout | str,
    *,
    slip: float = 0.0,
    step_reward: float = 0.0,
    goal_reward: float = 1.0,
    pit_reward: float = -1.0,
    **options: Unpack[Options],
) -> FiniteMDP:
    """A grid in which actions step up, right, down and left; see `Layout` for maps and the numbering of states.

    With probability `slip` a step goes to one of the two sides instead, each as likely: 2/3 is FrozenLake's ice. Walls
    and the edge leave the agent where it is. Goals and pits are terminal. Every step earns `step_reward`, and
    `goal_reward` or `pit_reward` besides when it enters one. Episodes begin in the cells `S`, each as likely; on a map
    without one, anywhere but in goals and pits.
    """
    if not 0 <= slip <= 1:
        raise EntraxError(f"The slip is {slip}: it must lie in [0, 1].")
    layout = Layout.parse(layout) if isinstance(layout, str) else layout
    start, goal, pit = (layout.where(letter) for letter in (START, GOAL, PIT))
    defaults: Options = {"terminal": goal | pit}
    if start.any():
        defaults["initial"] = start / np.count_nonzero(start)
    states, actions = len(goal), len(layout.moves)
    fields = settings(states, actions, {**defaults, **options})
    successor, chance = outcomes(layout, slip)
    paid = step_reward + goal_reward * goal + pit_reward * pit
    live = np.flatnonzero(~fields["terminal"])
    row = np.repeat((live[:, None] * actions + np.arange(actions)).ravel(), len(chance))
    reached = successor[live].ravel()
    entries = Entries(row, reached, np.tile(chance, len(live) * actions), paid[reached])
    return FiniteMDP(**fields | assemble(states, actions, entries))


def outcomes(layout: Layout, slip: float) -> tuple[Int[np.ndarray, "state action outcome"], np.ndarray]:
    """Where each action may lead, and with which probabilities: ahead, and to either side."""
    ring = "↑→↓←"
    turns, chance = ((0, 1, -1), np.array([1 - slip, slip / 2, slip / 2])) if slip > 0 else ((0,), np.ones(1))
    steps = {direction: layout.step(direction).astype(np.int32) for direction in ring}
    reached = [[steps[ring[(ring.index(move) + turn) % 4]] for turn in turns] for move in layout.moves]
    return np.moveaxis(np.array(reached), 2, 0), chance
