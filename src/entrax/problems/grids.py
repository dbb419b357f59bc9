"""Gridworlds from text maps, and gridworlds from papers and lectures."""

from collections.abc import Iterator
from typing import Unpack

import numpy as np
from jaxtyping import Bool, Float

from entrax.errors import UsageError
from entrax.problems.assemble import BLOCK, Entries, assemble, settings
from entrax.problems.finite import FiniteMDP, Number, ProblemOptions
from entrax.problems.layout import GOAL, PIT, START, Layout


def gridworld(
    layout: Layout | str,
    *,
    slip: Number = 0.0,
    step_reward: Number = 0.0,
    goal_reward: Number = 1.0,
    pit_reward: Number = -1.0,
    **options: Unpack[ProblemOptions],
) -> FiniteMDP:
    """Build a gridworld in which actions step up, right, down and left.

    Walls and the edge leave the agent in place. Goals and pits are terminal. Episodes start in a uniformly random cell
    `S`, or, on a map without `S`, in any cell except goals and pits.

    Args:
        layout: the map; see `Layout` for its letters and the numbering of states.
        slip: the probability that a step goes to one of the two sides instead, each equally likely. FrozenLake's ice
            has 2/3.
        step_reward: the reward of every step.
        goal_reward: the additional reward of a step into a goal.
        pit_reward: the additional reward of a step into a pit.
        **options: see `ProblemOptions`; `terminal` follows from the map.

    Raises:
        UsageError: an argument is not valid.
    """
    if not 0 <= slip <= 1:
        raise UsageError(f"`slip` must lie in [0, 1], got {slip}.")
    layout = Layout.parse(layout) if isinstance(layout, str) else layout
    start, goal, pit = (layout.where(letter) for letter in (START, GOAL, PIT))
    defaults: ProblemOptions = {"terminal": goal | pit}
    if start.any():
        defaults["initial"] = start / np.count_nonzero(start)
    states, actions = len(goal), len(layout.moves)
    if "terminal" in options:
        raise UsageError("`terminal` follows from the goals and pits of the map; remove it.")
    rewards = {"step_reward": step_reward, "goal_reward": goal_reward, "pit_reward": pit_reward}
    for name, number in rewards.items():
        if not np.isfinite(number):
            raise UsageError(f"`{name}` must be finite, got {number}.")
    fields = settings(states, actions, {**defaults, **options})
    entry_reward = step_reward + goal_reward * goal + pit_reward * pit
    return FiniteMDP(**fields | assemble(states, actions, blocks(layout, slip, ~fields["terminal"], entry_reward)))


def blocks(
    layout: Layout, slip: Number, live: Bool[np.ndarray, " state"], entry_reward: Float[np.ndarray, " state"]
) -> Iterator[Entries]:
    """Yield the transitions of the live states, a block of states at a time."""
    ring = "↑→↓←"
    turns, chance = ((0, 1, -1), np.array([1 - slip, slip / 2, slip / 2])) if slip > 0 else ((0,), np.ones(1))
    steps = {direction: layout.step(direction).astype(np.int32) for direction in ring}
    heading = [steps[ring[(ring.index(move) + turn) % 4]] for move in layout.moves for turn in turns]
    actions, size = len(layout.moves), max(1, BLOCK // len(heading))
    for begin in range(0, len(live), size):
        state = begin + np.flatnonzero(live[begin : begin + size])
        reached = np.stack([step[state] for step in heading], axis=1).ravel()
        row = np.repeat((state[:, None] * actions + np.arange(actions)).ravel(), len(turns))
        yield Entries(
            row=row,
            successor=reached,
            probability=np.tile(chance, len(state) * actions),
            reward=entry_reward[reached],
        )


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
"""A wall with two passages: the upper one is 2 rows from the straight path, the lower one 3."""


def two_passages(closed: str | None = None) -> Layout:
    """Return a maze with a path of 12 steps by the upper passage, 14 by the lower.

    A hard-optimal policy takes the upper passage only; a soft one takes both.

    Args:
        closed: 'upper' or 'lower' to close a passage; None leaves both open.

    Raises:
        UsageError: `closed` is something else.

    References:
        Haarnoja et al. (2017), arXiv:1702.08165, whose maze this one resembles.
    """
    row_of = {None: None, "upper": 2, "lower": 7}
    if closed not in row_of:
        raise UsageError(f"`closed` must be 'upper', 'lower' or None, got {closed!r}.")
    rows = TWO_PASSAGES.strip().split("\n")
    number = row_of[closed]
    return Layout.parse("\n".join(row[:5] + "#" + row[6:] if i == number else row for i, row in enumerate(rows)))


ALIASED = Layout.parse(".....\nX#G#X")
ALIASED_OBSERVATION = (0, 1, 2, 1, 3, 4, 5, 4)
"""The observation of each state of the aliased gridworld; the second and the fourth cell look alike."""


def aliased_gridworld(**options: Unpack[ProblemOptions]) -> FiniteMDP:
    """Build David Silver's aliased gridworld: a row above two skulls and a treasure.

    States 0 to 4 are the row, in which episodes start; 5 and 7 are the skulls, below the first and last cell; 6 is the
    treasure, below the middle. Every step costs 1, so the undiscounted return is minus the number of steps; a skull
    costs 100 more. A policy of `ALIASED_OBSERVATION` must be stochastic in states 1 and 3. With P(east) = ½ there and
    steps towards the middle at the ends, the expected numbers of steps to the treasure are 5, 4, 1, 4, 5.

    References:
        Silver (2015), lectures on reinforcement learning, lecture 7.
    """
    return gridworld(ALIASED, step_reward=-1.0, goal_reward=0.0, pit_reward=-100.0, **options)
