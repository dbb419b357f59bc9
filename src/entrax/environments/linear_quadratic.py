"""A linear-quadratic problem as an environment, whose exact soft optimum is known.

    x' = A x + B u + w,  w ~ N(0, W)          r = −xᵀQx − uᵀRu
    x₀ uniform in [−start, start]             every entry of u within ±limit

It never terminates. `entrax.exact.regulator` of `entrax.problems.LinearQuadratic` with the same matrices is its soft
optimum, as long as actions seldom reach the limit. Registered as `entrax/LinearQuadratic-v0`, with at most 20 steps.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float
from numpy.typing import ArrayLike

from entrax.errors import UsageError

State = Float[np.ndarray, " state"]
Action = Float[np.ndarray, " action"]
INTEGRATOR: dict[str, Any] = {"A": [[1.0]], "B": [[1.0]], "Q": [[1.0]], "R": [[1.0]], "W": [[0.2]]}
"""The default: a sum of actions and noise, which should stay at 0."""


class LinearQuadratic(gymnasium.Env[State, Action]):
    """Observes the state x; `info` is empty."""

    def __init__(
        self,
        A: ArrayLike = INTEGRATOR["A"],
        B: ArrayLike = INTEGRATOR["B"],
        Q: ArrayLike = INTEGRATOR["Q"],
        R: ArrayLike = INTEGRATOR["R"],
        W: ArrayLike = INTEGRATOR["W"],
        start: float = 3.0,
        limit: float = 4.0,
        render_mode: str | None = None,
    ):
        """Make the environment.

        Args:
            A: dynamics, shape (n, n).
            B: effect of the actions, shape (n, m).
            Q: cost of states, shape (n, n).
            R: cost of actions, shape (m, m).
            W: covariance of the noise, shape (n, n), positive semi-definite.
            start: half of the side of the box in which episodes start.
            limit: the largest entry of an action.
            render_mode: None; there is nothing to draw.

        Raises:
            UsageError: for matrices whose shapes do not fit, or a `start` or `limit` that is not positive.
        """
        self.A, self.B, self.Q, self.R = (np.array(each, float) for each in (A, B, Q, R))
        noise = np.array(W, float)
        n, m = self.B.shape if self.B.ndim == 2 else (0, 0)
        for name, array, shape in (
            ("A", self.A, (n, n)),
            ("Q", self.Q, (n, n)),
            ("R", self.R, (m, m)),
            ("W", noise, (n, n)),
        ):
            if array.shape != shape or not n:
                raise UsageError(
                    f"`{name}` must have shape {shape} for `B` of shape {self.B.shape}, got {array.shape}."
                )
        if not (start > 0 and limit > 0):
            raise UsageError(f"`start` and `limit` must be above 0, got {start} and {limit}.")
        if render_mode is not None:
            raise UsageError(f"`render_mode` must be None, got {render_mode!r}.")
        eigenvalues, vectors = np.linalg.eigh(noise)
        if not np.allclose(noise, noise.T) or eigenvalues[0] < -1e-12:
            raise UsageError("`W` must be symmetric and positive semi-definite.")
        self.root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
        self.start, self.limit, self.render_mode = float(start), float(limit), render_mode
        self.observation_space = spaces.Box(-np.inf, np.inf, (n,), np.float32)
        self.action_space = spaces.Box(-np.float32(limit), np.float32(limit), (m,), np.float32)
        self.x = np.zeros(n)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[State, dict[str, Any]]:
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-self.start, self.start, len(self.A))
        return self.x.astype(np.float32), {}

    def step(self, action: Action) -> tuple[State, float, bool, bool, dict[str, Any]]:
        """Take one step; never terminates."""
        u = np.asarray(action, float)
        reward = -float(self.x @ self.Q @ self.x + u @ self.R @ u)
        self.x = self.A @ self.x + self.B @ u + self.root @ self.np_random.normal(size=len(self.x))
        return self.x.astype(np.float32), reward, False, False, {}
