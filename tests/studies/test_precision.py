"""The task where maximum entropy hurts: values by hand and by the exact planner, and what the figures say."""

import jax
import numpy as np
import pytest

from entrax.exact import plan
from entrax.problems import FiniteMDP
from entrax.studies import precision


def test_values_on_the_beam_are_those_of_the_formula():
    alpha, width = 0.1, 5
    optimum = precision.solve(precision.make_beam(width), alpha)
    value = 1.0
    for place in range(precision.LENGTH, 0, -1):
        weights = width * np.exp(value / alpha) + (precision.ACTIONS - width)
        assert optimum.policy[place, precision.ACTIONS // 2] == pytest.approx(np.exp(value / alpha) / weights)
        soft = alpha * np.log(2.0 / precision.ACTIONS * weights)
        assert optimum.value[place] == pytest.approx(soft)
        value = precision.DISCOUNT * soft
    best = np.logaddexp.reduce(optimum.q[0] / alpha) + np.log(2.0 / precision.ACTIONS)
    assert optimum.value[0] == pytest.approx(alpha * best)


def test_the_hard_optimum_walks_at_once():
    for width in precision.WIDTHS:
        beam = precision.make_beam(width)
        optimum = precision.solve(beam, 0.0)
        assert optimum.value[0] == pytest.approx(precision.DISCOUNT**precision.LENGTH)
        assert precision.play(beam, optimum.policy)[0] == pytest.approx(1.0)


def test_success_of_the_uniform_policy_is_that_of_its_draws():
    beam, uniform = precision.make_beam(21), np.full((precision.LENGTH + 1, precision.ACTIONS), 1 / precision.ACTIONS)
    stays, holds = 20 / 41, 21 / 41
    in_time = 1 - stays ** (precision.STEPS - precision.LENGTH)
    success, entropy = precision.play(beam, uniform)
    assert success == pytest.approx(in_time * holds**precision.LENGTH)
    assert entropy == pytest.approx(np.log(2.0))


def test_the_more_precision_is_needed_the_lower_is_the_temperature_that_harms():
    rows = [precision.measure(width, np.geomspace(1e-3, 1.0, 13)) for width in (1, 5, 21)]
    harmful = [row["harmful_from"]["sampled"] for row in rows]
    assert harmful == sorted(harmful)
    assert all(row["hard"] == pytest.approx(1.0) for row in rows)
    assert all(row["sampled"][-1] < 0.5 and row["mode"][-1] == 0.0 for row in rows)


def test_the_learned_temperature_has_the_target_entropy():
    beam = precision.make_beam(1)
    learned = precision.learned_temperature(beam)
    assert learned is not None
    optimum = precision.solve(beam, learned)
    assert precision.play(beam, optimum.policy)[1] == pytest.approx(precision.TARGET_ENTROPY, abs=1e-3)
    assert precision.play(beam, precision.mode(optimum.q))[0] == 0.0  # the mode stays on the platform
    assert precision.learned_temperature(precision.make_beam(21)) is None


@pytest.mark.long
@pytest.mark.parametrize("alpha", [0.03, 0.0])
def test_the_optimum_is_that_of_the_exact_planner(alpha):
    beam, states = precision.make_beam(5), precision.LENGTH + 1
    successor = np.minimum(beam.successor, states)
    density = alpha * np.log(2.0 / precision.ACTIONS)
    mdp = FiniteMDP(
        successor=successor[..., None],
        probability=np.ones((*successor.shape, 1)),
        reward=beam.reward + density,
        initial=np.eye(states)[0],
        terminal=np.zeros(states, bool),
        discount=precision.DISCOUNT,
    )
    optimum = precision.solve(beam, alpha)
    with jax.enable_x64(True):
        planned = plan(mdp, alpha)
    np.testing.assert_allclose(optimum.value, planned.value, atol=1e-8)
    np.testing.assert_allclose(optimum.policy, planned.policy, atol=1e-6)
