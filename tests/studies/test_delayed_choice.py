"""Delayed choice: the grid against integrals and Kappen's formula, sampled controls, and numbers that refute."""

import jax.random as jr
import numpy as np
import pytest

from entrax.studies import delayed_choice
from entrax.studies.delayed_choice import formula, judge, sample_controls, solve_on_grid, time_of_choice


@pytest.fixture(scope="module")
def grid():
    return solve_on_grid(0.5, 0.3)


def test_the_grid_has_kappens_control_and_the_cost_of_diffused_targets(grid):
    np.testing.assert_allclose(grid.control, formula(grid.x, grid.left[:, None], 0.5, 0.3), atol=1e-10)
    variance = 0.3**2 + 0.5 * grid.left[:, None]
    logs = [-((grid.x - target) ** 2) / (2 * variance) for target in (-1.0, 1.0)]
    cost = -0.5 * (np.logaddexp(*logs) - np.log(np.sqrt(variance) / 0.3))
    np.testing.assert_allclose(grid.cost, cost, atol=1e-10)


def test_the_formula_is_the_slope_of_the_cost():
    """u = −dJ/dx of the oracle, J = ½x²/T' − ν log(2 cosh(x/(νT'))), by central differences."""
    noise, width, left, h = 0.7, 0.2, 0.6, 1e-5
    late = left + width**2 / noise
    x = np.linspace(-2, 2, 9)

    def cost(x):
        return x**2 / (2 * late) - noise * np.log(2 * np.cosh(x / (noise * late)))

    slope = (cost(x + h) - cost(x - h)) / (2 * h)
    np.testing.assert_allclose(formula(x, left, noise, width), -slope, atol=1e-8)


def test_the_middle_becomes_unstable_later_with_more_noise_and_never_with_one_target(grid):
    assert time_of_choice(grid) == pytest.approx(0.91 / 0.5, rel=1e-5)
    assert time_of_choice(solve_on_grid(1.0, 0.3)) == pytest.approx(0.91, rel=1e-5)
    assert time_of_choice(solve_on_grid(0.5, 0.3, (0.0,))) == 0.0


def test_an_early_choice_costs_what_sampled_episodes_of_it_cost(grid):
    noise, width, episodes = 0.5, 0.3, 200_000
    rng, x, cost = np.random.default_rng(0), np.zeros(episodes), np.zeros(episodes)
    dt = grid.left[-1]
    for left in grid.left:
        u = (np.where(x >= 0, 1.0, -1.0) - x) / (left + width**2 / noise)
        cost += u**2 * dt / 2
        x += u * dt + np.sqrt(noise * dt) * rng.normal(size=episodes)
    cost += delayed_choice.final_cost(x, noise, width)
    assert abs(delayed_choice.early_cost(noise, width, grid) - cost.mean()) < 4 * cost.std() / episodes**0.5


def test_sampled_controls_agree_with_the_formula_within_their_errors(x64):
    sampled = sample_controls(0.5, 0.3, 500, jr.key(0))
    left = np.array(delayed_choice.SHOWN)[:, None] / 0.5
    exact = formula(np.array(delayed_choice.PLACES), left, 0.5, 0.3)
    assert np.all(np.abs(sampled["mean"] - exact) < 5 * sampled["error"])
    assert np.all(sampled["error"] < 0.05)
    assert np.all((sampled["effective"] > 10) & (sampled["effective"] < 500))


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "supported"),
        ({"grid_error": 0.1}, "refuted"),
        ({"grid_error": 1e-3}, "undecided"),
        ({"time": 2.0}, "refuted"),
        ({"time": 1.001}, "undecided"),
        ({"sampled_errors": 7.0}, "undecided"),
        ({"sampled_errors": 20.0}, "refuted"),
        ({"loss_of_early_choice": -0.1}, "refuted"),
    ],
)
def test_the_verdict_can_fail(changed, verdict):
    row = {"time": 1.0, "expected_time": 1.0, "grid_error": 0.0, "sampled_errors": 2.0, "loss_of_early_choice": 0.1}
    assert judge({"rows": [row, row | changed]}) == verdict


def test_the_control_is_seen():
    assert delayed_choice.control().seen
