"""Fitted Q-iteration, hard and soft: value iteration through a regressor, on a fixed set of transitions.

    y_i = r_i + γ (1 − terminated_i) α log Σ_a π₀(a) exp(Q_k(s'_i, a)/α),      Q_{k+1} = regression of y on (s, a)   (1)

Temperature 0 is Ernst, Geurts and Wehenkel (2005). The data may come from any policy: nothing in (1) asks. With a
table as the regressor it is value iteration on the model that the data estimate. With any other, (1) composes a
contraction with a projection, and that composition need not contract: the limit may be far from the best function
that the regressor can represent, or not exist even where the regressor can represent the truth. `counterexamples` has
one of each. So `residual` certifies nothing about the distance to Q*, and no error bound is given.

The replay of a run, or a Minari data set, is such data too: `entrax.transitions` reads it.
"""

from collections.abc import Callable
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


@runtime_checkable
class Regressor(Protocol):
    """scikit-learn's interface. `fit` starts anew, as it does there; a network qualifies by the same two methods."""

    def fit(self, X: Inputs, y: Float[np.ndarray, " sample"]) -> Any:
        """Learn y from the rows of X."""

    def predict(self, X: Inputs) -> Float[np.ndarray, " sample"]:
        """What was learned, for the rows of X."""


class FittedQ(NamedTuple):
    """What fitted Q-iteration came to. `status` is 'converged', 'diverged' or 'iterations' if they ran out.

    `residual` is the largest change of a prediction on the data in the last iteration, `scale` the largest |Q| there;
    `history` holds both for every iteration, shape (iterations, 2).
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
        """Q(s, ·) for a batch of observations."""
        return predictions(self.regressor, inputs_of_all(self.encode, np.asarray(obs), self.actions))

    def value(self, obs: np.ndarray) -> Float[np.ndarray, " sample"]:
        """The soft value at the temperature."""
        return soft_values(self.q(obs), self.temperature, self.prior)

    def policy(self, obs: np.ndarray) -> Float[np.ndarray, "sample action"]:
        """The soft policy at the temperature; the best actions share at 0."""
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
    """Equation (1) from Q_0 = 0 until a prediction on the data changes by at most `tolerance`.

    `data.obs` is any array with a first axis of samples; `data.action` has indices below `actions`. `encode(obs,
    action)` makes the regressor's inputs: by default the flattened observation beside the action in one-hot form.
    Only `terminated` stops the bootstrap. `prior` holds weights of π₀ (the KL convention); without it actions are
    counted. It has diverged when |Q| exceeds by 10⁶ what any policy can earn, or stops being finite.
    `regressor` is fitted in place. Raises EntraxError for data, or numbers, that make no sense.
    """
    check(data, actions, discount, temperature)
    encode = one_hot_actions(actions) if encode is None else encode
    inputs = encode(np.asarray(data.obs), np.asarray(data.action))
    following = inputs_of_all(encode, np.asarray(data.next_obs), actions)
    reward, alive = np.asarray(data.reward, float), ~np.asarray(data.terminated)
    next_value, before = np.zeros(len(reward)), np.zeros(len(reward))
    limit = 1e6 * most_to_earn(reward, discount, temperature, actions)
    history: list[tuple[float, float]] = []
    status = "iterations"
    while status == "iterations" and len(history) < iterations:
        regressor.fit(inputs, reward + discount * np.where(alive, next_value, 0))
        predicted = np.asarray(regressor.predict(inputs), float)
        history.append((float(np.max(np.abs(predicted - before))), float(np.max(np.abs(predicted)))))
        if not history[-1][1] <= limit:
            status = "diverged"
        elif history[-1][0] <= tolerance:
            status = "converged"
        before = predicted
        q = predictions(regressor, following)
        next_value = soft_values(q, temperature, prior)
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


def one_hot_actions(actions: int) -> Encode:
    """Inputs (observation, one-hot action), the observation flattened; an index of a state counts as one number."""

    def encode(obs: np.ndarray, action: Int[np.ndarray, " sample"]) -> Inputs:
        return np.concatenate([np.asarray(obs, float).reshape(len(obs), -1), np.eye(actions)[action]], axis=1)

    return encode


def one_hot_pairs(states: int, actions: int) -> Encode:
    """One input for each (state, action): with least squares, a table. `obs` are indices of states."""

    def encode(obs: np.ndarray, action: Int[np.ndarray, " sample"]) -> Inputs:
        return np.eye(states * actions)[np.asarray(obs) * actions + action]

    return encode


class LeastSquares:
    """Linear regression without an intercept, by the pseudo-inverse: inputs that no sample has get weight 0.

    The pseudo-inverse is kept for as long as the inputs stay the same, as they do in fitted Q-iteration.
    """

    def __init__(self) -> None:
        self.weight: Float[np.ndarray, " input"] = np.zeros(0)
        self._inputs: Inputs = np.zeros((0, 0))
        self._inverse: Float[np.ndarray, "input sample"] = np.zeros((0, 0))

    def fit(self, X: Inputs, y: Float[np.ndarray, " sample"]) -> "LeastSquares":
        """The shortest weights of least squared error."""
        if not np.array_equal(X, self._inputs):
            self._inputs, self._inverse = np.array(X), np.linalg.pinv(X)
        self.weight = self._inverse @ y
        return self

    def predict(self, X: Inputs) -> Float[np.ndarray, " sample"]:
        """X times the weights."""
        return X @ self.weight


def inputs_of_all(encode: Encode, obs: np.ndarray, actions: int) -> list[Inputs]:
    """The regressor's inputs for every action in turn."""
    return [encode(obs, np.full(len(obs), action)) for action in range(actions)]


def predictions(regressor: Regressor, inputs: list[Inputs]) -> Float[np.ndarray, "sample action"]:
    """Predicted Q, one call of `predict` for each action."""
    return np.stack([np.asarray(regressor.predict(each), float) for each in inputs], axis=1)


def soft_values(
    q: Float[np.ndarray, "sample action"], temperature: float, prior: Float[np.ndarray, " action"] | None
) -> Float[np.ndarray, " sample"]:
    """The soft maximum of each row."""
    return np.asarray(_soft_values(jnp.asarray(q), temperature, prior), float)


@jax.jit
def _soft_values(q: jax.Array, temperature: ScalarLike, prior: jax.Array | None) -> jax.Array:
    return jax.vmap(lambda row: soft_max(row, temperature, prior))(q)


def most_to_earn(reward: Float[np.ndarray, " sample"], discount: float, temperature: float, actions: int) -> float:
    """A bound on |Q|: the largest reward and entropy for ever; 10⁶ steps of them without a discount."""
    steps = 1 / max(1 - discount, 1e-6)
    return max(1.0, float(np.max(np.abs(reward))) + temperature * float(np.log(actions))) * steps


def check(data: Transition, actions: int, discount: float, temperature: float) -> None:
    """Raise EntraxError unless these can be learned from."""
    action = np.asarray(data.action)
    lengths = {len(np.asarray(part)) for part in data}
    if len(lengths) != 1 or lengths == {0}:
        raise UsageError(f"Every part of the data needs the same number of transitions, at least one: {lengths}.")
    if action.ndim != 1 or action.dtype.kind not in "iu" or action.min() < 0 or action.max() >= actions:
        raise UsageError(f"The actions of the data must be integers from 0 to {actions - 1}.")
    if not 0 <= discount <= 1 or temperature < 0:
        raise UsageError(
            f"The discount must lie in [0, 1] and the temperature be at least 0: {discount}, {temperature}."
        )
