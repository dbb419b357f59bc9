"""A prior policy: three tokens in three places, all 27 sequences enumerated, p*(τ) ∝ π₀(τ) exp(R(τ)/α).

A state is what has been written so far, observed in one-hot form; dynamics are deterministic and nothing is discounted.
π₀ is a random softmax policy. The reference below knows sequences only: no Bellman equation.
"""

import itertools
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import discrete_sac, dqn, ppo
from entrax.errors import EntraxError
from entrax.exact import plan
from entrax.nets import TanhMLP
from entrax.policies import reference
from entrax.policies.choices import Choices
from entrax.policies.stochastic import Normal, Softmax
from entrax.problems import FiniteMDP
from entrax.spec import Discrete, Leaf, Progress, Spec, Transition
from tests.updating import updated

TOKENS, LENGTH, ALPHA = 3, 3, 0.4
STATES = [s for n in range(LENGTH) for s in itertools.product(range(TOKENS), repeat=n)]
SEQUENCES = list(itertools.product(range(TOKENS), repeat=LENGTH))
NUMBER = {s: i for i, s in enumerate(STATES)}
SIZE = len(STATES)
CHOICES = Choices((TOKENS,), (TOKENS,))
SPEC = Spec(
    observation=(Leaf("written", (SIZE,), "float32", SIZE, (0.0,) * SIZE, (1.0,) * SIZE),), action=Discrete(TOKENS)
)
PROGRESS = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))
REWARD = np.random.default_rng(0).normal(size=(SIZE, TOKENS))  # of writing a token after a prefix
LOGITS = np.random.default_rng(1).normal(scale=1.5, size=(SIZE, TOKENS))
PI_0 = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
ONE_HOT = jnp.eye(SIZE)


def table(values):
    """A network without hidden layers that maps one-hot states to the rows of `values`."""
    network = TanhMLP(SIZE, (), values.shape[1], 1.0, jr.key(0))
    return eqx.tree_at(lambda n: n.layers[-1].weight, network, jnp.asarray(values, jnp.float32))


def critic(options, values):
    """`ActionValues` without hidden layers of the values [state, action]."""
    return eqx.tree_at(lambda n: n.network.layers[-1].weight, options, jnp.asarray(values, jnp.float32))


PRIOR = Softmax(logits=table(LOGITS), choices=CHOICES)


def enumerated():
    """V, Q and π of every prefix, of the sums of π₀(τ) exp(R(τ)/α) over the sequences that go on from it."""
    value, q, policy = np.zeros(SIZE), np.zeros((SIZE, TOKENS)), np.zeros((SIZE, TOKENS))
    for s in STATES:
        mass = np.zeros(TOKENS)
        for sequence in SEQUENCES:
            if sequence[: len(s)] == s:
                steps = [(NUMBER[sequence[:t]], sequence[t]) for t in range(len(s), LENGTH)]
                weight = np.prod([PI_0[step] for step in steps]) * np.exp(sum(REWARD[step] for step in steps) / ALPHA)
                mass[sequence[len(s)]] += weight
        value[NUMBER[s]] = ALPHA * np.log(mass.sum())
        policy[NUMBER[s]] = mass / mass.sum()
        q[NUMBER[s]] = ALPHA * np.log(mass / PI_0[NUMBER[s]])
    return value, q, policy


VALUE, Q, POLICY = enumerated()


def every_transition():
    rows = [(s, a, NUMBER.get((*s, a), NUMBER[s]), len(s) == LENGTH - 1) for s in STATES for a in range(TOKENS)]
    state, action, following, end = zip(*[(NUMBER[s], a, n, end) for s, a, n, end in rows], strict=True)
    return Transition(
        obs=ONE_HOT[jnp.array(state)],
        action=jnp.array(action, jnp.int32)[:, None],
        reward=jnp.asarray(REWARD.ravel(), jnp.float32),
        next_obs=ONE_HOT[jnp.array(following)],
        terminated=jnp.array(end),
        truncated=jnp.zeros(len(rows), bool),
    )


BATCH = every_transition()


