"""The library against published numbers, closed forms, and Gymnasium's own pendulum."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrax.problems import chain, forest, garnet, inventory, pendulum, random_walk, safe_or_risky
from tests.problems.problems_reference import END, branches, hard_values


def test_forest_management():
    np.testing.assert_allclose(hard_values(forest(discount=0.96)), [74.6496, 78.1056, 82.1056], atol=5e-5)


def test_forest_earns_its_average_reward():
    """Waiting for ever is optimal; under it ages are 0.1, 0.09 and 0.81 likely, and the oldest earns 4."""
    mdp = forest()
    waiting = mdp.to_dense()[:, 0, :-1]
    shares = np.linalg.matrix_power(waiting, 500)[0]
    assert shares @ mdp.reward[:, 0] == pytest.approx(3.24)


def test_inventory_has_the_rewards_of_the_textbook():
    mdp = inventory(discount=0.9)
    np.testing.assert_array_equal(mdp.mask, [[True] * (4 - s) + [False] * s for s in range(4)])
    np.testing.assert_allclose(mdp.reward, [[0, -1, -2, -5], [5, 0, -3, 0], [6, -1, 0, 0], [5, 0, 0, 0]], atol=1e-14)
    assert branches(mdp)[1, 1] == {(2, -8.0): 0.25, (1, 0.0): 0.5, (0, 8.0): 0.25}
    assert not mdp.terminal.any()


def test_safe_or_risky_keeps_both_outcomes():
    assert branches(safe_or_risky()) == {(0, 0): {(END, 0.0): 1.0}, (0, 1): {(END, 2.0): 0.5, (END, -4.0): 0.5}}
    np.testing.assert_array_equal(safe_or_risky().reward, [[0, -1]])


def test_the_variational_policy_of_safe_or_risky():
    odds = np.exp(safe_or_risky().reward[0])
    assert odds[1] / odds.sum() == pytest.approx(0.2689414, abs=5e-8)


def kl_values(mdp, sweeps=5000):
    """The values at temperature 1 under a uniform prior."""
    value = np.zeros(mdp.states + 1)
    for _ in range(sweeps):
        q = mdp.reward + (mdp.probability * value[mdp.successor]).sum(-1)
        value[:-1] = np.where(mdp.terminal, 0, np.log(np.exp(q).mean(1)))
    return value[:-1]


def test_todorovs_walk():
    """z = cosh θ(i − N/2) / cosh θN/2 with cosh θ = e^q; the cost-to-go of the middle of ten is 1.5909111000."""
    value = kl_values(random_walk(10, cost=0.1))
    theta = np.arccosh(np.exp(0.1))
    expected = np.cosh(theta * (np.arange(11) - 5)) / np.cosh(5 * theta)
    np.testing.assert_allclose(np.exp(value), expected, atol=1e-10)
    assert -value[5] == pytest.approx(1.5909111000, abs=5e-10)


def test_the_gamblers_ruin():
    """An exit worth −60 at temperature 1 has desirability 1e-26: the rest is z_i = i/N."""
    value = kl_values(random_walk(4, exit_rewards=(-60.0, 0.0)))
    np.testing.assert_allclose(np.exp(value[1:4]), [0.25, 0.5, 0.75], atol=1e-12)


def test_patience_pays_in_the_chain():
    assert branches(chain(3, slip=0.25))[1, 1] == {(2, 0.0): 0.75, (0, 0.0): 0.25}
    assert branches(chain(3, slip=0.25, left_reward=0.1))[0, 0] == {(0, 0.1): 0.75, (1, 0.1): 0.25}
    far = chain(5, left_reward=0.01, discount=0.9)
    np.testing.assert_allclose(hard_values(far), 10 * 0.9 ** np.arange(4, -1, -1.0), rtol=1e-9)
    near = hard_values(chain(5, left_reward=0.01, discount=0.1))
    assert near[0] == pytest.approx(0.01 / 0.9)


@given(st.integers(1, 30), st.integers(1, 3), st.data())
def test_garnet_has_as_many_distinct_successors_as_asked(states, actions, data):
    count = data.draw(st.integers(1, states))
    mdp = garnet(states, actions, count, seed=data.draw(st.integers(0, 99)))
    assert mdp.successor.shape == (states, actions, count)
    assert np.all(np.diff(mdp.successor, axis=2) > 0)
    assert np.all(mdp.probability > 0)


def test_garnet_is_a_uniform_choice_made_by_its_seed():
    mdp = garnet(50, 40, 3, seed=1)
    np.testing.assert_array_equal(mdp.successor, garnet(50, 40, 3, seed=1).successor)
    assert np.any(mdp.successor != garnet(50, 40, 3, seed=2).successor)
    for crowded in (3, 20):  # by redrawing, and by ranking
        mdp = garnet(50, 400, crowded, seed=1)
        visits, rows = np.bincount(mdp.successor.ravel(), minlength=50), 50 * 400
        share = crowded / 50
        assert np.abs(visits / rows - share).max() < 5 * np.sqrt(share * (1 - share) / rows)
    assert mdp.reward.mean() == pytest.approx(0, abs=5 / np.sqrt(20_000))
    assert mdp.probability.mean() == pytest.approx(1 / 20)


def test_garnet_with_terminal_states_and_a_mask():
    mask = np.ones((6, 2), bool)
    mask[3, 0] = False
    mdp = garnet(6, 2, 2, seed=0, terminal=[1], mask=mask)
    np.testing.assert_array_equal(mdp.probability.sum(2) > 0.5, mask & (np.arange(6) != 1)[:, None])


ANGLES, VELOCITIES, TORQUES = 36, 17, 5


def test_the_pendulum_moves_on_average_as_gymnasiums():
    """Interpolation keeps the mean: without wrapping, the expected angle and velocity are those of the step."""
    mdp = pendulum(ANGLES, VELOCITIES, TORQUES)
    angle = -np.pi + 2 * np.pi * np.arange(ANGLES) / ANGLES
    velocity, torque = np.linspace(-8, 8, VELOCITIES), np.linspace(-2, 2, TORQUES)
    env: Any = gymnasium.make("Pendulum-v1").unwrapped
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(200):
        i, j, a = rng.integers(4, ANGLES - 4), rng.integers(VELOCITIES), rng.integers(TORQUES)
        env.state = np.array([angle[i], velocity[j]])
        reward = env.step(np.array([torque[a]]))[1]
        state, weight = i * VELOCITIES + j, mdp.probability[i * VELOCITIES + j, a]
        reached = np.where(weight > 0, mdp.successor[state, a], 0)
        assert mdp.reward[state, a] == pytest.approx(reward, abs=1e-5)  # Gymnasium's torque has 32 bits
        assert weight @ angle[reached // VELOCITIES] == pytest.approx(env.state[0], abs=1e-6)
        assert weight @ velocity[reached % VELOCITIES] == pytest.approx(env.state[1], abs=1e-5)


def test_the_pendulum_goes_round():
    """From just below −π + 2π at full speed, the successors lie on both sides of the seam."""
    mdp = pendulum(ANGLES, VELOCITIES, TORQUES)
    state = (ANGLES - 1) * VELOCITIES + VELOCITIES - 1
    reached = mdp.successor[state, TORQUES - 1][mdp.probability[state, TORQUES - 1] > 0]
    assert set(reached // VELOCITIES) <= {0, 1, 2}
    np.testing.assert_allclose(mdp.probability.sum(2), 1)


def test_the_pendulum_starts_slowly():
    mdp = pendulum(ANGLES, VELOCITIES, TORQUES)
    speeds = np.abs(np.linspace(-8, 8, VELOCITIES))[np.flatnonzero(mdp.initial) % VELOCITIES]
    assert speeds.max() <= 1
    assert np.ptp(mdp.initial[mdp.initial > 0]) == 0
    assert pendulum(5, 4, 2).initial.sum() == pytest.approx(1)
