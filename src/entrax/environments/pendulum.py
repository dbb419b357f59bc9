"""Gymnasium's Pendulum without its angular velocity: one observation does not tell the state.

What is left is the angle's cosine and sine. The velocity is (θ_t − θ_{t−1}) / 0.05 s, so that a policy needs to
remember the last observation at least. Rewards and dynamics are those of Pendulum-v1.
Registered as `entrax/PendulumNoVelocity-v0`, with at most 200 steps.
"""

import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from jaxtyping import Float


class PendulumNoVelocity(PendulumEnv):
    """Observes cos θ and sin θ, two float32."""

    def __init__(self, render_mode: str | None = None):
        super().__init__(render_mode)
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def _get_obs(self) -> Float[np.ndarray, " 2"]:
        return super()._get_obs()[:2]