def test_exact_planning_with_an_action_prior_agrees_with_the_sequences():
    transition = np.zeros((SIZE, TOKENS, SIZE + 1))
    for s in STATES:
        for a in range(TOKENS):
            transition[NUMBER[s], a, NUMBER.get((*s, a), SIZE)] = 1.0
    with jax.enable_x64(True):
        mdp = FiniteMDP.from_dense(transition, REWARD, prior=PI_0, discount=1.0, initial=0)
        solution = plan(mdp, ALPHA, convention="kl")
    np.testing.assert_allclose(solution.value, VALUE, atol=1e-8)
    np.testing.assert_allclose(solution.policy, POLICY, atol=1e-8)


def soft_q(**fields):
    config = dqn.resolve(dqn.Config(hidden=(), discount=1.0, temperature=ALPHA, **fields), SPEC)
    return config, dqn.with_prior(config, dqn.init(config, SPEC, jr.key(0)), PRIOR)


def actor_critic(**fields):
    config = discrete_sac.resolve(discrete_sac.Config(discount=1.0, temperature=ALPHA, **fields), SPEC)
    return config, discrete_sac.with_prior(config, discrete_sac.init(config, SPEC, jr.key(0)), PRIOR)


@pytest.mark.parametrize("fields", [{}, {"double": True}])
def test_the_optimum_is_where_soft_q_learning_stays(fields):
    config, state = soft_q(**fields)
    right = critic(state.params.critic, Q)
    state = replace(state, params=dqn.Params(critic=right), targets=right)
    y = dqn.td_target(config, state, BATCH, jnp.asarray(ALPHA))
    np.testing.assert_allclose(y, Q.ravel(), atol=1e-5)
    policy = dqn.policy(config, state)
    np.testing.assert_allclose(jax.vmap(policy, (0, None))(ONE_HOT, PROGRESS)[:, 0], POLICY, atol=1e-5)
    np.testing.assert_array_equal(jax.vmap(policy.mode)(ONE_HOT)[:, 0], POLICY.argmax(axis=1))
    assert np.any(POLICY.argmax(axis=1) != Q.argmax(axis=1))  # so that the line above can fail


def test_the_optimum_is_where_returns_of_several_steps_stay():
    """-KL of the states between counts. In expectation over π, which draws the actions between: 3 steps to the end."""
    config, state = soft_q(n_step=LENGTH, double=True)
    right = critic(state.params.critic, Q)
    state = replace(state, params=dqn.Params(critic=right), targets=right)

    def window(sequence):
        steps = [(NUMBER[sequence[:t]] * TOKENS) + sequence[t] for t in range(LENGTH)]
        return jax.tree.map(lambda x: x[jnp.array(steps)], BATCH)

    windows = jax.tree.map(lambda *rows: jnp.stack(rows), *map(window, SEQUENCES))
    y = jax.vmap(lambda w: dqn.n_step_target(config, state, w, jnp.asarray(ALPHA)))(windows)
    weight = np.array([POLICY[NUMBER[s[:1]], s[1]] * POLICY[NUMBER[s[:2]], s[2]] for s in SEQUENCES])
    expected = [sum(y[i] * weight[i] for i, s in enumerate(SEQUENCES) if s[0] == a) for a in range(TOKENS)]
    np.testing.assert_allclose(expected, Q[0], atol=1e-5)


def test_the_optimum_is_where_discrete_sac_stays():
    config, state = actor_critic(hidden=())
    networks = critic(state.params.critics.networks, np.stack([Q, Q]))
    twins = eqx.tree_at(lambda c: c.networks, state.params.critics, networks)
    policy = critic(state.params.policy, Q / ALPHA)
    state = replace(state, params=replace(state.params, critics=twins, policy=policy), targets=twins)
    np.testing.assert_allclose(discrete_sac.td_target(config, state, BATCH), Q.ravel(), atol=1e-5)
    found = jax.vmap(discrete_sac.policy(config, state))(ONE_HOT)[:, 0]
    np.testing.assert_allclose(found, POLICY, atol=1e-5)
    g, minus_kl = jax.grad(discrete_sac.policy_loss, has_aux=True)(
        policy, config, twins, CHOICES, jnp.asarray(ALPHA), ONE_HOT, PRIOR
    )
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(g)) < 1e-6
    divergence = (POLICY * np.log(POLICY / PI_0)).sum(axis=1).mean()
    np.testing.assert_allclose(-minus_kl, divergence, rtol=1e-5)


