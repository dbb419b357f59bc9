"""Swing a pendulum up by path integral control, without training.

    python examples/swing_up.py

Prints, for each temperature and seed, the cost of 100 greedy decisions, the least and the mean effective number of the
256 samples, and how far from upright the pendulum ends. Takes about a minute.
"""

import jax
import jax.numpy as jnp
import jax.random as jr

from entrax.planning import Lookahead, PathIntegral, model_of
from entrax.policies.controller import FINISHED

STEPS = 100
START = jnp.array([3.1, 0.0])  # angle from upright, in radians, and velocity


def step(x: jax.Array, u: jax.Array) -> jax.Array:
    """Return the state after 0.05 s of a full torque times u, in [-1, 1]."""
    velocity = jnp.clip(x[1] + (15 * jnp.sin(x[0]) + 6 * u[0]) * 0.05, -8, 8)
    return jnp.stack([x[0] + 0.05 * velocity, velocity])


def away(x: jax.Array) -> jax.Array:
    """Return the angle from upright, in [-π, π]."""
    return (x[0] + jnp.pi) % (2 * jnp.pi) - jnp.pi


def cost(x: jax.Array, u: jax.Array) -> jax.Array:
    """Return the cost of a step of Gymnasium's Pendulum."""
    return away(x) ** 2 + 0.1 * x[1] ** 2 + 0.004 * u[0] ** 2


def main() -> None:
    """Print a line for each temperature and seed."""
    lookahead = Lookahead(model_of(step, cost), action_size=1, horizon=20)
    for temperature in (0.1, 3.0, 10.0):
        planner = PathIntegral(lookahead, temperature, std=0.7, samples=256)
        act = jax.jit(lambda carry, x, key, planner=planner: planner.act(carry, x, FINISHED, key, True))
        for seed in range(3):
            x, carry, total, samples = START, planner.initial_carry(), 0.0, []
            for t in range(STEPS):
                action, carry, info = act(carry, x, jr.fold_in(jr.key(seed), t))
                samples.append(float(info["effective_samples"]))
                total += float(cost(x, action))
                x = step(x, action)
            print(
                f"temperature {temperature:4}  seed {seed}  cost {total:.0f}  effective samples {min(samples):.1f} to"
                f" {max(samples):.0f}, mean {sum(samples) / STEPS:.0f}  ends {abs(float(away(x))):.2f} from upright"
            )


if __name__ == "__main__":
    main()
