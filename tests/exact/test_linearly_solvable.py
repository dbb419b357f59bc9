"""Linearly solvable problems against closed forms, dense eigenvalues, enumeration and `plan` in the KL convention."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from entrax.errors import UsageError
from entrax.exact import compose, linearly_solvable, plan
from entrax.exact.substochastic import by_elimination, by_iteration, eliminates_cheaply
from entrax.problems import FiniteMDP, LinearlySolvable, garnet, gridworld

METHODS = ["elimination", "iteration"]
MAZE = "S...#\n.#..X\n..#.G\n....."


def log_cosh(x):
    return np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))) - np.log(2)


def walk_values(length, cost):
    """−log(cosh(θ(i − N/2))/cosh(θN/2)) with cosh θ = e^q."""
    theta = cost + np.log1p(np.sqrt(-np.expm1(-2 * cost)))
    position = np.arange(length + 1)
    return log_cosh(theta * length / 2) - log_cosh(theta * (position - length / 2))


def holds(solution, answer):
    """The certified bounds hold, with room for the rounding of the answer."""
    finite = np.isfinite(answer)
    np.testing.assert_array_equal(finite, np.isfinite(solution.value))
    error = np.abs(solution.value - np.where(finite, answer, solution.value))[finite]
    assert np.all(error <= solution.state_bound[finite] + 1e-15 * np.abs(answer[finite]).max())


@pytest.mark.parametrize("method", METHODS)
def test_the_walk_of_the_closed_form(method):
    solution = linearly_solvable(LinearlySolvable.random_walk(10, 0.1), 1.0, method=method)
    assert solution.value[5] == pytest.approx(1.5909111000, abs=1e-10)
    holds(solution, walk_values(10, 0.1))
    assert solution.converged
    assert solution.error_bound <= 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_ruin(method):
    """z = i/N, so the walk that must reach N steps up with probability (i + 1)/2i."""
    walk = LinearlySolvable.random_walk(20, 0.0, final_costs=(np.inf, 0.0))
    solution = linearly_solvable(walk, 1.0, method=method)
    np.testing.assert_allclose(solution.desirability, np.arange(21) / 20, atol=1e-12)
    inner = np.arange(1, 20)
    np.testing.assert_allclose(solution.policy[inner, inner + 1], (inner + 1) / (2 * inner), atol=1e-12)


@pytest.mark.parametrize(
    ("length", "cost"), [(100_000, 0.1), (100_000, 1e4), (20_000, 1e-9), (100, 1e290), (9, 1e-290)]
)
def test_values_far_below_the_smallest_z(length, cost):
    """The desirability of the middle underflows; the value does not."""
    walk = LinearlySolvable.random_walk(length, cost)
    solution = linearly_solvable(walk, 1.0)
    answer = walk_values(length, cost)
    holds(solution, answer)
    assert solution.error_bound <= 1e-6 * max(1, answer.max())
    if answer.max() > 1000:
        assert solution.desirability[length // 2] == 0
    np.testing.assert_allclose(solution.policy.sum(axis=1)[1:-1], 1.0, atol=1e-12)


def square(side, rates, cost):
    """A walk on a square whose border has the final costs of z = Π cosh(θ(x − N/2)), which solves it inside."""
    text = ["G" * side, *["G" + "." * (side - 2) + "G"] * (side - 2), "G" * side]
    grid = LinearlySolvable.grid("\n".join(text), cost)
    across, down = (log_cosh(rate * (np.arange(side) - (side - 1) / 2)) for rate in rates)
    answer = -(down[:, None] + across).ravel()
    return grid.with_final_cost(answer[grid.exits]), answer


@pytest.mark.parametrize(
    ("side", "rates"), [(30, (0.3, 0.5)), (30, (30.0, 29.0)), pytest.param(1000, (0.4, 0.5), marks=pytest.mark.long)]
)
def test_a_product_of_closed_forms_in_two_dimensions(side, rates):
    """The mean of four neighbours is (cosh θ + cosh φ)/2 times the middle, so that is e^q; z spans e^±870."""
    cost = np.logaddexp(*log_cosh(np.array(rates))) - np.log(2)
    problem, answer = square(side, rates, float(cost))
    solution = linearly_solvable(problem, 1.0)
    holds(solution, answer)
    assert solution.error_bound <= 1e-8


def random_problem(seed, states=9, low=0.0, kind="first-exit", **options):
    """Dense random passive dynamics with two exits, unless the kind has none."""
    rng = np.random.default_rng(seed)
    passive = rng.dirichlet(np.full(states, 0.4), states)
    exits = [] if kind == "average" else [0, 1]
    return LinearlySolvable(passive, rng.uniform(low, 1, states), exits=exits, kind=kind, **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("temperature", [0.05, 1.0, 30.0])
def test_first_exit_against_a_dense_solve(method, temperature):
    problem = random_problem(0)
    live = ~problem.exits
    factor = np.where(live, np.exp(-problem.cost / temperature), 0)
    system = np.eye(9) - factor[:, None] * problem.passive.toarray()
    z = np.linalg.solve(system, np.where(live, 0, np.exp(-problem.cost / temperature)))
    solution = linearly_solvable(problem, temperature, method=method)
    np.testing.assert_allclose(solution.value, -temperature * np.log(z), rtol=1e-10)
    control = problem.passive.toarray()[2:] * z
    np.testing.assert_allclose(solution.policy.toarray()[2:], control / control.sum(1, keepdims=True), atol=1e-10)


def test_the_control_is_optimal_among_all_controls_of_a_tiny_problem():
    """Two states with two successors each: a fine grid of all stationary controls has no better one."""
    problem = LinearlySolvable([[0, 0.3, 0.7], [0.6, 0, 0.4], [0, 0, 0]], [0.2, 0.5, 0.1], exits=[2])
    solution = linearly_solvable(problem, 0.5)
    first, second = np.meshgrid(
        np.linspace(0.001, 0.999, 999), np.linspace(0.001, 0.999, 999)
    )  # chances to stay inside
    chance, passive, running = np.stack([first, second]), np.array([0.3, 0.6])[:, None, None], np.array([0.2, 0.5])
    divergence = chance * np.log(chance / passive) + (1 - chance) * np.log((1 - chance) / (1 - passive))
    cost = running[:, None, None] + 0.5 * divergence + (1 - chance) * 0.1
    value = (cost + chance * cost[::-1]) / (1 - first * second)  # v₁ = c₁ + u₁ v₂, v₂ = c₂ + u₂ v₁
    best = value.reshape(2, -1).min(axis=1)
    assert np.all(best >= solution.value[:2] - 1e-12)
    np.testing.assert_allclose(best, solution.value[:2], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_average_cost_is_the_principal_eigenvalue(method, temperature):
    problem = random_problem(1, kind="average")
    matrix = np.exp(-problem.cost / temperature)[:, None] * problem.passive.toarray()
    values, vectors = np.linalg.eig(matrix)
    which = np.argmax(values.real)
    z = np.abs(vectors[:, which].real)
    solution = linearly_solvable(problem, temperature, method=method)
    assert solution.eigenvalue == pytest.approx(values[which].real, rel=1e-10)
    assert solution.average_cost == pytest.approx(-temperature * np.log(values[which].real), abs=solution.error_bound)
    np.testing.assert_allclose(solution.value, -temperature * np.log(z / z[0]), atol=1e-8)
    assert solution.converged


def test_a_periodic_average_cost_with_a_state_that_is_never_revisited():
    """A cycle of three and a state that leads into it: the mean of the costs of the cycle."""
    passive = [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    solution = linearly_solvable(LinearlySolvable(passive, [50, 1, 2, 6], kind="average"), 0.1)
    assert solution.average_cost == pytest.approx(3, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("discount", [0.3, 0.9, 0.999])
def test_a_discount(method, discount):
    """z(i) = e^{−q(i)/λ} Σ_j p(j|i) z(j)^γ determines z, because its backup is a contraction."""
    problem = random_problem(2, low=-1, kind="discounted", discount=discount)
    solution = linearly_solvable(problem, 0.5, method=method)
    z, live = solution.desirability, ~problem.exits
    expected = np.exp(-problem.cost / 0.5) * (problem.passive @ z**discount)
    np.testing.assert_allclose(z[live], expected[live], rtol=1e-10)
    assert solution.converged


def test_a_finite_horizon_against_all_paths():
    """z₀(i) is the mean of exp(−cost/λ) over all passive paths of three steps, with costs that change."""
    rng = np.random.default_rng(3)
    passive, final = rng.dirichlet(np.ones(4), 4), rng.normal(size=4)
    cost = rng.normal(size=(3, 4))
    problem = LinearlySolvable(passive, cost, exits=[3], kind="finite-horizon", final_cost=final)
    z = np.zeros(4)
    for path in itertools.product(range(4), repeat=4):
        weight, total = 1.0, 0.0
        for t, (here, there) in enumerate(itertools.pairwise(path)):
            total += cost[t, here]
            if here == 3:  # counted once, for the first continuation only
                weight *= all(state == 0 for state in path[t + 1 :])
                break
            weight *= passive[here, there]
        else:
            total += final[path[-1]]
        z[path[0]] += weight * np.exp(-total / 0.7)
    solution = linearly_solvable(problem, 0.7)
    np.testing.assert_allclose(solution.value[0], -0.7 * np.log(z), atol=1e-12)
    np.testing.assert_array_equal(solution.value[3], final)
    assert len(solution.policy) == 3
    assert solution.converged


def test_a_finite_horizon_in_which_the_exit_may_be_out_of_reach():
    """Only the end has a finite cost: the walk must arrive in time, and cannot from far away."""
    walk = LinearlySolvable.random_walk(6, 0.0)
    final = np.append(np.full(6, np.inf), 0.0)
    problem = LinearlySolvable(
        walk.passive, [np.inf, 0, 0, 0, 0, 0, 0], exits=[0, 6], kind="finite-horizon", horizon=3, final_cost=final
    )
    solution = linearly_solvable(problem, 1.0)
    np.testing.assert_allclose(solution.desirability[0], [0, 0, 0, 1 / 8, 1 / 4, 1 / 2 + 1 / 8, 1], atol=1e-15)
    assert solution.policy[0][3, 4] == 1
    assert solution.policy[0][1].nnz == 0 or not solution.policy[0][1].toarray().any()


@pytest.mark.parametrize(("convention", "temperature"), [("kl", 0.02), ("kl", 20.0), ("entropy", 0.5)])
def test_a_deterministic_problem_is_linearly_solvable(convention, temperature):
    mdp = gridworld(MAZE, step_reward=-2.0, goal_reward=1, pit_reward=-0.1)
    if convention == "kl":
        mdp = replace(mdp, prior=np.random.default_rng(0).uniform(0.5, 1, mdp.reward.shape))
    solution = linearly_solvable(LinearlySolvable.from_finite(mdp, temperature, convention=convention), temperature)
    planned = plan(mdp, temperature, convention=convention, tolerance=1e-12)
    np.testing.assert_allclose(-solution.value, planned.value, rtol=1e-10, atol=1e-10)


def test_a_deterministic_problem_with_a_discount_or_a_horizon():
    for changes in ({"discount": 0.9}, {"horizon": 7}, {"discount": 0.5, "horizon": 3}):
        mdp = replace(gridworld(MAZE, step_reward=0.3), **changes)
        solution = linearly_solvable(LinearlySolvable.from_finite(mdp, 0.4), 0.4)
        planned = plan(mdp, 0.4, convention="kl", tolerance=1e-12)
        np.testing.assert_allclose(-solution.value, planned.value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "problem",
    [
        LinearlySolvable.grid(MAZE, 0.3),
        LinearlySolvable.grid(MAZE, 0.3, pit_cost=2.0, goal_cost=-1),
        random_problem(6, kind="discounted", discount=0.8),
        LinearlySolvable([[0.5, 0.2, 0.3], [0.1, 0, 0.9], [1, 0, 0]], [1, np.inf, 0], exits=[2]),
    ],
)
def test_the_finite_form_has_the_same_value(problem):
    solution = linearly_solvable(problem, 0.6)
    planned = plan(problem.to_finite(), 0.6, convention="kl", tolerance=1e-12)
    live = ~(problem.exits | problem.forbidden)
    np.testing.assert_allclose(solution.value[live], -np.asarray(planned.value)[live], rtol=1e-10, atol=1e-10)


def test_the_finite_form_of_an_average_cost_and_of_a_horizon():
    problem = random_problem(7, kind="average")
    planned = plan(problem.to_finite(), 0.6, convention="kl", objective="average")
    assert linearly_solvable(problem, 0.6).average_cost == pytest.approx(-np.asarray(planned.average_reward), abs=1e-9)
    rng = np.random.default_rng(8)
    arguments: dict[str, Any] = {
        "exits": [0, 1],
        "kind": "finite-horizon",
        "final_cost": rng.normal(size=9),
        "discount": 0.9,
    }
    problem = LinearlySolvable(problem.passive, rng.normal(size=(4, 9)), **arguments)
    planned = plan(problem.to_finite(), 0.6, convention="kl")
    np.testing.assert_allclose(
        linearly_solvable(problem, 0.6).value[:, 2:], -np.asarray(planned.value)[:, 2:], atol=1e-9
    )


def test_todorovs_embedding_is_a_bound_and_exact_without_noise():
    """Every action costs the same in the embedded problem, which allows more: its cost is at most the classical one."""
    for seed in range(5):
        mdp = garnet(15, 3, 3, seed=seed, discount=0.9)
        hard = -np.asarray(plan(mdp, 0.0).value)
        for temperature in (0.1, 0.5):
            solution = linearly_solvable(LinearlySolvable.embed(mdp, temperature), temperature)
            assert np.all(solution.value <= hard + 1e-8)
    steps = [(s, a, 1.0, s + a + 1, -1.0 - 0.4 * a, s + a + 1 >= 6) for s in range(6) for a in range(2 if s < 5 else 1)]
    mdp = FiniteMDP.from_transitions(steps)
    embedded, planned = LinearlySolvable.embed(mdp, 0.3), plan(mdp, 0.3, tolerance=1e-12)
    np.testing.assert_allclose(
        linearly_solvable(embedded, 0.3).value[: mdp.states], -np.asarray(planned.value), atol=1e-10
    )


def test_composition_solves_nothing_and_is_exact():
    grid = LinearlySolvable.grid("G..G\n.#..\n...G", 0.2)
    costs = np.array([[0.0, 2.0, 1.0], [np.inf, 0.0, 3.0], [4.0, 0.5, np.inf]])
    weights = np.array([0.2, 3.0, 0.7])
    parts = [linearly_solvable(grid.with_final_cost(cost), 0.5) for cost in costs]
    composed = compose(parts, weights)
    direct = linearly_solvable(grid.with_final_cost(-0.5 * np.log(weights @ np.exp(-costs / 0.5))), 0.5)
    np.testing.assert_allclose(composed.value, direct.value, atol=1e-12)
    np.testing.assert_allclose(composed.policy.toarray(), direct.policy.toarray(), atol=1e-12)
    np.testing.assert_allclose(composed.problem.cost, direct.problem.cost, atol=1e-12)
    assert composed.iterations == 0
    assert composed.converged
    single = compose(parts, [0, 1, 0])
    np.testing.assert_allclose(single.value, parts[1].value, atol=1e-14)
    np.testing.assert_allclose(single.policy.toarray(), parts[1].policy.toarray(), atol=1e-14)


def test_what_does_not_compose():
    walk = LinearlySolvable.random_walk(5, 0.1)
    solution = linearly_solvable(walk, 1.0)
    for others, weights, words in (
        ([], [], "at least one"),
        ([solution], [1, 2], "one finite number"),
        ([solution], [-1], "one finite number"),
        ([solution], [0], "above 0"),
        ([solution, linearly_solvable(walk, 2.0)], [1, 1], "same temperature"),
        ([solution, linearly_solvable(LinearlySolvable.random_walk(5, 0.2), 1.0)], [1, 1], "solutions 0 and 1"),
        ([solution, linearly_solvable(LinearlySolvable.random_walk(5, 0.1, up=0.4), 1.0)], [1, 1], "exits only"),
        ([linearly_solvable(random_problem(1, kind="average"), 1.0)] * 2, [1, 1], "first-exit compose"),
    ):
        with pytest.raises(UsageError, match=words):
            compose(others, weights)


@given(
    st.integers(0, 10**6),
    st.floats(-8, 8),
    st.floats(-3, 3),
    st.sampled_from(["first-exit", "discounted", "average"]),
    st.sampled_from(METHODS),
)
def test_scaling_costs_and_temperature_changes_nothing_else(seed, magnitude, log_temperature, kind, method):
    """v(kq, kλ) = k v(q, λ), the bound covers a solve to a smaller tolerance, and every row of the control is one."""
    scale, temperature = 10.0**magnitude, 10.0**log_temperature
    options: dict[str, Any] = {"discount": 0.95} if kind == "discounted" else {}
    problem = random_problem(seed, kind=kind, **options)
    scaled = LinearlySolvable(problem.passive, scale * problem.cost, exits=problem.exits, kind=kind, **options)
    one = linearly_solvable(problem, temperature, method=method, tolerance=1e-6)
    other = linearly_solvable(scaled, scale * temperature)
    if kind == "average":
        assert abs(one.average_cost - other.average_cost / scale) <= one.error_bound + other.error_bound / scale
    else:
        width = one.state_bound + other.state_bound / scale + 1e-14 * np.abs(one.value)
        assert np.all(np.abs(one.value - other.value / scale) <= width)
        assert one.error_bound <= 1e-8 * max(1, temperature, np.abs(one.value).max())
    np.testing.assert_allclose(one.policy.sum(axis=1)[~problem.exits], 1.0, atol=1e-12)


@given(st.integers(0, 10**6), st.floats(0.01, 10))
def test_higher_costs_and_less_noise_cost_more(seed, rise):
    problem = random_problem(seed)
    dearer = LinearlySolvable(problem.passive, problem.cost + rise, exits=problem.exits)
    slack = 1e-9
    assert np.all(linearly_solvable(dearer, 1.0).value >= linearly_solvable(problem, 1.0).value + rise - slack)
    assert np.all(linearly_solvable(problem, 1.0).value <= linearly_solvable(problem, 2.0).value + slack)


def test_negative_costs_are_solved_while_the_value_is_finite():
    """A loop of probability ½ and cost −q: z = ½ e^{q} z + ½, which is finite for q < log 2 only."""
    for cost in (-0.1, -0.69):
        problem = LinearlySolvable([[0.5, 0.5], [0, 0]], [cost, 0], exits=[1])
        z = 0.5 * np.exp(-cost) / (1 - 0.5 * np.exp(-cost))
        for method in METHODS:
            assert linearly_solvable(problem, 1.0, method=method).value[0] == pytest.approx(-np.log(z), rel=1e-9)
    for cost in (-np.log(2), -0.7, -50.0, -1e6):
        problem = LinearlySolvable([[0.5, 0.5], [0, 0]], [cost, 0], exits=[1])
        for method in METHODS:
            with pytest.raises(UsageError, match="finite"):
                linearly_solvable(problem, 1.0, method=method)


def test_the_graph_decides_how_to_solve():
    rng = np.random.default_rng(0)
    big = LinearlySolvable.grid("\n".join(["G" + "." * 39] + ["." * 40] * 39), 0.1)
    assert eliminates_cheaply(big.passive)
    states = 1500
    target = rng.integers(0, states, (states, 4))
    entries = (np.full(4 * states, 0.25), (np.repeat(np.arange(states), 4), target.ravel()))
    tangled = LinearlySolvable(sparse.coo_array(entries, (states, states)), 0.1, exits=[0])
    assert not eliminates_cheaply(tangled.passive)
    solution = linearly_solvable(tangled, 1.0)
    assert solution.method == "iteration"
    assert solution.converged
    other = linearly_solvable(tangled, 1.0, method="elimination")
    np.testing.assert_allclose(solution.value, other.value, atol=1e-9)


def test_both_solvers_of_linear_systems_agree():
    walk = LinearlySolvable.random_walk(300, 0.0)
    inner = walk.passive[1:-1][:, 1:-1]
    b = np.random.default_rng(0).normal(size=299)
    expected = np.linalg.solve(np.eye(299) - inner.toarray(), b)
    np.testing.assert_allclose(by_elimination(inner)(b), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(by_iteration(inner, np.arange(299.0))(b), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"temperature": 0.0}, "above 0"),
        ({"temperature": np.nan}, "above 0"),
        ({"method": "newton"}, "elimination"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"max_iterations": 0}, "max_iterations"),
    ],
)
def test_what_is_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        linearly_solvable(LinearlySolvable.random_walk(4), **({"temperature": 1.0} | arguments))


def test_an_eigenvalue_requires_an_average_cost():
    with pytest.raises(UsageError, match="kind average"):
        _ = linearly_solvable(LinearlySolvable.random_walk(4), 1.0).eigenvalue


def test_too_few_iterations_are_reported():
    solution = linearly_solvable(LinearlySolvable.random_walk(200, 0.0), 1.0, method="iteration", max_iterations=1)
    assert not solution.converged
