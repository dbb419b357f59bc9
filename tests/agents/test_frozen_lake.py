"""The discrete agents on FrozenLake, every transition in every batch, against the exact soft optimum.

The ice sends an action in three directions equally often, so a batch of all states, actions and outcomes has the
expected Bellman backup as its regression target, and what is left of the error is the optimiser's.
"""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import entrax
from entrax.agents import discrete_sac, dqn
from entrax.environments.spaces import spec_of
from entrax.spec import Progress, Transition
from tests.updating import updated

ENV = gymnasium.make("FrozenLake-v1")
P = ENV.get_wrapper_attr("P")
STATES = [s for s in P if any(not end or next_s != s for b in P[s].values() for _, next_s, _, end in b)]
PROGRESS = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))


def exact(discount, alpha):
    """V and π of soft value iteration, or of value iteration at α = 0, for all 16 states."""
    v = np.zeros(16)
    while True:
        q = np.array(
            [[sum(p * (r + discount * (not end) * v[n]) for p, n, r, end in P[s][a]) for a in range(4)] for s in P]
        )
        best = q.max(axis=1)
        new = best + (alpha * np.log(np.exp((q - best[:, None]) / alpha).sum(axis=1)) if alpha else 0.0)
        new[[s for s in P if s not in STATES]] = 0.0
        if np.abs(new - v).max() < 1e-10:
            return new, np.exp((q - new[:, None]) / alpha) if alpha else None
        v = new


def every_transition():
    rows = [(s, a, *outcome[1:]) for s in STATES for a in range(4) for outcome in P[s][a]]
    assert len(rows) == len(STATES) * 4 * 3
    assert all(outcome[0] == pytest.approx(1 / 3) for s in STATES for a in range(4) for outcome in P[s][a])
    s, a, next_s, reward, end = (np.array(column) for column in zip(*rows, strict=True))
    one_hot = np.eye(16, dtype=np.float32)
    return Transition(
        obs=jnp.asarray(one_hot[s]),
        action=jnp.asarray(a[:, None], jnp.int32),
        reward=jnp.asarray(reward, jnp.float32),
        next_obs=jnp.asarray(one_hot[next_s]),
        terminated=jnp.asarray(end, bool),
        truncated=jnp.zeros(len(rows), bool),
    )


def trained(agent, updates, **fields):
    """The state after `updates` updates from the batch of all transitions, with a smaller step at the end."""
    spec, batch = spec_of(ENV), every_transition()
    configs = [agent.resolve(agent.Config(hidden=(64,), learning_rate=rate, **fields), spec) for rate in (3e-3, 3e-4)]
    return updated(agent, configs, agent.init(configs[0], spec, jr.key(0)), batch, PROGRESS, updates)


def test_the_reference_has_the_known_values():
    for alpha, value in ((0.0, 0.542025932000), (0.01, 0.5989242013), (0.1, 2.4710324780)):
        assert exact(0.99, alpha)[0][0] == pytest.approx(value, abs=1e-7)


def test_soft_q_learning_reaches_the_soft_optimum():
    v, pi = exact(0.99, 0.1)
    state = trained(dqn, 2000, discount=0.99, temperature=0.1, target_rate=0.5)
    q = jax.vmap(state.params.critic)(jnp.eye(16)[jnp.array(STATES)])
    value = jax.vmap(lambda q: state.choices.soft_max(q, 0.1))(q)
    policy = jax.vmap(lambda q: state.choices.policy(q, 0.1))(q)[:, 0]
    np.testing.assert_allclose(value, v[STATES], atol=1e-4)
    np.testing.assert_allclose(policy, pi[STATES], atol=1e-4)


def test_double_q_learning_reaches_the_hard_optimum():
    v, _ = exact(0.99, 0.0)
    state = trained(dqn, 2000, discount=0.99, target_rate=0.5)
    value = jax.vmap(state.params.critic)(jnp.eye(16)[jnp.array(STATES)]).max(axis=(1, 2))
    np.testing.assert_allclose(value, v[STATES], atol=1e-4)


def test_discrete_sac_reaches_the_soft_optimum():
    v, pi = exact(0.99, 0.1)
    state = trained(discrete_sac, 2000, discount=0.99, temperature=0.1, target_rate=0.5)
    obs = jnp.eye(16)[jnp.array(STATES)]
    policy = jax.vmap(discrete_sac.CategoricalPolicy(network=state.params.policy, choices=state.choices))(obs)
    q = jax.vmap(state.params.critics)(obs).mean(axis=1)
    value = jax.vmap(lambda q, pi: state.choices.soft_value(q, pi, 0.1))(q, policy)
    np.testing.assert_allclose(value, v[STATES], atol=1e-4)
    np.testing.assert_allclose(policy[:, 0], pi[STATES], atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("agent", ["dqn", "discrete-sac"])
def test_a_run_comes_near_the_soft_optimum_from_its_own_samples(agent, tmp_path):
    settings: dict[str, Any] = {
        "discount": 0.95,
        "target_rate": 0.05,
        "learning_rate": 3e-4,
        "batch_size": 128,
        "hidden": (64,),
    }
    run = entrax.train(
        "FrozenLake-v1", agent=agent, run=tmp_path / "run", steps=20_000, temperature=0.1, eval_every=0, **settings
    )
    v, pi = exact(0.95, 0.1)
    obs, policy = jnp.eye(16)[jnp.array(STATES)], run.controller.policy
    learned = jax.vmap(lambda o: policy(o, PROGRESS) if agent == "dqn" else policy(o))(obs)[:, 0]
    assert np.abs(learned - pi[STATES]).sum(axis=1).mean() / 2 < 0.08  # total variation
    if agent == "dqn":
        value = jax.vmap(lambda o: policy.choices.soft_max(policy.critic(o), 0.1))(obs)
        np.testing.assert_allclose(value, v[STATES], atol=0.06)  # of values up to 1.16
