"""Fitted Q-iteration: value iteration with a regressor on a data set.

    y_i = r_i + γ (1 − terminated_i) α log Σ_a π₀(a) exp(Q_k(s'_i, a)/α),      Q_{k+1} = regression of y on (s, a)   (1)

The data may come from any policy. With a table as the regressor, (1) is value iteration on the model estimated from the
data. With any other regressor, (1) is a contraction followed by a projection, which need not be a contraction. The
limit may be far from the best function that the regressor can represent, or may not exist even if the regressor can
represent the truth; `counterexamples` has an example of each. Therefore `residual` does not bound the distance to Q*,
and there is no error bound.

`entrax.transitions` reads data from the replay of a run or from a Minari data set.

References:
    Ernst, Geurts and Wehenkel (2005), Tree-based batch mode reinforcement learning, for temperature 0.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, ScalarLike

from entrax.errors import UsageError
from entrax.soft import soft_max, soft_policy
from entrax.spec import Transition

Inputs = Float[np.ndarray, "sample input"]
Encode = Callable[[np.ndarray, Int[np.ndarray, " sample"]], Inputs]

DIVERGED = 1e6  # |Q| this many times above the largest possible return has diverged


@runtime_checkable
class Regressor(Protocol):
    """scikit-learn's interface of a regressor; each `fit` replaces the previous one."""

    def fit(self, X: Inputs, y: Float[np.ndarray, " sample"]) -> Any:
        """Fit y as a function of the rows of X."""

    def predict(self, X: Inputs) -> Float[np.ndarray, " sample"]:
        """Return predictions for the rows of X."""


class FittedQ(NamedTuple):
    """The result of fitted Q-iteration.

    Attributes:
        regressor: the fitted regressor.
        encode: maps observations and actions to the regressor's inputs.
        actions: A.
        temperature: α, in units of reward.
        prior: weights of π₀; None for the entropy convention.
        status: 'converged', 'diverged', or 'iterations' if the maximum was reached.
        iterations: the number of iterations.
        residual: the largest change of a prediction on the data in the last iteration.
        scale: the largest |Q| on the data.
        history: `residual` and `scale` of every iteration.
    """

    regressor: Regressor
    encode: Encode
    actions: int
    temperature: float
    prior: Float[np.ndarray, " action"] | None
    status: str
    iterations: int
    residual: float
    scale: float
    history: Float[np.ndarray, "iteration 2"]

    def q(self, obs: np.ndarray) -> Float[np.ndarray, "sample action"]:
        """Return Q(s, ·) for a batch of observations."""
        return predictions(self.regressor, inputs_of_all(self.encode, np.asarray(obs), self.actions))

    def value(self, obs: np.ndarray) -> Float[np.ndarray, " sample"]:
        """Return the soft value for a batch of observations."""
        return soft_values(self.q(obs), self.temperature, self.prior)

    def policy(self, obs: np.ndarray) -> Float[np.ndarray, "sample action"]:
        """Return the soft policy for a batch of observations."""
        return np.asarray(jax.vmap(lambda q: soft_policy(q, self.temperature, self.prior))(jnp.asarray(self.q(obs))))


def fitted_q_iteration(
    data: Transition,
    regressor: Regressor,
    *,
    actions: int,
    discount: float,
    temperature: float = 0.0,
    prior: Float[np.ndarray, " action"] | None = None,
    encode: Encode | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-6,
) -> FittedQ:
    """Iterate equation (1) from Q_0 = 0 until predictions on the data converge.

    Args:
        data: the transitions. `obs` has samples as its first axis; `action` holds indices below `actions`. Only
            `terminated` stops bootstrapping.
        regressor: fitted in place.
        actions: A.
        discount: γ in [0, 1].
        temperature: α ≥ 0, in units of reward.
        prior: weights ≥ 0 of π₀ (the KL convention); None for the entropy convention.
        encode: maps observations and actions to the regressor's inputs; by default `one_hot_actions`.
        iterations: the most iterations.
        tolerance: the largest change of a prediction on the data at convergence, in units of reward.

    Returns:
        The result. Its status is 'diverged' if |Q| exceeds 10⁶ times the largest possible return or is not finite.

    Raises:
        UsageError: the data or numbers are not valid.
    """
    check(data, actions, discount, temperature)
    encode = one_hot_actions(actions) if encode is None else encode
    limit = DIVERGED * largest_return(np.asarray(data.reward, float), discount, temperature, actions)
    history: list[tuple[float, float]] = []
    status = "iterations"
    for change, scale in _iterations(data, regressor, encode, actions, discount, temperature, prior):
        history.append((change, scale))
        if not scale <= limit:
            status = "diverged"
        elif change <= tolerance:
            status = "converged"
        if status != "iterations" or len(history) == iterations:
            break
    return FittedQ(
        regressor=regressor,
        encode=encode,
        actions=actions,
        temperature=temperature,
        prior=prior,
        status=status,
        iterations=len(history),
        residual=history[-1][0],
        scale=history[-1][1],
        history=np.array(history),
    )


