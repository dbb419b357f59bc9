"""Matrix games against closed forms, remembering opponents, and the gridworld that needs a stochastic policy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from entrax.errors import EntraxError
from entrax.estimators import reinforce_objective
from entrax.exact import plan
from entrax.problems import (
    ALIASED_OBSERVATION,
    aliased_gridworld,
    exploitability,
    logit_equilibrium,
    matrix_game,
    remembering_opponent,
    rock_paper_scissors,
    soft_responses,
)
from entrax.tabular import EpsilonGreedy, StepSize, make_simulator, q_learning

RPS = rock_paper_scissors()
UP, RIGHT, DOWN, LEFT = range(4)


@pytest.mark.parametrize("temperature", [1e-3, 0.05, 1.0, 100.0])
def test_rock_paper_scissors_is_uniform_at_every_temperature(temperature):
    found = logit_equilibrium(RPS, temperature)
    assert found.converged
    np.testing.assert_allclose([found.row, found.column], 1 / 3, atol=1e-12)
    assert exploitability(RPS, found.row, found.column) == pytest.approx((0, 0), abs=1e-12)


@pytest.mark.parametrize("temperature", [0.05, 0.3, 2.0])
def test_the_logit_equilibrium_is_a_pair_of_soft_responses_and_the_saddle_point(temperature):
    game = matrix_game(np.random.default_rng(0).normal(size=(3, 4)))
    found = logit_equilibrium(game, temperature)
    assert found.converged
    assert found.residual < 1e-11
    for mine, response in zip(found[:2], soft_responses(game, found.row, found.column, temperature), strict=True):
        np.testing.assert_allclose(mine, response, atol=1e-11)

    def saddle(x, y):
        entropy = lambda p: -np.sum(p * np.log(p))  # noqa: E731
        return x @ game.row @ y + temperature * (entropy(x) - entropy(y))

    best = saddle(found.row, found.column)
    others = np.random.default_rng(1).dirichlet(np.ones(3), 50), np.random.default_rng(2).dirichlet(np.ones(4), 50)
    assert all(saddle(x, found.column) < best < saddle(found.row, y) for x, y in zip(*others, strict=True))


def test_its_limits_are_known():
    """Matching pennies with a premium has the mixed equilibrium (2/6, 4/6); a dominant action takes all."""
    pennies = matrix_game([[3.0, -1.0], [-1.0, 1.0]])
    cold = logit_equilibrium(pennies, 1e-4)
    np.testing.assert_allclose(cold.row, [1 / 3, 2 / 3], atol=1e-3)
    dilemma = matrix_game([[3.0, 0.0], [5.0, 1.0]], [[3.0, 5.0], [0.0, 1.0]])
    found = logit_equilibrium(dilemma, 0.05)
    np.testing.assert_allclose([found.row, found.column], [[0, 1], [0, 1]], atol=1e-8)
    np.testing.assert_allclose(logit_equilibrium(dilemma, 1e9).row, 0.5, atol=1e-8)


def memory(choose):
    """A policy over last moves from `choose(own, other)`, the next move."""
    policy = np.zeros((3, 3, 3))
    for own, other in itertools.product(range(3), range(3)):
        policy[own, other, choose(own, other)] = 1
    return policy


@pytest.mark.parametrize(
    ("policy", "a_round"),
    [
        (np.full((3, 3, 3), 1 / 3), 0.0),
        (memory(lambda own, other: 0), 1.0),  # always rock
        (memory(lambda own, other: (own + 1) % 3), 1.0),  # in turn: uniform frequencies, every round lost
        (memory(lambda own, other: (other + 1) % 3), 1.0),  # what would have won
        (np.tile([0.5, 0.3, 0.2], (3, 3, 1)), 0.3),  # the best response's 0.5 − 0.2
        (0.4 * memory(lambda own, other: own) + 0.6 / 3, 0.4),  # repeats itself four times in ten
    ],
)
def test_the_payoff_of_a_remembering_opponent(policy, a_round):
    with jax.enable_x64(True):
        solution = plan(remembering_opponent(RPS, policy, discount=0.9), 0.0)
    np.testing.assert_allclose(0.1 * np.asarray(solution.value), a_round, atol=1e-9)


def test_taking_turns_is_safe_only_from_an_opponent_who_forgets():
    frequency = np.full(3, 1 / 3)
    assert exploitability(RPS, frequency, frequency) == pytest.approx((0, 0))
    assert exploitability(RPS, np.array([0.5, 0.3, 0.2]), frequency) == pytest.approx((0, 0.3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: matrix_game([1.0, 2.0]), "same shape"),
        (lambda: matrix_game([[1.0]], [[1.0, 2.0]]), "same shape"),
        (lambda: matrix_game([[np.inf]]), "finite"),
        (lambda: logit_equilibrium(RPS, 0.0), "above 0"),
        (lambda: remembering_opponent(RPS, np.ones((3, 3, 3))), "distribution over 3 moves"),
    ],
)
def test_invalid_arguments_are_refused(call, words):
    with pytest.raises(EntraxError, match=words):
        call()


# The aliased gridworld.
GRID = aliased_gridworld()
SEEN = np.asarray(ALIASED_OBSERVATION)
ROW = range(5)


def policy_east(p):
    """East with probability p in the aliased cells; towards the middle at the ends, down in the middle."""
    policy = np.full((GRID.states, 4), 0.25)
    for state, chances in ((0, {RIGHT: 1}), (1, {RIGHT: p, LEFT: 1 - p}), (2, {DOWN: 1}), (3, {RIGHT: p, LEFT: 1 - p})):
        policy[state] = [chances.get(action, 0) for action in range(4)]
    policy[4] = [0, 0, 0, 1]
    return policy


def steps_of(policy):
    """Expected steps from the five cells, by a linear solve on them."""
    chain = np.einsum("sa,sat->st", policy, GRID.to_dense()[..., :-1])[:5, :5]
    return np.linalg.solve(np.eye(5) - chain, np.ones(5))


def test_expected_steps_of_the_aliased_gridworld():
    np.testing.assert_allclose(steps_of(policy_east(0.5)), [5, 4, 1, 4, 5], rtol=1e-12)
    for p in (0.2, 0.5, 0.9):
        steps = steps_of(policy_east(p))
        np.testing.assert_allclose([steps[1], steps[3]], [2 / p, 2 / (1 - p)], rtol=1e-12)
    chances = np.linspace(0.02, 0.98, 97)
    assert chances[np.argmin([steps_of(policy_east(p)).mean() for p in chances])] == pytest.approx(0.5)


def reaches_treasure(action_of):
    """From which of the five cells a deterministic policy of the observation reaches the treasure."""
    transition = GRID.to_dense()
    ended = []
    for state in ROW:
        for _ in range(20):
            if np.asarray(GRID.terminal)[state]:
                break
            state = int(np.argmax(transition[state, action_of[SEEN[state]]]))
        ended.append(state == 6)
    return ended


def test_every_deterministic_policy_fails_from_somewhere():
    successes = [sum(reaches_treasure(actions)) for actions in itertools.product(range(4), repeat=SEEN[:5].max() + 1)]
    assert max(successes) == 3  # the middle and one side


def test_value_based_learning_fails():
    learned = q_learning(
        GRID,
        steps=30_000,
        key=jax.random.key(0),
        behaviour=EpsilonGreedy(0.2),
        observation=SEEN,
        step_size=StepSize(0.7),
    )
    greedy = np.argmax(np.where(np.asarray(learned.visits) > 0, learned.q, -np.inf), axis=1)
    assert sum(reaches_treasure(greedy)) <= 3


@jax.jit
def episode(logits, key):
    """Sample at most 40 steps: observations, actions, rewards, and whether each step is before the end."""
    simulator = make_simulator(GRID)
    start_key, walk_key = jax.random.split(key)

    def step(carry, uniform):
        state, going = carry
        obs = jnp.asarray(SEEN)[state]
        cumulative = jnp.cumsum(jax.nn.softmax(logits[obs]))
        action = jnp.minimum(jnp.sum(uniform[0] >= cumulative), 3)
        outcome = simulator.step(state, action, uniform[1])
        following = (jnp.where(outcome.terminated, 0, outcome.next_state), going & ~outcome.terminated)
        return following, (obs, action, jnp.where(going, outcome.reward, 0.0), going)

    start = simulator.start(jax.random.uniform(start_key))
    return jax.lax.scan(step, (start, jnp.array(True)), jax.random.uniform(walk_key, (40, 2)))[1]


def test_the_policy_gradient_finds_one_half():
    """REINFORCE on observations with all four actions, starting away from one half."""
    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, 800))

    def loss(logits, keys):
        obs, action, reward, valid = jax.vmap(lambda key: episode(logits, key))(keys)
        log_probability = jax.nn.log_softmax(logits)[obs, action]
        baseline = jax.lax.stop_gradient(jnp.mean(jnp.sum(reward, axis=1)))
        one = lambda lp, r, v: reinforce_objective(lp, r, 1.0, baseline=baseline, valid=v)  # noqa: E731
        return -jnp.mean(jax.vmap(one)(log_probability, reward, valid))

    def update(carry, key):
        logits, state = carry
        change, state = optimiser.update(jax.grad(loss)(logits, jax.random.split(key, 256)), state)
        return (optax.apply_updates(logits, change), state), None

    logits = jnp.zeros((int(SEEN.max()) + 1, 4)).at[SEEN[1], RIGHT].set(1.0)
    carry = (logits, optimiser.init(logits))
    train = jax.jit(lambda carry: jax.lax.scan(update, carry, jax.random.split(jax.random.key(0), 800))[0])
    policy = np.asarray(jax.nn.softmax(train(carry)[0]))
    assert abs(policy[SEEN[1], RIGHT] - 0.5) < 0.02
    assert steps_of(policy[SEEN]) == pytest.approx([5, 4, 1, 4, 5], rel=0.1)
