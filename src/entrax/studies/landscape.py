"""The soft Q-function of one state over two-dimensional actions, and the policy drawn over it, along training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from entrax.agents.soft_q import lowest_q
from entrax.training.run import Run
from entrax.training.source_checkpoint import load_source_checkpoint

SIDE = 25  # points along each axis of the action
ANGLES = 121  # directions of full force
DRAWS = 300


class Landscape(NamedTuple):
    """Q(s, ·)/α of one policy, and draws of its sampler.

    `q` is over the unit box, `around` over the directions `angles()` at full force, both relative to the largest value
    of the box. `gap` is the largest value of actions to the left minus that of actions to the right.
    """

    step: int
    q: Float[np.ndarray, "x y"]
    around: Float[np.ndarray, " angle"]
    draws: Float[np.ndarray, "draw 2"]
    gap: float


def angles() -> Float[np.ndarray, " angle"]:
    """Return directions in radians from +y, positive towards +x."""
    return np.linspace(-np.pi, np.pi, ANGLES)


def landscape(run: Run, obs: Float[np.ndarray, " obs"]) -> Landscape:
    """Return Q(s, ·)/α of a policy of `soft-q` in the state with this observation."""
    source = load_source_checkpoint(run.path, run.checkpoint, None)
    unit, alpha = float(source.config.temperature), source.temperature
    assert alpha is not None
    policy, scaled = run.controller.policy, run.controller.scaling(jnp.asarray(obs, jnp.float32))
    axis = np.linspace(-1.0, 1.0, SIDE)
    box = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    circle = np.stack([np.sin(angles()), np.cos(angles())], axis=-1)
    actions = jnp.asarray(np.concatenate([box, circle]), jnp.float32)
    values = np.asarray(lowest_q(policy.critics, scaled, actions), float) * unit / alpha
    inside = values[: len(box)].reshape(SIDE, SIDE)
    middle = SIDE // 2
    return Landscape(
        step=source.meta["step"],
        q=inside - inside.max(),
        around=values[len(box) :] - inside.max(),
        draws=np.asarray(jnp.tanh(policy.sampler.draw(scaled, DRAWS, jax.random.key(0))), float),
        gap=float(inside[:middle].max() - inside[middle + 1 :].max()),
    )


def as_film(frames: Sequence[Landscape]) -> dict[str, Any]:
    """Return landscapes along training as plain data, rounded."""
    return {
        "steps": [each.step for each in frames],
        "q": [np.round(each.q, 2) for each in frames],
        "angles": np.round(angles(), 3),
        "around": [np.round(each.around, 2) for each in frames],
        "draws": [np.round(each.draws, 2) for each in frames],
    }
