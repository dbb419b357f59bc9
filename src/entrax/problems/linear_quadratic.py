"""Linear dynamics with Gaussian noise, quadratic costs and, if the state is hidden, linear observations.

    x_{t+1} = A x_t + B u_t + d + w_t,   w_t ~ N(0, W),   x_0 ~ N(initial_mean, initial_covariance)            (1)
    y_t = C x_t + v_t,                   v_t ~ N(0, V)                                                          (2)
    cost_t = xᵀQx + 2 xᵀN u + uᵀRu + 2 qᵀx + 2 rᵀu + constant,   reward = −cost                                 (3)
    final cost = xᵀQ_f x + 2 q_fᵀx + constant_f                  after the last of T decisions                  (4)

There is no factor ½. A reference policy π₀(u|x) = N(u; −Kx + k, Σ) defines the KL convention; without one the
convention is that of the (differential) entropy, which may be negative.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from entrax.problems import linear_quadratic_checks as checks
from entrax.problems.linear_quadratic_checks import Entry

Arrays = Float[Array | np.ndarray, "..."]

VARYING = ("A", "B", "Q", "R", "N", "W", "q", "r", "constant", "drift", "C", "V", "prior")
"""The entries of a problem that may change with time."""


class LinearPolicy(eqx.Module):
    """A Gaussian policy π(u|x) = N(u; −Kx + k, Σ), or one for each time.

    Args:
        gain: K, shape (m, n), or (T, m, n) for T decisions.
        offset: k, shape (m,) or (T, m); by default 0.
        covariance: Σ, shape (m, m) or (T, m, m); by default 0, a deterministic policy.
    """

    gain: Arrays
    offset: Arrays
    covariance: Arrays

    def __init__(self, gain: Entry, offset: Entry | None = None, covariance: Entry | None = None):
        self.gain = as_float(gain, 2)
        *time, m, _ = self.gain.shape
        self.offset = np.zeros((*time, m)) if offset is None else as_float(offset, 1)
        self.covariance = np.zeros((*time, m, m)) if covariance is None else as_float(covariance, 2)

    def mean(self, x: Entry) -> Arrays:
        """Return the mean action −Kx + k at the state x."""
        x = x if isinstance(x, jax.Array) else np.asarray(x, float)
        return self.offset - self.gain @ x

    def at(self, t: int) -> "LinearPolicy":
        """Return the policy of decision t; the policy itself if it does not change."""
        over_time = {"gain": 3, "offset": 2, "covariance": 3}
        arrays = {name: getattr(self, name) for name in over_time}
        return LinearPolicy(**{name: a[t] if a.ndim == over_time[name] else a for name, a in arrays.items()})


class LinearQuadratic(eqx.Module):
    """A linear-quadratic problem with n states, m actions and p observations; see equations (1) to (4).

    Every array but the final and initial ones may have a leading axis of length T, one entry for each decision. A
    number stands for an array of size 1. NumPy arrays and lists are stored as float64. JAX arrays are accepted, to
    differentiate with respect to them; their values are checked by `validate` only.

    Args:
        A: dynamics, shape (n, n).
        B: effect of the actions, shape (n, m).
        Q: cost of states, shape (n, n), symmetric.
        R: cost of actions, shape (m, m), symmetric. It may be singular if R + BᵀPB is not.
        N: cost of states times actions, shape (n, m); [[Q, N], [Nᵀ, R]] must be positive semi-definite.
        W: covariance of the noise, shape (n, n); by default 0.
        q: linear cost of states, shape (n,).
        r: linear cost of actions, shape (m,).
        constant: cost of each decision.
        drift: d in the dynamics, shape (n,).
        final_Q: cost of the last state, shape (n, n); by default 0.
        final_q: linear cost of the last state, shape (n,).
        final_constant: cost after the last decision.
        C: observations, shape (p, n); None if the state is observed.
        V: covariance of the observation noise, shape (p, p), positive definite.
        initial_mean: mean of x_0, shape (n,); by default 0.
        initial_covariance: covariance of x_0, shape (n, n); by default 0.
        prior: π₀, with a positive definite covariance; None for the entropy convention.
        discount: γ in [0, 1].
        horizon: T, the number of decisions; by default the length of arrays that change with time, or no limit.

    Raises:
        UsageError: the problem is not valid; the message names the entry.
    """

    A: Arrays
    B: Arrays
    Q: Arrays
    R: Arrays
    N: Arrays
    W: Arrays
    q: Arrays
    r: Arrays
    constant: Arrays
    drift: Arrays
    final_Q: Arrays
    final_q: Arrays
    final_constant: Arrays
    C: Arrays | None
    V: Arrays | None
    initial_mean: Arrays
    initial_covariance: Arrays
    prior: LinearPolicy | None
    discount: Float[Array, ""] | float
    horizon: int | None = eqx.field(static=True)

    def __init__(
        self,
        A: Entry,
        B: Entry,
        Q: Entry,
        R: Entry,
        *,
        N: Entry | None = None,
        W: Entry | None = None,
        q: Entry | None = None,
        r: Entry | None = None,
        constant: Entry = 0.0,
        drift: Entry | None = None,
        final_Q: Entry | None = None,
        final_q: Entry | None = None,
        final_constant: Entry = 0.0,
        C: Entry | None = None,
        V: Entry | None = None,
        initial_mean: Entry | None = None,
        initial_covariance: Entry | None = None,
        prior: LinearPolicy | None = None,
        discount: Float[Array, ""] | float | int = 1.0,
        horizon: int | None = None,
    ):
        self.A, self.B = as_float(A, 2), as_float(B, 2)
        n, m = checks.sizes(self.A, self.B)
        self.Q, self.R = as_float(Q, 2), as_float(R, 2)
        self.N, self.W = _given(N, (n, m)), _given(W, (n, n))
        self.q, self.r, self.drift = _given(q, (n,)), _given(r, (m,)), _given(drift, (n,))
        self.constant, self.final_constant = as_float(constant, 0), as_float(final_constant, 0)
        self.final_Q, self.final_q = _given(final_Q, (n, n)), _given(final_q, (n,))
        self.C, self.V = (None if a is None else as_float(a, 2) for a in (C, V))
        self.initial_mean, self.initial_covariance = _given(initial_mean, (n,)), _given(initial_covariance, (n, n))
        self.prior = prior
        self.discount = discount if isinstance(discount, jax.Array) else float(discount)
        self.horizon = checks.decisions(self, horizon)

    def __check_init__(self) -> None:
        checks.check(self)

    def validate(self) -> None:
        """Check the values of all arrays, including JAX arrays.

        Not for use inside a JAX transformation.

        Raises:
            UsageError: the problem is not valid.
        """
        checks.check_values(self)

    @property
    def states(self) -> int:
        """n, the size of a state."""
        return self.A.shape[-1]

    @property
    def actions(self) -> int:
        """m, the size of an action."""
        return self.B.shape[-1]

    @property
    def observations(self) -> int:
        """p, the size of an observation; 0 if the state is observed."""
        return 0 if self.C is None else self.C.shape[-2]

    @property
    def varying(self) -> dict[str, Any]:
        """The entries that change with time, by name."""
        given = {name: checks.over_time(self, name) for name in VARYING}
        return {name: entry for name, entry in given.items() if entry is not None}

    def with_entries(self, entries: Mapping[str, Any]) -> "LinearQuadratic":
        """Return the problem of one decision, given its slice of each entry of `varying`."""
        return replace(self, **entries, horizon=None)

    def at(self, t: int) -> "LinearQuadratic":
        """Return the problem of decision t, without a horizon.

        Raises:
            UsageError: t is not a decision of this problem.
        """
        checks.check_decision(t, self.horizon)
        return self.with_entries(jax.tree.map(lambda a: a[t], self.varying))

    @classmethod
    def from_function(cls, dynamics: Any, x: Entry, u: Entry, **options: Any) -> "LinearQuadratic":
        """Linearise JAX dynamics, and expand a cost to second order; see `linearise.from_function`."""
        from entrax.problems import linearise

        return cls(**linearise.from_function(dynamics, x, u, **options))

    @classmethod
    def from_mujoco(cls, env: Any, **options: Any) -> "LinearQuadratic":
        """Linearise a Gymnasium MuJoCo environment; see `linearise_mujoco.from_mujoco`."""
        from entrax.problems import linearise_mujoco

        return cls(**linearise_mujoco.from_mujoco(env, **options))


def as_float(given: Entry, axes: int) -> Any:
    """Return float64 NumPy, or the JAX array; a number becomes an array of size 1."""
    array: Any = given if isinstance(given, jax.Array) else checks.numbers(given)
    return array.reshape((1,) * axes) if array.ndim == 0 else array


def _given(array: Entry | None, shape: tuple[int, ...]) -> Any:
    return np.zeros(shape) if array is None else as_float(array, len(shape))