def learned(agent, updates, **fields):
    """Configuration and state after updates from all transitions, with a smaller step at the end."""
    common: dict[str, Any] = {"hidden": (64,), "discount": 1.0, "target_rate": 0.5} | fields
    configs = [agent.resolve(agent.Config(learning_rate=rate, **common), SPEC) for rate in (3e-3, 3e-4)]
    state = agent.with_prior(configs[0], agent.init(configs[0], SPEC, jr.key(0)), PRIOR)
    return configs[1], updated(agent, configs, state, BATCH, PROGRESS, updates)


def test_soft_q_learning_reaches_the_enumerated_optimum():
    config, state = learned(dqn, 2000, temperature=ALPHA)
    value = jax.vmap(lambda s: CHOICES.soft_max(state.params.critic(s), ALPHA, PRIOR.probabilities(s)))(ONE_HOT)
    np.testing.assert_allclose(value, VALUE, atol=1e-3)
    np.testing.assert_allclose(dqn_policy(config, state), POLICY, atol=1e-3)


def dqn_policy(config, state):
    return jax.vmap(dqn.policy(config, state), (0, None))(ONE_HOT, PROGRESS)[:, 0]


def test_discrete_sac_reaches_the_enumerated_optimum():
    config, state = learned(discrete_sac, 2000, temperature=ALPHA)
    policy = jax.vmap(discrete_sac.policy(config, state))(ONE_HOT)[:, 0]
    np.testing.assert_allclose(policy, POLICY, atol=1e-3)
    q = jax.vmap(state.params.critics)(ONE_HOT).mean(axis=1)[:, 0]
    value = (policy * (q - ALPHA * np.log(policy / PI_0))).sum(axis=1)
    np.testing.assert_allclose(value, VALUE, atol=1e-3)


def test_a_temperature_is_learned_for_a_divergence():
    config, state = learned(discrete_sac, 4000, target_kl=0.2)
    policy = np.asarray(jax.vmap(discrete_sac.policy(config, state))(BATCH.obs)[:, 0])
    pi_0 = np.asarray(jax.vmap(PRIOR.probabilities)(BATCH.obs)[:, 0])
    assert (policy * np.log(policy / pi_0)).sum(axis=1).mean() == pytest.approx(0.2, abs=0.01)


def rollout():
    """Every sequence as an episode of its own: [time, env, ...]."""
    rows = jnp.array([[NUMBER[s[:t]] * TOKENS + s[t] for s in SEQUENCES] for t in range(LENGTH)])
    return jax.tree.map(lambda x: x[rows], BATCH)


def proximal(policy_values, value_values, **fields):
    chosen: dict[str, Any] = {
        "hidden": (1,),
        "discount": 1.0,
        "gae_lambda": 0.7,
        "normalise_advantages": False,
    } | fields
    config = ppo.resolve(ppo.Config(**chosen), SPEC)
    fresh = ppo.init(config, SPEC, jr.key(0))
    params = ppo.Params(policy=Softmax(logits=table(policy_values), choices=CHOICES), value=table(value_values))
    return config, ppo.with_prior(config, replace(fresh, params=params), PRIOR)


def test_at_the_optimum_no_action_has_an_advantage_for_ppo():
    """r - α log(π/π₀) + V(s') - V(s) = 0 for every action: the soft Bellman equation, solved for π."""
    config, state = proximal(np.log(POLICY), VALUE[:, None], temperature=ALPHA)
    advantage = ppo.examples(config, state.params, rollout(), PRIOR).advantage
    np.testing.assert_allclose(advantage, 0.0, atol=1e-5)
    without = ppo.examples(config, state.params, rollout()).advantage
    assert np.abs(without).max() > 0.1


