"""Linear-quadratic problems near a point or a trajectory of a JAX function.

With x = x̄ + δx and u = ū + δu, dynamics f and cost l become, to first and second order,

    δx_{t+1} = A δx + B δu + d,   A = ∂f/∂x,  B = ∂f/∂u,  d = f(x̄_t, ū_t) − x̄_{t+1}
    l ≈ l(x̄, ū) + ∇lᵀδ + ½ δᵀ∇²l δ,   δ = (δx, δu)

so that [[Q, N], [Nᵀ, R]] = ½∇²l and (q, r) = ½∇l. States and actions of the problem are these deviations.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from entrax.errors import UsageError, require_one_of

CURVATURES = ("error", "project")


def from_function(
    dynamics: Callable[[Array, Array], Array],
    x: ArrayLike,
    u: ArrayLike,
    *,
    cost: Callable[[Array, Array], Any] | None = None,
    final_cost: Callable[[Array], Any] | None = None,
    curvature: str = "error",
    **options: Any,
) -> dict[str, Any]:
    """Return the entries of the problem near a point, or near a trajectory.

    Args:
        dynamics: x' = f(x, u), made of JAX operations.
        x: the point, shape (n,); or the states of a trajectory, shape (T + 1, n).
        u: the action at the point, shape (m,); or the actions of the trajectory, shape (T, m).
        cost: l(x, u), expanded to second order; by default `Q`, `R` and others are taken from `options`.
        final_cost: the cost of the last state.
        curvature: what happens to a cost whose second derivatives have negative eigenvalues: 'error', or 'project' to
            set them to 0.
        **options: further arguments of `LinearQuadratic`.

    Raises:
        UsageError: shapes do not fit, an entry is given twice, or a result is not finite.
    """
    require_one_of("curvature", curvature, CURVATURES)
    with jax.enable_x64(True):
        x, u = jnp.asarray(x, jnp.float64), jnp.asarray(u, jnp.float64)
        entries = expanded(dynamics, x, u, cost, final_cost, curvature == "project")
    if twice := sorted(entries.keys() & options.keys()):
        raise UsageError(f"`{twice[0]}` must not be given, because the functions determine it.")
    if cost is None and not {"Q", "R"} <= options.keys():
        raise UsageError("Give `cost`, a function of x and u, or the matrices `Q` and `R`.")
    return {name: np.asarray(entry, float) for name, entry in entries.items()} | options


def expanded(
    dynamics: Callable[[Array, Array], Array],
    x: Array,
    u: Array,
    cost: Callable[[Array, Array], Any] | None,
    final_cost: Callable[[Array], Any] | None,
    project: bool,
) -> dict[str, Array]:
    """Return the entries that the functions determine, as JAX arrays; may be traced.

    Arguments as for `from_function`. If `project`, negative eigenvalues of second derivatives of costs become 0.
    """
    entries = _dynamics(dynamics, x, u)
    if cost is not None:
        entries |= _cost(cost, x, u, project)
    if final_cost is not None:
        entries |= _final_cost(final_cost, x[-1] if x.ndim == 2 else x, project)
    return entries


def _dynamics(f: Callable[[Array, Array], Array], x: Array, u: Array) -> dict[str, Array]:
    point = x.ndim == u.ndim == 1
    if not point and not (x.ndim == u.ndim == 2 and len(x) == len(u) + 1):
        raise UsageError(
            "`x` and `u` must be one state and one action, or T + 1 states and T actions, "
            f"got shapes {x.shape} and {u.shape}."
        )
    state = jax.eval_shape(f, *((x, u) if point else (x[0], u[0])))
    if state.shape != x.shape[-1:]:
        raise UsageError(f"`dynamics` must return a state of shape {x.shape[-1:]}, got shape {state.shape}.")
    if point:
        a, b = jax.jacfwd(f, (0, 1))(x, u)
        return {"A": a, "B": b, "drift": f(x, u) - x}
    a, b = jax.vmap(jax.jacfwd(f, (0, 1)))(x[:-1], u)
    return {"A": a, "B": b, "drift": jax.vmap(f)(x[:-1], u) - x[1:]}


def _cost(cost: Callable[[Array, Array], Any], x: Array, u: Array, project: bool) -> dict[str, Array]:
    n = x.shape[-1]

    def joint(z: Array) -> Array:
        return jnp.asarray(cost(z[:n], z[n:]), float)

    value, slope, half = _expanded(joint, jnp.concatenate([x if x.ndim == 1 else x[:-1], u], -1), project)
    return {
        "Q": half[..., :n, :n],
        "N": half[..., :n, n:],
        "R": half[..., n:, n:],
        "q": slope[..., :n],
        "r": slope[..., n:],
        "constant": value,
    }


def _final_cost(cost: Callable[[Array], Any], x: Array, project: bool) -> dict[str, Array]:
    value, slope, half = _expanded(lambda x: jnp.asarray(cost(x), float), x, project)
    return {"final_Q": half, "final_q": slope, "final_constant": value}


def _expanded(f: Callable[[Array], Array], z: Array, project: bool) -> tuple[Array, Array, Array]:
    """Return f, ½∇f and ½∇²f at a point, or at each of several points."""

    def expand(z: Array) -> tuple[Array, Array, Array]:
        half = jax.hessian(f)(z) / 2
        return f(z), jax.grad(f)(z) / 2, (half + half.T) / 2

    shape = jax.eval_shape(f, z if z.ndim == 1 else z[0]).shape
    if shape != ():
        raise UsageError(f"A cost must return one number, got shape {shape}.")
    value, slope, half = expand(z) if z.ndim == 1 else jax.vmap(expand)(z)
    if project:
        eigenvalues, vectors = jnp.linalg.eigh(half)
        half = (vectors * jnp.maximum(eigenvalues, 0)[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)
        half = (half + jnp.swapaxes(half, -1, -2)) / 2
    return value, slope, half
