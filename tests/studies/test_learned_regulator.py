"""The learned regulator: exact answers against integrals, the measure, and numbers that refute."""

import numpy as np
import pytest

from entrax.studies import learned_regulator
from entrax.studies.learned_regulator import ALPHA, CELLS, GAMMA, GRID, LIMIT, Learned, cells, compare, judge, optimum
from entrax.studies.study import summarise_seeds

MIDDLE = len(GRID) // 2


def test_the_value_of_soft_q_learning_is_the_soft_maximum_of_q_over_the_box():
    exact, x = optimum(independent=False), GRID[MIDDLE]
    every = exact.q(x, LIMIT * np.asarray(cells(), float)) / ALPHA
    log_integral = np.log(np.sum(np.exp(every - every.max()))) + every.max() + 2 * np.log(2 / CELLS)
    assert ALPHA * log_integral == pytest.approx(exact.value(x), abs=2e-3)  # of the box that cuts off the tails


@pytest.mark.parametrize("independent", [False, True])
def test_value_and_policy_satisfy_the_soft_bellman_equation(independent):
    """V = E[Q − α log π] at the policy, whose density is that of actions divided by the limit."""
    exact, x = optimum(independent), GRID[0]
    draws = np.random.default_rng(0).normal(size=(200_000, 2)) @ np.linalg.cholesky(exact.covariance).T
    log_pi = -0.5 * np.einsum("di,ij,dj->d", draws, np.linalg.inv(exact.covariance), draws)
    log_pi = log_pi - 0.5 * np.linalg.slogdet(2 * np.pi * exact.covariance)[1] + 2 * np.log(LIMIT)
    each = exact.q(x, draws - exact.gain @ x) - ALPHA * log_pi
    assert abs(each.mean() - exact.value(x)) < 5 * each.std() / len(draws) ** 0.5 + 1e-9


def test_independent_entries_cost_their_mutual_information_in_every_step():
    whole, apart = optimum(independent=False), optimum(independent=True)
    precision = np.linalg.inv(whole.covariance)
    np.testing.assert_allclose(apart.covariance, np.diag(1 / np.diag(precision)), rtol=1e-8)
    lost = 0.5 * np.log(np.prod(np.diag(precision)) / np.linalg.det(precision))
    assert whole.value(GRID[3]) - apart.value(GRID[3]) == pytest.approx(ALPHA * lost / (1 - GAMMA), rel=1e-6)


def exact_draws(gain=1.0, widening=1.0, shift=0.0):
    exact = optimum(independent=False)
    noise = np.random.default_rng(1).normal(size=(len(GRID), 2000, 2))
    actions = noise @ np.linalg.cholesky(widening * exact.covariance).T - gain * (GRID @ exact.gain.T)[:, None]
    q = exact.q(GRID[:, None], actions) + shift
    return compare(Learned(actions=actions, value=exact.value(GRID) + shift, q=q), exact)


def test_errors_are_relative_and_a_shift_of_the_values_is_reported_apart():
    found = exact_draws(gain=0.5, widening=1.5, shift=-2.0)
    assert found["errors"]["gain"] == pytest.approx(0.5, abs=0.02)
    assert found["errors"]["covariance"] == pytest.approx(0.5, abs=0.02)
    assert found["errors"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert found["errors"]["q"] == pytest.approx(0.0, abs=1e-9)
    assert found["offset"] == pytest.approx(-2.0)


def numbers(seeds=5, **errors):
    fine = {"gain": 0.05, "covariance": 0.1, "value": 0.1, "q": 0.2}
    agents = {"sac": fine, "soft-q": fine | errors}
    return {
        "agents": {
            name: {"errors": {key: summarise_seeds([each] * seeds) for key, each in own.items()}}
            for name, own in agents.items()
        }
    }


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (numbers(), "supported"),
        (numbers(seeds=3), "undecided"),
        (numbers(gain=0.15), "undecided"),
        (numbers(gain=0.25), "refuted"),
        (numbers(covariance=0.5), "refuted"),
        (numbers(q=0.7), "refuted"),
    ],
)
def test_the_verdict_can_fail(given, verdict):
    assert judge(given) == verdict


def test_the_control_is_seen():
    assert learned_regulator.control().seen


@pytest.mark.long
@pytest.mark.parametrize("agent", learned_regulator.QUICK)
def test_what_a_run_has_learned_is_read_from_its_checkpoint(agent, tmp_path):
    settings = learned_regulator.QUICK[agent] | {"steps": 1200, "learning_starts": 200}
    found = learned_regulator.learned(agent, 0, settings, tmp_path)
    assert found.actions.shape == (len(GRID), learned_regulator.DRAWS, 2)
    assert np.abs(found.actions).max() <= LIMIT
    bonus = (found.value - found.q.mean(axis=1)) / ALPHA  # the entropy of the policy, at most that of the uniform one
    assert np.all(bonus < 2 * np.log(2) + 0.05)
    assert np.all(bonus > -5)
