"""Two policies for `entrax/Stacking-v0` that learn nothing: one looks where the lower brick is, one does not look.

The first recovers from disturbances, the second cannot: they are the positive control of the study `stacking`.
"""

import numpy as np
from jaxtyping import Float, Int32

from entrax.environments.source import EnvSource
from entrax.environments.stacking import JOINTS, SIDE, posture
from entrax.evaluation.episodes import Act
from entrax.studies.runs import play

STIFFNESS = 10.0
"""Action per radian of a joint's deviation."""
MIDDLE = 0.42
"""The middle of the lower brick's area, in metres from the shoulder."""
REACH = 0.55
"""The farthest place from the shoulder that is tried, in metres."""
TOP, CLEAR, PRESS = 0.05, 0.03, -0.012
"""Heights in metres: of the lower brick's top, and above it of the held brick on its way and at the end."""
SLOPE = 10.0
"""The height above the top for each metre of horizontal distance."""


def feedback(
    obs: Float[np.ndarray, "env 20"], episode: Int32[np.ndarray, " env"], t: Int32[np.ndarray, " env"]
) -> Float[np.ndarray, "env 5"]:
    """Turn to the lower brick, go above it, then down, by inverse kinematics at every step."""
    return np.array([_toward(each) for each in np.asarray(obs, float)])


def _toward(obs: Float[np.ndarray, " 20"]) -> Float[np.ndarray, " 5"]:
    angles, (dx, dy, _), (x, y) = obs[:JOINTS], SIDE * obs[10:13], SIDE * obs[13:15]
    place = np.array([MIDDLE + x, y])
    height = TOP + np.clip(PRESS + SLOPE * np.hypot(dx, dy), PRESS, CLEAR)
    wanted = posture(min(float(np.hypot(*place)), REACH), height)
    turn = np.arctan2(place[1], place[0])
    wanted[0], wanted[4] = turn, -turn
    return np.clip(STIFFNESS * (wanted - angles), -1.0, 1.0)


def repeat(env: str, episodes: int, seed: int) -> Act:
    """Return the policy that repeats the actions of `feedback` in the undisturbed episodes of this seed."""
    actions: list[np.ndarray] = []

    def record(obs: np.ndarray, episode: np.ndarray, t: np.ndarray) -> np.ndarray:
        actions.append(feedback(obs, episode, t))
        return actions[-1]

    play(record, EnvSource(env), episodes, seed=seed)
    recorded = np.array(actions)  # [step, episode, action]
    return lambda obs, episode, t: recorded[t, episode]
