"""Composed policies against exact answers: what they are worth, and how far that is from the best."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import special, stats

from entrax.nets import ActionValues
from entrax.policies.choices import Choices
from entrax.policies.composed import ComposedChoices, ComposedEnergy, EnergyPart, TablePart, combined
from entrax.policies.controller import FINISHED, Scaling

STATES, ACTIONS, GAMMA, ALPHA = 5, 3, 0.8, 0.7


@eqx.filter_jit
def tell(policy):
    """Probabilities, gap and entropy in every state, by one program for all tables."""
    obs, key = jnp.eye(STATES), jr.key(0)
    gap, entropy = (jax.vmap(f, (0, None))(obs, key) for f in (policy.gap, policy.entropy))
    return jax.vmap(policy)(obs)[:, 0], gap, entropy


def soft_max(q, alpha=ALPHA):
    return alpha * special.logsumexp(q / alpha, axis=-1)


def soft_optimum(reward, transitions, gamma=GAMMA, alpha=ALPHA):
    """Q by 2000 backups: reward [s, a], transitions [s, a, s']."""
    q = np.zeros_like(reward)
    for _ in range(2000):
        q = reward + gamma * transitions @ soft_max(q, alpha)
    return q


def problem(seed):
    rng = np.random.default_rng(seed)
    transitions = rng.dirichlet(np.full(STATES, 0.4), size=(STATES, ACTIONS))
    return transitions, rng.normal(size=(2, STATES, ACTIONS))


def tabular(q_tables, how, alpha=ALPHA):
    """The composed policy of tables [s, a] of one-hot observations."""
    choices = Choices(nvec=(ACTIONS,), sizes=(ACTIONS,))

    def part(table):
        network = ActionValues(STATES, (1, ACTIONS), (), jr.key(0))
        where = lambda n: (n.network.layers[0].weight, n.network.layers[0].bias)  # noqa: E731
        there = where(network)
        weight = table if there[0].shape == table.shape else table.T
        network = eqx.tree_at(where, network, (jnp.asarray(weight, jnp.float32), jnp.zeros_like(there[1])))
        return TablePart(
            scaling=Scaling(mean=jnp.zeros(STATES), scale=jnp.ones(STATES)), critics=network, choices=choices
        )

    return ComposedChoices(parts=tuple(map(part, q_tables)), temperature=alpha, choices=choices, combine=how)


def worth(reward, transitions, pi, cost=None):
    """Q of a fixed policy, with its entropy in the reward, or of a `cost` [s] of each state after the first."""
    entropy = -ALPHA * np.sum(pi * np.log(pi), axis=1)
    ahead = entropy if cost is None else cost
    step = np.einsum("sat,tb->satb", transitions, pi).reshape(STATES * ACTIONS, STATES * ACTIONS)
    now = (reward + GAMMA * transitions @ ahead).ravel()
    return np.linalg.solve(np.eye(len(now)) - GAMMA * step, now).reshape(STATES, ACTIONS)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("how", ["mean", "sum"])
def test_the_value_of_a_composition_is_known_and_within_its_bounds_of_the_best(seed, how):
    transitions, rewards = problem(seed)
    together = rewards.mean(axis=0) if how == "mean" else rewards.sum(axis=0)
    parts = np.stack([soft_optimum(r, transitions) for r in rewards])
    policy = tabular(parts, how)
    pi, gap, entropy = (np.asarray(told, float) for told in tell(policy))
    q = parts.mean(axis=0) if how == "mean" else parts.sum(axis=0)
    np.testing.assert_allclose(pi, special.softmax(q / ALPHA, axis=1), rtol=1e-4)
    np.testing.assert_allclose(entropy, special.entr(pi).sum(axis=1), rtol=1e-4)

    pis = special.softmax(parts / ALPHA, axis=2)
    power = 0.5 if how == "mean" else 1.0
    np.testing.assert_allclose(gap, -ALPHA * np.log(np.sum(np.prod(pis**power, axis=0), axis=1)), rtol=2e-4, atol=1e-5)

    pi = special.softmax(q / ALPHA, axis=1)
    G = worth(np.zeros_like(q), transitions, pi, cost=gap)
    np.testing.assert_allclose(worth(together, transitions, pi), q - G, rtol=1e-4, atol=1e-4)  # known exactly

    best = soft_optimum(together, transitions)
    regret = best - worth(together, transitions, pi)
    assert np.all(regret > 0)
    assert np.all(regret <= G + 1e-6)
    shortfall = soft_max(best) - np.sum(pi * (worth(together, transitions, pi) - ALPHA * np.log(pi)), axis=1)
    assert np.all(shortfall >= np.sum(pi * regret, axis=1) - 1e-6)  # it counts the first action, too
    assert np.all(shortfall <= np.sum(pi * G, axis=1) + 1e-6)
    C_star = np.zeros_like(q)  # lemma 1 of the paper
    for _ in range(2000):
        C_star = GAMMA * transitions @ (gap + C_star.max(axis=1))
    assert np.all(C_star + 1e-9 >= G)
    assert np.all(q - C_star <= best + 1e-6)
    assert np.all(best <= q + 1e-6)


def test_tasks_that_are_the_same_compose_to_themselves():
    transitions, rewards = problem(0)
    q = soft_optimum(rewards[0], transitions)
    pi, gap, _ = tell(tabular([q, q], "mean"))
    np.testing.assert_allclose(pi, special.softmax(q / ALPHA, axis=1), rtol=1e-5)
    np.testing.assert_allclose(gap, 0.0, atol=2e-6)


def test_or_is_exact_in_linearly_solvable_problems():
    """A line of 5 states with an exit at either end, without discount: z = Σ w_k z_k of the last rewards' z."""
    left, right, stay = np.eye(7)[[0, 0, 1, 2, 3, 4, 6]], np.eye(7)[[0, 2, 3, 4, 5, 6, 6]], np.eye(7)
    transitions = np.stack([left, right, stay], axis=1)

    def optimum(exits):
        q = np.zeros((7, 3))
        for _ in range(2000):
            v = soft_max(q)
            v[[0, 6]] = exits
            q = -1.5 + transitions @ v
        return q[1:6]

    first, second = np.array([2.0, -1.0]), np.array([-3.0, 1.0])
    either = ALPHA * np.log(0.5 * (np.exp(first / ALPHA) + np.exp(second / ALPHA)))
    composed = combined("or", jnp.stack([jnp.asarray(optimum(e), jnp.float32) for e in (first, second)]), ALPHA)
    np.testing.assert_allclose(composed, optimum(either), rtol=1e-5, atol=1e-5)
    pi, gap, _ = tell(tabular([optimum(first), optimum(second)], "or"))
    np.testing.assert_allclose(pi, special.softmax(optimum(either) / ALPHA, axis=1), rtol=1e-4)
    np.testing.assert_allclose(gap, 0.0, atol=2e-6)


class Peaks(eqx.Module):
    """Q of one action: two parabolic peaks; the sampler knows the first of them only."""

    centres: jax.Array
    sharpness: float = 60.0

    def __call__(self, obs, action):
        return jnp.max(-self.sharpness * (action[0] - self.centres) ** 2, keepdims=True)

    def draw(self, obs, count, key):
        return jnp.arctanh(self.centres[0]) + 0.05 * jr.normal(key, (count, 1))


def energy(how, candidates):
    parts = [
        EnergyPart(scaling=Scaling(mean=jnp.zeros(1), scale=jnp.ones(1)), temperature=0.5, critics=peaks, sampler=peaks)
        for peaks in (Peaks(jnp.array([-0.4, 0.6])), Peaks(jnp.array([-0.5, 0.7])))
    ]
    return ComposedEnergy(parts=tuple(parts), temperature=1.0, candidates=candidates, combine=how)


def by_quadrature(how):
    """The composed density of `energy` on a fine grid, and its gap."""
    grid = np.linspace(-1, 1, 20_001)
    actions = jnp.asarray(grid[:, None], jnp.float32)
    parts = np.stack([part.q(jnp.zeros(1), actions) for part in energy(how, 2).parts]).astype(float)
    q = np.asarray(combined(how, jnp.asarray(parts), 1.0), float)
    value = lambda q: np.log(np.trapezoid(np.exp(q), grid))  # noqa: E731
    density = np.exp(q - value(q))
    gap = float(combined(how, jnp.array([value(p) for p in parts]), 1.0)) - value(q)
    return grid, density, gap


def test_draws_of_continuous_actions_follow_the_composed_density():
    """Kolmogorov's distance of 2000 draws: with 256 candidates the bias is below what so many can tell."""
    how, obs = "mean", jnp.zeros(1)
    policy = energy(how, 256)
    draw = jax.jit(lambda keys: jax.lax.map(lambda k: policy.sample(obs, FINISHED, k), keys, batch_size=100))
    actions, extras = draw(jr.split(jr.key(0), 2000))
    grid, density, _ = by_quadrature(how)
    cdf = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    distance = stats.kstest(np.asarray(actions)[:, 0], lambda a: np.interp(a, grid, cdf)).statistic
    assert distance < 1.95 / np.sqrt(2000)  # the 0.1 per cent point
    assert 16 < float(jnp.mean(extras["effective_draws"])) < 256
    best = eqx.filter_jit(lambda policy: policy.mode(obs))(policy)
    assert np.interp(best[0], grid, density) > 0.99 * density.max()  # there are two modes


def test_gap_and_entropy_of_continuous_actions_are_the_integrals():
    """The error of one estimate is about 1/√draws; the mean of many is as biased as 1/draws."""
    policy, obs = energy("mean", 256), jnp.zeros(1)
    tell = jax.jit(jax.vmap(lambda k: (policy.gap(obs, k), policy.entropy(obs, k))))
    gaps, entropies = map(np.asarray, tell(jr.split(jr.key(1), 400)))
    grid, density, gap = by_quadrature("mean")
    assert gap > 0.05
    assert np.mean(gaps) == pytest.approx(gap, abs=0.01)
    assert np.mean(entropies) == pytest.approx(-np.trapezoid(density * np.log(density), grid), abs=0.02)


def test_the_proposal_has_the_density_that_it_says():
    """Weights 1/q of its draws have the mean 2, the length of the box."""
    policy, obs = energy("mean", 64), jnp.zeros(1)
    _, log_density = jax.jit(jax.vmap(lambda k: policy.propose(obs, k)))(jr.split(jr.key(2), 500))
    assert np.mean(np.exp(-np.asarray(log_density, float))) == pytest.approx(2.0, rel=0.03)
