"""Measure the bias of soft Q-learning's estimate of V, in temperatures.

It depends on action dimensions and draws. The sampler draws exactly from the policy of a Q whose value is known: u = Lξ
is normal, so that Q(tanh u)/α = -|ξ|²/2 - Σ log(1 - tanh² u) and V/α = d log(2π)/2 + log det L. The remaining error is
that of equation 10 from M draws. L is diagonal, or rotates axes with deviations from 0.3 to 1, the harder case for a
mixture along the axes. Prints one JSON object: for each case a row for each dimension, with a number for each M.
"""

import json
import math

import jax
import jax.numpy as jnp
import jax.random as jr

from entrax.agents import soft_q
from entrax.nets.distributions import log_det_tanh
from entrax.spec import Continuous, Leaf, Spec

REPLICATES = 400
DRAWS = (16, 32, 64, 128, 256)


class Normal(soft_q.Sampler):
    """A sampler whose draws are Lξ."""

    scale: jax.Array

    def __init__(self, size: int, scale: jax.Array):
        super().__init__(1, size, (8, 8), jr.key(0))
        self.scale = scale

    def draw(self, obs, count, key):
        return jr.normal(key, (count, self.size)) @ self.scale.T


def scale_of(size: int, rotated: bool) -> jax.Array:
    """L."""
    if not rotated:
        return jnp.eye(size)
    rotation, _ = jnp.linalg.qr(jr.normal(jr.key(1), (size, size)))
    return rotation * jnp.linspace(0.3, 1.0, size)


def bias(size: int, draws: int | None, rotated: bool) -> float:
    """(V - E V̂)/α; None draws are the agent's default."""
    low, high = (-1.0,) * size, (1.0,) * size
    spec = Spec((Leaf("obs", (1,), "float32", 1, (-1.0,), (1.0,)),), Continuous((size,), "float32", low, high))
    config = soft_q.resolve(soft_q.Config(value_particles=draws, temperature=1.0), spec)

    scale = scale_of(size, rotated)

    def q(obs, action):
        u = jnp.arctanh(jnp.clip(action, -1 + 1e-7, 1 - 1e-7))
        return (-0.5 * jnp.sum(jnp.linalg.solve(scale, u) ** 2) - jnp.sum(log_det_tanh(u)))[None]

    sampler = Normal(size, scale)
    keys = jr.split(jr.key(0), REPLICATES)
    values = jax.jit(jax.lax.map, static_argnums=0)(
        lambda key: soft_q.soft_value(config, sampler, q, jnp.zeros(1), key)[0], keys
    )
    exact = size * math.log(2 * math.pi) / 2 + jnp.linalg.slogdet(scale)[1]
    return float(exact - jnp.mean(values))


def main() -> None:
    """Measure all cases."""
    sizes = (1, 2, 3, 4, 6, 8, 12, 17)
    results = {
        case: {size: {str(m): round(bias(size, m, case == "rotated"), 3) for m in (None, *DRAWS)} for size in sizes}
        for case in ("along the axes", "rotated")
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
