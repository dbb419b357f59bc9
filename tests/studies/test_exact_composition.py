"""Exact composition: costs of controls and a walk against closed forms, and numbers that refute."""

import numpy as np
import pytest
from scipy import ndimage

from entrax.exact import compose, linearly_solvable
from entrax.problems import LinearlySolvable
from entrax.studies import exact_composition
from entrax.studies.exact_composition import LAMBDA, SIMPLER, cost_of, judge, make_parts, measure, tilted
from entrax.studies.mazes import random_layout


@pytest.fixture(scope="module")
def parts():
    return make_parts(1000)


def test_maps_are_connected_and_have_as_many_cells_and_goals():
    layout = random_layout(3, 8, 40, goals=4)
    assert len(layout.place) == 40
    assert layout.where("G").sum() == 4
    assert ndimage.label(layout.state >= 0)[1] == 1
    assert random_layout(3, 8, 40).where("G").sum() == 1


def test_the_cost_of_the_optimal_control_is_the_optimal_cost(parts):
    first = parts.solutions[0]
    np.testing.assert_allclose(cost_of(first.problem, first.policy), first.value, atol=1e-9)
    np.testing.assert_allclose(tilted(first.problem, first.value).toarray(), first.policy.toarray(), atol=1e-12)


def test_the_cost_of_no_control_is_that_of_a_free_walk():
    """A walk of cost 0.1 a step from the middle of 10 cells takes 25 steps in the mean."""
    walk = LinearlySolvable.random_walk(10, 0.1)
    assert cost_of(walk, walk.passive)[5] == pytest.approx(2.5)


def test_compositions_are_those_of_solving_again_and_nothing_else_is(parts, x64):
    row = measure(parts, np.array([0.5, 0.3, 0.2]))
    assert max(row["value_error"], row["policy_error"], row["plan_error"], abs(row["loss"]["composed"])) < 1e-9
    assert min(row["loss"][name] for name in SIMPLER) > 1e-4


def test_the_mixture_of_controls_depends_on_the_state():
    """Ruin: with exits of desirability (0, 1) and (1, 0), z_k is linear and m_k follows from it, equation (1)."""
    walk = LinearlySolvable.random_walk(10, 0.0)
    ends = [linearly_solvable(walk.with_final_cost(each), LAMBDA) for each in ([0.0, 60.0], [60.0, 0.0])]
    composed = compose(ends, [1.0, 3.0]).policy.toarray()
    i = np.arange(1, 10)
    z = (10 - i) + 3 * i  # up to a factor
    np.testing.assert_allclose(composed[i, i + 1], (z + 2) / (2 * z), atol=1e-9)


def row(value_error=0.0, composed=0.0, simpler=0.1):
    return {
        "value_error": value_error,
        "policy_error": 0.0,
        "plan_error": 1e-12,
        "loss": {"composed": composed} | dict.fromkeys(SIMPLER, simpler),
    }


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "supported"),
        ({"value_error": 1e-6}, "undecided"),
        ({"value_error": 1e-2}, "refuted"),
        ({"composed": 1e-2}, "refuted"),
        ({"simpler": 0.005}, "undecided"),
        ({"simpler": 0.0}, "refuted"),
    ],
)
def test_the_verdict_can_fail(changed, verdict):
    assert judge({"rows": [row(**changed)] * 3}) == verdict


def test_the_control_is_seen():
    assert exact_composition.control().seen
