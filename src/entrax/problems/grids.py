"""Gridworlds from maps in text, and the ones that papers and lectures use."""

from collections.abc import Iterator
from typing import Unpack

import numpy as np
from jaxtyping import Bool, Float

from entrax.errors import EntraxError
from entrax.problems.assemble import BLOCK, Entries, assemble, settings
from entrax.problems.finite import FiniteMDP, Number, Options
from entrax.problems.layout import GOAL, PIT, START, Layout


def gridworld(
    layout: Layout | str,
    *,
    slip: Number = 0.0,
    step_reward: Number = 0.0,
    goal_reward: Number = 1.0,
    pit_reward: Number = -1.0,
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
    if "terminal" in options:
        raise EntraxError("The map says which cells are terminal, its goals and pits: leave `terminal` out.")
    for name, number in (("step", step_reward), ("goal", goal_reward), ("pit", pit_reward)):
        if not np.isfinite(number):
            raise EntraxError(f"The {name} reward is {number}: it must be finite.")
    fields = settings(states, actions, {**defaults, **options})
    paid = step_reward + goal_reward * goal + pit_reward * pit
    return FiniteMDP(**fields | assemble(states, actions, blocks(layout, slip, ~fields["terminal"], paid)))


def blocks(
    layout: Layout, slip: Number, live: Bool[np.ndarray, " state"], paid: Float[np.ndarray, " state"]
) -> Iterator[Entries]:
    """Where each action may lead from the live states, ahead and to either side, for some states at a time."""
    ring = "↑→↓←"
    turns, chance = ((0, 1, -1), np.array([1 - slip, slip / 2, slip / 2])) if slip > 0 else ((0,), np.ones(1))
    steps = {direction: layout.step(direction).astype(np.int32) for direction in ring}
    heading = [steps[ring[(ring.index(move) + turn) % 4]] for move in layout.moves for turn in turns]
    actions, size = len(layout.moves), max(1, BLOCK // len(heading))
    for begin in range(0, len(live), size):
        state = begin + np.flatnonzero(live[begin : begin + size])
        reached = np.stack([step[state] for step in heading], axis=1).ravel()
        row = np.repeat((state[:, None] * actions + np.arange(actions)).ravel(), len(turns))
        yield Entries(row, reached, np.tile(chance, len(state) * actions), paid[reached])


TWO_PASSAGES = """
###########
#....#....#
#.........#
#....#....#
#S...#...G#
#....#....#
#....#....#
#.........#
#....#....#
###########
"""
"""Two passages through a wall: the upper one is 2 rows off the straight way, the lower one 3."""


def two_passages(closed: str | None = None) -> Layout:
    """A maze with two ways to its goal: 12 steps by the upper passage, 14 by the lower; `closed` shuts one of them.

    A hard-optimal policy only knows the upper one; a soft one keeps both. After the maze of Haarnoja et al. (2017),
    arXiv:1702.08165, on what is left of a policy when its passage is shut.
    """
    shut = {None: None, "upper": 2, "lower": 7}
    if closed not in shut:
        raise EntraxError(f"closed is {closed!r}: it must be 'upper', 'lower' or None.")
    rows = TWO_PASSAGES.strip().split("\n")
    number = shut[closed]
    return Layout.parse("\n".join(row[:5] + "#" + row[6:] if i == number else row for i, row in enumerate(rows)))


ALIASED = Layout.parse(".....\nX#G#X")
ALIASED_OBSERVATION = (0, 1, 2, 1, 3, 4, 5, 4)
"""What the agent sees in each state of the aliased gridworld: the second and the fourth cell look alike."""


def aliased_gridworld(**options: Unpack[Options]) -> FiniteMDP:
    """David Silver's example: five cells in a row, a skull below the first and the last, treasure below the middle.

    Every step costs 1, so without discount the return is minus the number of steps; the skull costs 100 more. States
    0 to 4 are the row, in which episodes begin; 5 and 7 the skulls, 6 the treasure. A policy that sees only
    `ALIASED_OBSERVATION` must be stochastic in states 1 and 3: with P(east) = ½ there, and steps towards the middle
    at the ends, the steps to the treasure are 5, 4, 1, 4, 5. Source: Silver (2015), lectures on reinforcement
    learning, lecture 7.
    """
    return gridworld(ALIASED, step_reward=-1.0, goal_reward=0.0, pit_reward=-100.0, **options)
