"""Fitted Q-iteration: value iteration on the estimated model with a table, and its two counterexamples."""

from typing import Any

import jax
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.nets import NetworkRegressor
from entrax.problems import FiniteMDP
from entrax.spec import Transition
from entrax.tabular import (
    LeastSquares,
    divergence,
    fitted_q_iteration,
    one_hot_pairs,
    sample_transitions,
    wrong_limit,
)
from tests.tabular.dense import EXPLORING, LIVE, frozen_lake, optimum

LAKE = frozen_lake()
DATA = sample_transitions(LAKE, np.full((16, 4), 0.25), steps=1500, key=jax.random.key(0))


class Nearest:
    """A nonlinear regressor: the mean of the samples with the nearest inputs."""

    def fit(self, X, y):
        self.keys, inverse = np.unique(X, axis=0, return_inverse=True)
        self.means = np.bincount(inverse.ravel(), y) / np.bincount(inverse.ravel())
        return self

    def predict(self, X):
        distance = np.abs(X[:, None] - self.keys).sum(axis=2)
        return self.means[distance.argmin(axis=1)]


def estimated(prior=None):
    return FiniteMDP.from_data(
        state=DATA.obs,
        action=DATA.action,
        reward=DATA.reward,
        next_state=DATA.next_obs,
        terminated=DATA.terminated,
        unseen="error",
        states=16,
        actions=4,
        terminal=~LIVE,
        initial=EXPLORING,
        discount=0.85,
        prior=prior,
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("temperature", "prior"), [(0.0, None), (0.1, None), (0.1, np.array([0.1, 0.2, 0.3, 0.4]))])
def test_with_a_table_it_is_value_iteration_on_the_estimated_model(temperature, prior):
    options: dict[str, Any] = {"temperature": temperature, "prior": prior, "tolerance": 1e-9}
    encode = one_hot_pairs(16, 4)
    found = fitted_q_iteration(DATA, LeastSquares(), actions=4, discount=0.85, encode=encode, **options)
    q, value = optimum(estimated(None if prior is None else np.tile(prior, (16, 1))), temperature)
    assert found.status == "converged"
    np.testing.assert_allclose(found.q(np.arange(16))[LIVE], q[LIVE], atol=1e-8)
    np.testing.assert_allclose(found.value(np.arange(16))[LIVE], value[LIVE], atol=1e-8)
    np.testing.assert_allclose(found.policy(np.arange(16)).sum(axis=1), 1, rtol=1e-12)
    # Every iteration is one sweep, a contraction.
    changes = found.history[:, 0]
    assert np.all(changes[1:] <= 0.85 * changes[:-1] + 1e-12)


@pytest.mark.usefixtures("x64")
def test_any_regressor_with_fit_and_predict_works():
    few: dict[str, Any] = {"actions": 4, "discount": 0.9, "iterations": 20}
    table = fitted_q_iteration(DATA, LeastSquares(), encode=one_hot_pairs(16, 4), **few)
    other = fitted_q_iteration(DATA, Nearest(), **few)
    np.testing.assert_allclose(table.q(np.flatnonzero(LIVE)), other.q(np.flatnonzero(LIVE)), atol=1e-9)
    assert table.iterations == other.iterations


@pytest.mark.parametrize("temperature", [pytest.param(0.0, marks=pytest.mark.long), 0.1])
def test_a_network_comes_near_value_iteration_on_the_estimated_model(temperature):
    """The network could represent the table exactly, but each fit stops before the least error."""
    network = NetworkRegressor((32,), steps=100)
    encode = one_hot_pairs(16, 4)
    found = fitted_q_iteration(
        DATA, network, actions=4, discount=0.85, temperature=temperature, encode=encode, iterations=60
    )
    q, _ = optimum(estimated(), temperature)
    assert np.abs(found.q(np.arange(16)) - q)[LIVE].max() < 0.005  # of values up to 0.68, or 0.77 with entropy
    again = NetworkRegressor((32,), steps=100).fit(encode(DATA.obs, DATA.action), DATA.reward)
    cold = NetworkRegressor((32,), steps=100, warm_start=False)
    for _ in range(2):
        cold.fit(encode(DATA.obs, DATA.action), DATA.reward)
    np.testing.assert_array_equal(again.predict(np.eye(64)), cold.predict(np.eye(64)))


@pytest.mark.usefixtures("x64")
def test_a_wrong_limit_without_realisability():
    example = wrong_limit(samples=9, discount=0.9)
    found = fitted_q_iteration(example.data, LeastSquares(), actions=2, discount=0.9, encode=example.encode)
    assert found.status == "converged"
    np.testing.assert_allclose(found.q(np.zeros(1, int))[0], [1.1, (0.9 * 9 * 1.1 + 2) / 10], atol=1e-6)
    q, _ = optimum(example.mdp)
    np.testing.assert_allclose(q[0], [1, 1.8])
    # The regressor fitted to the truth chooses the best action; the fixed point does not.
    best = LeastSquares().fit(
        example.encode(example.data.obs, example.data.action), q[example.data.obs, example.data.action]
    )
    assert np.argmax(best.weight) == np.argmax(q[0]) == 1
    assert np.argmax(found.q(np.zeros(1, int))) == 0


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("discount", "status"), [(0.95, "diverged"), (0.8, "converged")])
def test_divergence_where_the_truth_is_realisable(discount, status):
    example = divergence(discount)
    np.testing.assert_allclose(optimum(example.mdp)[1], [1, 2], atol=1e-10)  # w = 1 is exactly right
    found = fitted_q_iteration(
        example.data, LeastSquares(), actions=1, discount=discount, encode=example.encode, tolerance=1e-9
    )
    assert found.status == status
    # w_k = 1 − (6γ/5)^k, whose largest prediction is twice that.
    rounds = np.arange(1, 21)
    np.testing.assert_allclose(found.history[:20, 1], 2 * np.abs(1 - (1.2 * discount) ** rounds), rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"action": np.zeros(2, int)}, "same number"),
        ({"action": np.full(1500, 4)}, "integers from 0 to 3"),
        ({"action": np.zeros(1500)}, "integers from 0 to 3"),
    ],
)
def test_invalid_data_are_refused(change, words):
    data = Transition(**(DATA._asdict() | change))
    with pytest.raises(EntraxError, match=words):
        fitted_q_iteration(data, LeastSquares(), actions=4, discount=0.9)
    with pytest.raises(EntraxError, match="discount"):
        fitted_q_iteration(DATA, LeastSquares(), actions=4, discount=1.2)
