"""Newton's method for penalised objectives of few weights that may be unidentified, infeasible or not concave.

    maximise F(θ) − ½ Σ_k l2_k (θ_k − centre_k)² − Σ_k l1_k |θ_k|                                              (1)

A step maximises the quadratic model of (1) with the absolute values of the curvature's eigenvalues, so that it is an
ascent direction also where F is not concave. With l1 the model keeps its corners and is maximised by coordinate descent
(proximal Newton). Directions that `spread` shows to be unidentified are excluded, unless a penalty determines them.
Steps are halved until the objective rises; −∞ means that the weights are infeasible.

References:
    Lee, Sun and Saunders (2014), Proximal Newton-type methods for minimizing composite functions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from entrax.inverse.sensitivity import Derivatives

Vector = Float[np.ndarray, " feature"]
Matrix = Float[np.ndarray, "feature feature"]
Basis = Float[np.ndarray, "feature direction"]
Directions = Float[np.ndarray, "direction feature"]

NULL = 1e-12  # of the largest eigenvalue of the scaled spread: directions below it are unidentified
_LONGEST = 5.0  # the most that a step changes log-odds, in the root mean square over demonstrated decisions
_HALVINGS = 40
_CYCLES = 500  # of coordinate descent
_ROUNDING = 1e-12  # of the objective


class Penalty(NamedTuple):
    """The penalties of equation (1), each with one number for each weight."""

    l1: Vector
    l2: Vector
    centre: Vector

    @property
    def none(self) -> bool:
        return not (self.l1.any() or self.l2.any())

    def __call__(self, theta: Vector) -> float:
        return float(np.sum(self.l2 * (theta - self.centre) ** 2) / 2 + np.sum(self.l1 * np.abs(theta)))


class Maximum(NamedTuple):
    """The result of `maximise`.

    Attributes:
        theta: the weights.
        derivatives: of F at the weights.
        payload: what `evaluate` returned with them.
        decrement: the length of the last Newton step, in standard errors.
        converged: whether the decrement met the tolerance.
        iterations: the number of steps.
    """

    theta: Vector
    derivatives: Derivatives
    payload: Any
    decrement: float
    converged: bool
    iterations: int


Evaluate = Callable[[Vector, Any], tuple[float, Any]]
Differentiate = Callable[[Any], Derivatives]


def maximise(
    evaluate: Evaluate,
    differentiate: Differentiate,
    start: Vector,
    payload: Any,
    scale: Vector,
    penalty: Penalty,
    decisions: float,
    tolerance: float,
    max_iterations: int,
    hopeless: Callable[[Derivatives], bool] = lambda at: False,
) -> Maximum:
    """Maximise (1) from feasible weights.

    Args:
        evaluate: returns F of weights and a payload, given a payload of nearby weights. F is −∞ if infeasible.
        differentiate: returns the derivatives of F at the weights of a payload.
        start: the initial weights.
        payload: that of the initial weights.
        scale: a size above 0 of each feature.
        penalty: l1, l2 and centre.
        decisions: the number of demonstrated decisions.
        tolerance: the largest decrement.
        max_iterations: the most steps.
        hopeless: whether to stop at these derivatives.
    """
    theta, (value, payload) = start, evaluate(start, payload)
    value -= penalty(theta)
    iterations = 0
    while True:
        at = differentiate(payload)
        step, decrement = newton_step(at, theta, scale, penalty)
        if decrement <= tolerance or iterations == max_iterations or hopeless(at):
            break
        change = np.sqrt(max(0.0, step @ at.spread @ step) / decisions)
        size = min(1.0, _LONGEST / change) if change > 0 else 1.0
        found = _rising(evaluate, penalty, (theta, value, payload), step, size, decrement)
        if found is None:
            break
        theta, value, payload = found
        iterations += 1
    return Maximum(
        theta=theta,
        derivatives=at,
        payload=payload,
        decrement=float(decrement),
        converged=bool(decrement <= tolerance),
        iterations=iterations,
    )


def _rising(
    evaluate: Evaluate,
    penalty: Penalty,
    now: tuple[Vector, float, Any],
    step: Vector,
    size: float,
    decrement: float,
) -> tuple[Vector, float, Any] | None:
    """Return weights along the step at which the objective has risen, or None."""
    theta, value, payload = now
    for _ in range(_HALVINGS):
        candidate = theta + size * step
        after, new = evaluate(candidate, payload)
        after -= penalty(candidate)
        if after >= value + 1e-4 * size * decrement**2 - _ROUNDING * (1 + abs(value)):
            return candidate, after, new
        size /= 2
    return None


def newton_step(at: Derivatives, theta: Vector, scale: Vector, penalty: Penalty) -> tuple[Vector, float]:
    """Return the step to the maximum of the quadratic model, and its length in standard errors."""
    gradient = at.gradient - penalty.l2 * (theta - penalty.centre)
    basis = identified_directions(at.spread, scale) if penalty.none else np.diag(1 / scale)
    curvature = basis.T @ (np.diag(penalty.l2) - at.hessian) @ basis
    size, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    size = np.maximum(np.abs(size), max(1e-14 * np.max(np.abs(size), initial=0.0), 1e-300))
    if not penalty.l1.any():
        along = vectors.T @ (basis.T @ gradient)
        return basis @ (vectors @ (along / size)), float(np.sqrt(np.sum(along**2 / size)))
    model = (vectors * size) @ vectors.T * scale[:, None] * scale
    step = _proximal_step(gradient, model, theta, penalty.l1)
    return step, float(np.sqrt(max(0.0, step @ model @ step)))


def identified_directions(spread: Matrix, scale: Vector) -> Basis:
    """Return a basis, in its columns, of the directions that change some demonstrated policy."""
    size, vectors = np.linalg.eigh(spread / scale[:, None] / scale)
    return vectors[:, size > NULL * np.max(size, initial=0.0)] / scale[:, None]


def unidentified_directions(spread: Matrix, scale: Vector) -> Directions:
    """Return orthonormal directions, in rows, that change no demonstrated policy."""
    size, vectors = np.linalg.eigh(spread / scale[:, None] / scale)
    null = vectors[:, size <= NULL * np.max(size, initial=0.0)] / scale[:, None]
    if null.shape[1] == 0:
        return np.zeros((0, len(scale)))
    directions = np.linalg.qr(null)[0].T
    largest = directions[np.arange(len(directions)), np.abs(directions).argmax(1)]
    return np.asarray(directions * np.sign(largest)[:, None])


def _proximal_step(gradient: Vector, curvature: Matrix, theta: Vector, l1: Vector) -> Vector:
    """Return d that maximises gᵀd − ½ dᵀ C d − Σ l1 |θ + d|, by coordinate descent."""
    step, product = np.zeros_like(theta), np.zeros_like(theta)
    for _ in range(_CYCLES):
        moved = 0.0
        for k in range(len(theta)):
            c = max(curvature[k, k], 1e-300)
            free = theta[k] + step[k] + (gradient[k] - product[k]) / c
            new = np.sign(free) * max(abs(free) - l1[k] / c, 0.0) - theta[k]
            change = new - step[k]
            if change:
                product += change * curvature[:, k]
                step[k] = new
                moved = max(moved, change**2 * c)
        if moved <= 1e-24:
            break
    return step
