"""Where episodes of Gymnasium's MuJoCo tasks end, as functions of the observation after the step.

The formulas are those of the tasks' documentation, with its default arguments.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from entrax.errors import require_one_of

Obs = Float[Array, " obs"]
Termination = Callable[[Obs], Bool[Array, ""]]


def never(obs: Obs) -> Bool[Array, ""]:
    """Return False: Pendulum, Reacher, HalfCheetah, Swimmer, Pusher."""
    return jnp.asarray(False)


def inverted_pendulum(obs: Obs) -> Bool[Array, ""]:
    """Return whether the pole is more than 0.2 radians from upright."""
    return jnp.abs(obs[1]) > 0.2


def inverted_double_pendulum(obs: Obs) -> Bool[Array, ""]:
    """Return whether the tip, of two poles of length 0.6, is at a height of 1 or less."""
    sin_1, sin_2, cos_1, cos_2 = obs[1], obs[2], obs[3], obs[4]
    return 0.6 * (cos_1 + cos_1 * cos_2 - sin_1 * sin_2) <= 1.0


def hopper(obs: Obs) -> Bool[Array, ""]:
    """Return whether the hopper is too low or too tilted, or a number is too large."""
    return ~((obs[0] > 0.7) & (jnp.abs(obs[1]) < 0.2) & jnp.all(jnp.abs(obs[1:]) < 100.0))


def walker(obs: Obs) -> Bool[Array, ""]:
    """Return whether the walker is too low, too high or too tilted."""
    return ~((obs[0] > 0.8) & (obs[0] < 2.0) & (jnp.abs(obs[1]) < 1.0))


def ant(obs: Obs) -> Bool[Array, ""]:
    """Return whether the ant is too low or too high."""
    return ~((obs[0] >= 0.2) & (obs[0] <= 1.0))


def humanoid(obs: Obs) -> Bool[Array, ""]:
    """Return whether the humanoid is too low or too high."""
    return ~((obs[0] > 1.0) & (obs[0] < 2.0))


KNOWN: dict[str, Termination] = {
    "never": never,
    "InvertedPendulum": inverted_pendulum,
    "InvertedDoublePendulum": inverted_double_pendulum,
    "Hopper": hopper,
    "Walker2d": walker,
    "Ant": ant,
    "Humanoid": humanoid,
}
LEARNED = "learned"
CHOICES = (LEARNED, *KNOWN)


def termination_named(name: str) -> Termination | None:
    """Return the function of this name; None for 'learned'. Raises UsageError for another one."""
    require_one_of("termination", name, CHOICES)
    return KNOWN.get(name)


def terminated(
    rule: Termination | None, next_obs: Float[Array, "row obs"], log_odds: Float[Array, " row"]
) -> Bool[Array, " row"]:
    """Return where episodes end: by the rule, or where the ensemble finds it more probable than not."""
    return log_odds > 0 if rule is None else jax.vmap(rule)(next_obs)