def test_the_bonus_of_ppo_is_the_divergence_from_the_prior():
    config, state = proximal(np.log(POLICY), VALUE[:, None], entropy_coefficient=0.3, value_coefficient=0.0)
    rows = ppo.examples(config, state.params, rollout(), PRIOR)
    with_bonus, info = ppo.loss(state.params, config, rows, PRIOR)
    states = [NUMBER[s[:t]] for t in range(LENGTH) for s in SEQUENCES]
    divergence = (POLICY * np.log(POLICY / PI_0)).sum(axis=1)[states].mean()
    np.testing.assert_allclose(info["kl_to_prior"], divergence, rtol=1e-5)
    np.testing.assert_allclose(with_bonus, info["policy_loss"] + 0.3 * divergence, rtol=1e-5)


def gaussian(seed):
    mean = TanhMLP(2, (4,), 2, 1.0, jr.key(seed))
    return Normal(mean=mean, log_std=0.5 * jr.normal(jr.key(seed + 1), (2,)))


def test_two_gaussians_diverge_as_their_integral_does():
    policy, prior, obs = gaussian(0), gaussian(2), jnp.array([0.3, -1.0])
    mean, std = np.asarray(policy.mean(obs)), np.exp(np.asarray(policy.log_std))
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)  # exact for the quadratic log ratio
    grid = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2)
    weight = np.outer(weights, weights).ravel() / (2 * np.pi)
    ratio = [
        float(policy.log_prob(obs, a) - reference.log_probability(prior, obs, a))
        for a in jnp.asarray(mean + std * grid, jnp.float32)
    ]
    np.testing.assert_allclose(reference.kl(policy, prior, obs), weight @ np.array(ratio), rtol=1e-5)
    np.testing.assert_allclose(reference.kl(policy, policy, obs), 0.0, atol=1e-6)


def test_what_a_prior_excludes_is_never_taken_and_costs_ppo_a_finite_price():
    hard = Softmax(logits=table(np.where(LOGITS.max(axis=1, keepdims=True) == LOGITS, 200.0, 0.0)), choices=CHOICES)
    config, state = soft_q()
    policy = dqn_policy(config, dqn.with_prior(config, state, hard))
    np.testing.assert_allclose(policy[np.arange(SIZE), LOGITS.argmax(axis=1)], 1.0)
    assert np.isfinite(reference.kl(PRIOR, hard, ONE_HOT[0]))
    assert float(reference.log_probability(hard, ONE_HOT[0], jnp.array([LOGITS[0].argmin()]))) < -80.0


def test_a_uniform_prior_is_none_but_for_a_constant():
    """V lies α log|A| lower in a state, and the policy is the same."""
    uniform = Softmax(logits=table(np.zeros((SIZE, TOKENS))), choices=CHOICES)
    config, state = soft_q()
    alpha = jnp.asarray(ALPHA)
    without = replace(state, prior=None)
    y, y_0 = (dqn.td_target(config, s, BATCH, alpha) for s in (dqn.with_prior(config, state, uniform), without))
    lower = np.where(BATCH.terminated, 0.0, ALPHA * np.log(TOKENS))
    np.testing.assert_allclose(y, y_0 - lower, atol=1e-5)
    np.testing.assert_allclose(
        dqn_policy(config, dqn.with_prior(config, state, uniform)), dqn_policy(config, without), atol=1e-6
    )


def test_where_a_prior_would_not_count_or_cannot_be_one_that_is_said():
    config = dqn.resolve(dqn.Config(temperature=0.1), SPEC)
    hard = dqn.resolve(dqn.Config(temperature=0.1, final_temperature=0.0), SPEC)
    learning = discrete_sac.resolve(discrete_sac.Config(), SPEC)
    plain = ppo.resolve(ppo.Config(), SPEC)
    other = replace(PRIOR, choices=Choices((TOKENS, 2), (6,)))
    for agent, settings, given, words in (
        (dqn, hard, PRIOR, r"temperature. must be positive for a prior to count, got 0\.0"),
        (discrete_sac, learning, PRIOR, "unless there is a `target_kl`"),
        (ppo, plain, PRIOR, "positive, or `entropy_coefficient`, for a prior to count"),
        (dqn, config, gaussian(0), "The prior is a Normal"),
        (dqn, config, other, "give both the same `joint_limit`"),
    ):
        with pytest.raises(EntraxError, match=words):
            agent.with_prior(settings, agent.init(settings, SPEC, jr.key(0)), given)