def _iterations(
    data: Transition,
    regressor: Regressor,
    encode: Encode,
    actions: int,
    discount: float,
    temperature: float,
    prior: Float[np.ndarray, " action"] | None,
) -> Iterator[tuple[float, float]]:
    """Fit repeatedly; yield each fit's largest change of a prediction and largest |Q|."""
    inputs = encode(np.asarray(data.obs), np.asarray(data.action))
    next_inputs = inputs_of_all(encode, np.asarray(data.next_obs), actions)
    reward, alive = np.asarray(data.reward, float), ~np.asarray(data.terminated)
    next_value, before = np.zeros(len(reward)), np.zeros(len(reward))
    while True:
        regressor.fit(inputs, reward + discount * np.where(alive, next_value, 0))
        predicted = np.asarray(regressor.predict(inputs), float)
        yield float(np.max(np.abs(predicted - before))), float(np.max(np.abs(predicted)))
        before = predicted
        next_value = soft_values(predictions(regressor, next_inputs), temperature, prior)


def one_hot_actions(actions: int) -> Encode:
    """Encode as the flattened observation followed by the one-hot action."""

    def encode(obs: np.ndarray, action: Int[np.ndarray, " sample"]) -> Inputs:
        return np.concatenate([np.asarray(obs, float).reshape(len(obs), -1), np.eye(actions)[action]], axis=1)

    return encode


def one_hot_pairs(states: int, actions: int) -> Encode:
    """Encode as the one-hot (state, action), for observations that are state indices.

    With `LeastSquares` this is a table.
    """

    def encode(obs: np.ndarray, action: Int[np.ndarray, " sample"]) -> Inputs:
        return np.eye(states * actions)[np.asarray(obs) * actions + action]

    return encode


class LeastSquares:
    """Linear regression without an intercept, by the pseudo-inverse.

    Inputs that are 0 in all samples get weight 0. The pseudo-inverse is reused while the inputs stay the same, as they
    do in fitted Q-iteration.
    """

    def __init__(self) -> None:
        self.weight: Float[np.ndarray, " input"] = np.zeros(0)
        self._inputs: Inputs = np.zeros((0, 0))
        self._inverse: Float[np.ndarray, "input sample"] = np.zeros((0, 0))

    def fit(self, X: Inputs, y: Float[np.ndarray, " sample"]) -> "LeastSquares":
        """Fit the weights of least squared error and, among these, of least norm."""
        if not np.array_equal(X, self._inputs):
            self._inputs, self._inverse = np.array(X), np.linalg.pinv(X)
        self.weight = self._inverse @ y
        return self

    def predict(self, X: Inputs) -> Float[np.ndarray, " sample"]:
        """Return X times the weights."""
        return X @ self.weight


def inputs_of_all(encode: Encode, obs: np.ndarray, actions: int) -> list[Inputs]:
    """Return the regressor's inputs for every action in turn."""
    return [encode(obs, np.full(len(obs), action)) for action in range(actions)]


def predictions(regressor: Regressor, inputs: list[Inputs]) -> Float[np.ndarray, "sample action"]:
    """Predict Q, with one call of `predict` for each action."""
    return np.stack([np.asarray(regressor.predict(each), float) for each in inputs], axis=1)


def soft_values(
    q: Float[np.ndarray, "sample action"], temperature: float, prior: Float[np.ndarray, " action"] | None
) -> Float[np.ndarray, " sample"]:
    """Return the soft maximum of each row."""
    return np.asarray(_soft_values(jnp.asarray(q), temperature, prior), float)


@jax.jit
def _soft_values(q: jax.Array, temperature: ScalarLike, prior: jax.Array | None) -> jax.Array:
    return jax.vmap(lambda row: soft_max(row, temperature, prior))(q)


def largest_return(reward: Float[np.ndarray, " sample"], discount: float, temperature: float, actions: int) -> float:
    """Return a bound on |Q|: the largest reward and entropy for at most 10⁶ steps."""
    steps = 1 / max(1 - discount, 1e-6)
    return max(1.0, float(np.max(np.abs(reward))) + temperature * float(np.log(actions))) * steps


def check(data: Transition, actions: int, discount: float, temperature: float) -> None:
    """Raise UsageError unless the data and numbers are valid."""
    action = np.asarray(data.action)
    lengths = {len(np.asarray(part)) for part in data.fields().values()}
    if len(lengths) != 1 or lengths == {0}:
        raise UsageError(
            f"All arrays of `data` must have the same number of transitions, at least one, got {sorted(lengths)}."
        )
    if action.ndim != 1 or action.dtype.kind not in "iu" or action.min() < 0 or action.max() >= actions:
        raise UsageError(f"Actions of `data` must be integers from 0 to {actions - 1}.")
    if not 0 <= discount <= 1:
        raise UsageError(f"`discount` must lie in [0, 1], got {discount}.")
    if temperature < 0:
        raise UsageError(f"`temperature` must be at least 0, got {temperature}.")
