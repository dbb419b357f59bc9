"""γ = 1: known values, what is refused and why, and the average reward."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.exact import evaluate, plan
from entrax.problems import FiniteMDP, forest, garnet, random_walk


def scalar(value):
    """A result that may be None, as a number."""
    assert value is not None
    return float(value)


def problem(*transitions, **options):
    """From tuples (s, a, p, s', r), −1 standing for the end."""
    rows = [(s, a, p, max(n, 0), r, n < 0) for s, a, p, n, r in transitions]
    return FiniteMDP.from_transitions(rows, **options)


def cheap_ways_to_stay():
    """A problem in which the policies that the first values suggest never end."""
    successor = [
        [[3, 7], [0, 7], [3, 7]],
        [[1, 7], [2, 7], [0, 7]],
        [[0, 7], [5, 7], [5, 6]],
        [[1, 7], [5, 6], [2, 6]],
        [[1, 7], [0, 7], [0, 7]],
        [[4, 7], [2, 7], [0, 2]],
        [[7, 4], [0, 7], [3, 4]],
    ]
    first = [[1, 1, 1], [1, 0.98, 1], [1, 1, 0.88], [1, 0.16, 0.61], [1, 1, 0.08], [1, 1, 0.1], [0.71, 1, 0.002]]
    cost = [[2, 4, 0], [2, 3, 6], [0, 2, 3], [0, 2, 2], [4, 3, 1], [1, 1, 0], [3, 0, 5]]
    return FiniteMDP(
        successor=np.array(successor, np.int32),
        probability=np.stack([np.array(first), 1 - np.array(first)], axis=-1),
        reward=-np.array(cost, float),
        initial=np.eye(7)[0],
        terminal=np.zeros(7, bool),
    )


@pytest.mark.parametrize("temperature", [0.0, 0.3])
def test_policies_that_never_end_are_no_way_to_the_optimum(temperature):
    trap = cheap_ways_to_stay()
    swept = plan(trap, temperature, convention="kl", method="value-iteration")
    assert bool(swept.converged)
    for method in ("newton-krylov", "policy-iteration"):
        solution = plan(trap, temperature, convention="kl", method=method)
        np.testing.assert_allclose(solution.value, swept.value, atol=1e-9)
        assert bool(solution.converged)
        assert float(solution.error_bound) <= 1e-9


def test_a_value_of_nothing_is_certified():
    """Walking costs what choosing at random earns: V = 0, and the walk is as long as it can be."""
    solution = plan(random_walk(10, cost=np.log(2)), 1.0)
    assert float(jnp.max(jnp.abs(solution.value))) <= float(solution.error_bound) <= 1e-11
    assert bool(solution.converged)


def test_what_was_cut_short_has_not_converged():
    solution = plan(cheap_ways_to_stay(), 0.0, convention="kl", method="value-iteration", max_iterations=3)
    assert not bool(solution.converged)


def test_frozen_lake_undiscounted():
    lake = FiniteMDP.from_gymnasium("FrozenLake-v1")
    solution = plan(lake, 0.0, tolerance=1e-11)
    grid = [14, 14, 14, 14, 14, 0, 9, 0, 14, 14, 13, 0, 0, 15, 16, 0]
    np.testing.assert_allclose(17 * solution.value, grid, atol=1e-10)
    assert float(solution.error_bound) <= 1e-11
    # Staying in the top row for ever ties with leaving it; the policy returned must leave, and earn the value.
    np.testing.assert_allclose(evaluate(lake, solution.policy).value, solution.value, atol=1e-10)


@pytest.mark.long
def test_frozen_lake_8x8_undiscounted():
    solution = plan(FiniteMDP.from_gymnasium("FrozenLake8x8-v1"), 0.0, tolerance=1e-11)
    assert float(solution.value[0]) == pytest.approx(1.0, abs=1e-11)


@pytest.mark.parametrize("method", ["newton-krylov", "policy-iteration", "value-iteration"])
def test_cliff_walking_undiscounted(method):
    solution = plan(FiniteMDP.from_gymnasium("CliffWalking-v1"), 0.0, method=method)
    assert float(solution.value[36]) == pytest.approx(-13.0, abs=1e-10)
    assert float(solution.error_bound) <= 1e-9


def test_taxi_undiscounted():
    taxi = FiniteMDP.from_gymnasium("Taxi-v4")
    solution = plan(taxi, 0.0)
    assert float(jnp.mean(solution.value[np.asarray(taxi.initial) > 0])) == pytest.approx(7.93, abs=1e-10)


@pytest.mark.parametrize("temperature", [0.1, 1e-3])
def test_frozen_lake_with_entropy_is_refused(temperature):
    """The entropy of the time to leave the top row is infinite; in the KL convention the value is finite."""
    lake = FiniteMDP.from_gymnasium("FrozenLake-v1")
    with pytest.raises(EntraxError, match=r"state 0.*infinite.*4 state"):
        plan(lake, temperature)
    solution = plan(lake, temperature, convention="kl", tolerance=1e-11)
    assert float(solution.error_bound) <= 1e-11


def loop(reward):
    """State 0 can stay by two actions, with `reward`, or end with reward 0."""
    return problem((0, 0, 1, 0, reward), (0, 1, 1, 0, reward), (0, 2, 1, -1, 0.0))


def test_entropy_against_the_cost_of_staying():
    """V = α log(2 e^{(r + V)/α} + 1) = −α log(1 − 2 e^{r/α}): finite if and only if r < −α log 2."""
    alpha, r = 0.5, -0.36
    assert r < -alpha * np.log(2) < r + 0.02
    solution = plan(loop(r), alpha, tolerance=1e-11)
    assert float(solution.value[0]) == pytest.approx(-alpha * np.log(1 - 2 * np.exp(r / alpha)), abs=1e-11)
    with pytest.raises(EntraxError, match="infinite"):
        plan(loop(r + 0.02), alpha)


def test_hard_loops():
    assert float(plan(loop(-1.0), 0.0).value[0]) == 0.0
    assert float(plan(loop(0.0), 0.0).value[0]) == 0.0
    with pytest.raises(EntraxError, match="state 0 is infinite"):
        plan(loop(1e-3), 0.0)


def test_zero_gain_components_are_worth_their_best_exit():
    """States 0 and 1 lead to each other with reward 0; one leaves with −5, the other with `exit_reward`."""

    def pair(exit_reward):
        return problem((0, 0, 1, 1, 0.0), (0, 1, 1, -1, -5.0), (1, 0, 1, 0, 0.0), (1, 1, 1, -1, exit_reward))

    np.testing.assert_allclose(plan(pair(3.0), 0.0).value, [3.0, 3.0], atol=1e-12)
    np.testing.assert_allclose(plan(pair(3.0), 0.0).policy, [[1, 0], [0, 1]])
    np.testing.assert_allclose(plan(pair(-3.0), 0.0).value, [0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(plan(pair(-3.0), 0.0).policy, [[1, 0], [1, 0]])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_state_that_cannot_end_is_named(temperature):
    stuck = problem((0, 0, 1, -1, 1.0), (0, 1, 1, 1, 1.0), (1, 0, 1, 1, -1.0))
    with pytest.raises(EntraxError, match=r"state 1.*end"):
        plan(stuck, temperature)
    assert np.isfinite(plan(replace(stuck, discount=0.9), temperature).value[1])


@pytest.mark.parametrize("method", ["newton-krylov", "value-iteration"])
def test_forest_average_reward(method):
    solution = plan(forest(), 0.0, objective="average", method=method)
    assert scalar(solution.average_reward) == pytest.approx(3.24, abs=1e-10)
    assert float(solution.error_bound) <= 1e-9


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_average_reward_is_what_its_policy_earns(temperature):
    ergodic = garnet(16, 4, 3, seed=0)
    solution = plan(ergodic, temperature, objective="average", tolerance=1e-11)
    earned = evaluate(ergodic, solution.policy, temperature, objective="average")
    assert float(earned.expected_return) == pytest.approx(scalar(solution.average_reward), abs=1e-10)
    np.testing.assert_allclose(earned.value, solution.value, atol=1e-7)


def test_a_period_of_two_does_not_stop_the_average_reward():
    swap = problem((0, 0, 1, 1, 1.0), (1, 0, 1, 0, 0.0))
    for method in ("newton-krylov", "value-iteration"):
        assert scalar(plan(swap, 0.0, objective="average", method=method).average_reward) == pytest.approx(0.5)


def test_an_average_reward_that_depends_on_the_start_is_refused():
    apart = problem((0, 0, 1, 0, 1.0), (1, 0, 1, 1, 0.0))
    with pytest.raises(EntraxError, match=r"state 0.*state 1"):
        plan(apart, 0.0, objective="average")
    with pytest.raises(EntraxError, match="can end in state 0"):
        plan(loop(-1.0), 0.0, objective="average")


WAY_OUT = [(0, 0, 1, 1, -1.0), (0, 1, 1, -1, -5.0), (1, 0, 1, -1, -1.0)]


@pytest.mark.parametrize("step", [-1.0, 1.0])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_dead_ends_that_no_episode_visits_have_no_value(step, temperature):
    apart = problem(*WAY_OUT, (2, 0, 1, 2, step), initial=0)
    solution, alone = plan(apart, temperature), plan(problem(*WAY_OUT), temperature)
    np.testing.assert_allclose(solution.value[:2], alone.value, rtol=1e-12)
    assert np.isnan(solution.value[2])
    assert bool(solution.converged)
    assert float(evaluate(apart, solution.policy, temperature).expected_return) == pytest.approx(float(alone.value[0]))
    with pytest.raises(EntraxError, match="state 2"):
        plan(problem(*WAY_OUT, (2, 0, 1, 2, step)), temperature)


@pytest.mark.parametrize(
    ("temperature", "convention"), [(0.0, "entropy"), (1.0, "entropy"), pytest.param(1.0, "kl", marks=pytest.mark.long)]
)
def test_a_loop_without_reward_has_value_zero(temperature, convention):
    """State 2 stays for ever with reward 0, which is worth the same as the end of the episode."""
    rows = [*WAY_OUT, (1, 1, 1, 2, -0.25)]
    loop = problem(*rows, (2, 0, 1, 2, 0.0), initial=0)
    ended = problem(*WAY_OUT, (1, 1, 1, -1, -0.25), initial=0)
    solution = plan(loop, temperature, convention=convention)
    expected = plan(ended, temperature, convention=convention)
    np.testing.assert_allclose(solution.value, [*expected.value, 0.0], atol=1e-12)
    assert bool(solution.converged)
    evaluation = evaluate(loop, solution.policy, temperature, convention=convention)
    np.testing.assert_allclose(evaluation.value, solution.value, atol=1e-12)


def test_choices_without_effect_have_value_zero_in_the_kl_convention():
    """Two actions that stay have divergence 0 from the prior, but infinite entropy."""
    choice = problem((0, 0, 1, 1, -1.0), (0, 1, 1, 1, -1.0), (1, 0, 1, 1, 0.0), (1, 1, 1, 1, 0.0))
    np.testing.assert_allclose(plan(choice, 1.0, convention="kl").value, [-1.0, 0.0], atol=1e-12)
    with pytest.raises(EntraxError, match="`discount`"):
        plan(choice, 1.0)


RECURRENT = garnet(12, 3, 3, seed=1)


def with_transient_state(reward, place):
    """`RECURRENT` with one more state, at index `place`, that no episode visits and that leads to the others."""
    others = np.delete(np.arange(13), place)
    transition, rewards = np.zeros((13, 3, 13)), np.full((13, 3), reward)
    transition[np.ix_(others, np.arange(3), others)] = RECURRENT.to_dense()[..., :-1]
    rewards[others] = RECURRENT.reward
    transition[place, :, others[0]] = 1.0
    return FiniteMDP.from_dense(transition, rewards, initial=int(others[0]))


@pytest.mark.parametrize("place", [0, 12])
@pytest.mark.parametrize("reward", [-1e18, 1e18])
@pytest.mark.parametrize("temperature", [0.0, 0.3])
@pytest.mark.parametrize("method", ["newton-krylov", "value-iteration"])
def test_a_huge_reward_in_a_transient_state_keeps_the_gain_certified(method, temperature, reward, place):
    expected = plan(RECURRENT, temperature, objective="average", tolerance=1e-11)
    solution = plan(with_transient_state(reward, place), temperature, objective="average", method=method)
    error = abs(scalar(solution.average_reward) - scalar(expected.average_reward))
    assert error <= float(solution.error_bound) + float(expected.error_bound)
    assert bool(solution.converged)
    others = np.delete(np.arange(13), place)
    np.testing.assert_allclose(np.asarray(solution.policy)[others], expected.policy, atol=1e-6)


@pytest.mark.parametrize("initial", [0, pytest.param(None, marks=pytest.mark.long)])
def test_a_state_without_a_bound_does_not_affect_other_states(initial):
    """In state 2 an action of probability 1e-17 to end ties with ending at once; no enclosure is verified there."""
    rows = [(0, 0, 1, 1, -1.0), (1, 0, 0.7, -1, -0.3), (1, 0, 0.3, 0, -0.3)]
    rows += [(2, 0, 1, -1, -1.0), (2, 1, 1 - 1e-17, 2, -1e-17), (2, 1, 1e-17, -1, -1e-17)]
    rows += [(3, 0, 1, 0, -2.0), (4, 0, 0.5, 2, -1.0), (4, 0, 0.5, 0, -1.0)]
    mdp = problem(*rows) if initial is None else problem(*rows, initial=initial)
    solution = plan(mdp, 0.0, max_iterations=50)
    good = [0, 1, 3]
    np.testing.assert_allclose(solution.value[jnp.asarray(good)], [-13 / 7, -6 / 7, -27 / 7], rtol=1e-14)
    assert np.all(np.asarray(solution.state_bound)[good] < 1e-12)
    assert np.all(np.isinf(np.asarray(solution.state_bound)[[2, 4]]))  # 4 can reach 2
    assert bool(solution.converged) == (initial == 0)
