"""The plan of `entrax/TwoPassage-v0` and its dynamics, as pure functions of NumPy or JAX arrays.

    goal          G
           ┌─────────────┐
           │             │      Two passages lead through a thick wall. A plug may close one of them further in, visible
           ├─┐ ┌─────┐ ┌─┤      only from `NOTICE` on: from outside both passages look the same.
           │ │▓│     │ │ │
           │ │ │     │ │ │
           ├─┘ └─────┘ └─┤
           │      S      │
           └─────────────┘

Lengths are for the point; the ant's plan is `ANT_SCALE` times as large. Left is -x, right is +x, the goal is at +y.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from entrax.environments.point import DT, RADIUS, Motion, Vectors, distance, free, stopped

SIDE, HALF_WIDTH = 2.0, 0.75
"""The distance of a passage's middle from the plan's, and half of its width."""
ENTRANCE, NOTICE, PLUG, EXIT = 1.5, 2.6, (3.3, 3.6), 4.0
"""Heights: the start of the passages, the first view of a plug, the plug, and the end of the passages."""
GOAL = (0.0, 5.5)
REACH = 0.5
"""The distance from the goal that ends an episode."""
LOW, HIGH = (-3.5, -1.5), (3.5, 6.5)
"""The corners of the plan."""
BONUS = 50.0
"""The reward for reaching the goal."""
ANT_SCALE = 2.0

INNER, OUTER = SIDE - HALF_WIDTH, SIDE + HALF_WIDTH
_T = 0.3  # thickness of the outer walls
WALLS = np.array(
    [
        [(-INNER, ENTRANCE), (INNER, EXIT)],
        [(LOW[0], ENTRANCE), (-OUTER, EXIT)],
        [(OUTER, ENTRANCE), (HIGH[0], EXIT)],
        [(LOW[0] - _T, LOW[1] - _T), (LOW[0], HIGH[1] + _T)],
        [(HIGH[0], LOW[1] - _T), (HIGH[0] + _T, HIGH[1] + _T)],
        [(LOW[0], LOW[1] - _T), (HIGH[0], LOW[1])],
        [(LOW[0], HIGH[1]), (HIGH[0], HIGH[1] + _T)],
    ]
)
"""Lower and upper corners of the walls."""
PLUGS = np.array([[(side * SIDE - HALF_WIDTH, PLUG[0]), (side * SIDE + HALF_WIDTH, PLUG[1])] for side in (-1, 1)])
"""Lower and upper corners of the plugs, left and right."""


class Trial(NamedTuple):
    """The state of an episode: the motion, and the left and the right passage.

    `passable` is 1 for an open passage and -1 for a closed one; `seen` is the same once its inside has been seen,
    and 0 before.
    """

    motion: Motion
    passable: Vectors
    seen: Vectors


def step(trial: Trial, action: Vectors) -> tuple[Trial, Float[Any, "*batch"], Any]:
    """Return the next states of points, their rewards, and whether they are done."""
    xp = action.__array_namespace__()
    boxes = xp.asarray(np.concatenate([WALLS, PLUGS]))
    walls = xp.ones((*trial.passable.shape[:-1], len(WALLS)), dtype=bool)
    solid = xp.concat([walls, trial.passable < 0], axis=-1)
    motion = stopped(trial.motion, free(trial.motion, action), boxes, solid)
    seen = look(motion.position, trial.passable, trial.seen)
    gain, reached = progress(trial.motion.position, trial.seen, motion.position, seen)
    return Trial(motion, trial.passable, seen), gain / DT + BONUS * reached, reached


def look(position: Vectors, passable: Vectors, seen: Vectors) -> Vectors:
    """Return what is known of the passages after being at `position`."""
    xp = position.__array_namespace__()
    x, y = position[..., :1], position[..., 1:]
    inside = (y >= NOTICE) & (y < EXIT) & (xp.abs(x - SIDE * xp.asarray([-1.0, 1.0])) < HALF_WIDTH)
    return xp.where(inside, passable, seen)


def progress(
    position: Vectors, seen: Vectors, next_position: Vectors, next_seen: Vectors
) -> tuple[Float[Any, "*batch"], Any]:
    """Return how much shorter the way to the goal became, and whether it is reached."""
    xp = position.__array_namespace__()
    gain = way(position, seen) - way(next_position, next_seen)
    return gain, distance(next_position - xp.asarray(GOAL)) < REACH


def way(position: Vectors, seen: Vectors) -> Float[Any, "*batch"]:
    """Return the length of the shortest way to the goal.

    The way leads through a passage that is not known to be closed.
    """
    xp = position.__array_namespace__()
    mirrored = xp.stack([-position[..., 0], position[..., 0]], axis=-1)
    return xp.min(_way_right(mirrored, position[..., 1:]) + xp.where(seen < 0, xp.inf, 0.0), axis=-1)


def _way_right(x: Vectors, y: Float[Any, "*batch 1"]) -> Vectors:
    """Return the length of the shortest way to the goal through the right passage for a body of the point's radius."""
    xp = x.__array_namespace__()
    inner = INNER + RADIUS
    last = float(np.hypot(GOAL[0] - inner, GOAL[1] - EXIT))  # from the inner corner at the exit
    gate = _crossing(x, y, (inner, EXIT), ENTRANCE)
    below = xp.hypot(gate - x, ENTRANCE - y) + xp.hypot(inner - gate, EXIT - ENTRANCE) + last
    gate = _crossing(x, y, GOAL, EXIT)
    inside = xp.hypot(gate - x, EXIT - y) + xp.hypot(GOAL[0] - gate, GOAL[1] - EXIT)
    # Out of the left passage by its inner corner at the entrance, and along the wall to that of the right one.
    back = xp.hypot(-inner - x, ENTRANCE - y) + 2 * inner + EXIT - ENTRANCE + last
    within = xp.where(x > 0, inside, back)
    beyond = xp.hypot(GOAL[0] - x, GOAL[1] - y)
    return xp.where(y < ENTRANCE, below, xp.where(y < EXIT, within, beyond))


def _crossing(x: Vectors, y: Float[Any, "*batch 1"], to: tuple[float, float], height: float) -> Vectors:
    """Return x where the shortest way to the place `to` beyond it crosses the right passage's end at this height."""
    xp = x.__array_namespace__()
    share = xp.clip((height - y) / xp.maximum(to[1] - y, 1e-9), 0.0, 1.0)
    return xp.clip(x + share * (to[0] - x), INNER + RADIUS, OUTER - RADIUS)
