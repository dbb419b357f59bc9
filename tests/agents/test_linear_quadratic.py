"""Soft actor-critic on the one-dimensional linear-quadratic problem whose soft value is known in closed form."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import sac
from entrax.spec import Continuous, Leaf, Progress, Spec, Transition

ALPHA, GAMMA, NOISE, BOUND = 0.3, 0.9, 0.2, 4.0  # α, γ, W, and the largest |u|, far beyond what the policy takes
# V(x) = -P x² - C and π(u|x) = N(-K x, σ²), where P = 1 + γP / (1 + γP) solves the Riccati equation.
P = (2 * GAMMA - 1 + ((2 * GAMMA - 1) ** 2 + 4 * GAMMA) ** 0.5) / (2 * GAMMA)
K, SIGMA2 = P - 1, ALPHA / (2 * (1 + GAMMA * P))
C = (GAMMA * P * NOISE - ALPHA / 2 * np.log(2 * np.pi * SIGMA2)) / (1 - GAMMA)
SPEC = Spec(
    observation=(Leaf("obs", (1,), "float32", 1, (-np.inf,), (np.inf,)),),
    action=Continuous(shape=(1,), dtype="float32", low=(-BOUND,), high=(BOUND,)),
)
PROGRESS = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))


def transitions(key, batch=256):
    """x' = x + u + w and r = -x² - u², from everywhere in [-3, 3] by any u within 1.2 of a half of the way back."""
    x_key, u_key, w_key = jr.split(key, 3)
    x = jr.uniform(x_key, (batch,), minval=-3.0, maxval=3.0)
    u = -0.5 * x + jr.uniform(u_key, (batch,), minval=-1.2, maxval=1.2)
    after = x + u + NOISE**0.5 * jr.normal(w_key, (batch,))
    never = jnp.zeros(batch, bool)
    return Transition(x[:, None], u[:, None] / BOUND, -(x**2) - u**2, after[:, None], never, never)


def trained(updates):
    """The state after so many updates at each of three falling learning rates.

    Both critics begin alike and so stay: the minimum of two that differ is too low, by ten times as much in the end.
    """
    fields: dict[str, Any] = {"discount": GAMMA, "temperature": ALPHA, "target_rate": 0.05, "hidden": (64, 64)}
    configs = [sac.resolve(sac.Config(learning_rate=rate, **fields), SPEC) for rate in (2e-3, 5e-4, 1e-4)]

    @jax.jit
    def learn(state, config, key):
        def one(i, state):
            data_key, key_ = jr.split(jr.fold_in(key, i))
            return sac.update(config, state, transitions(data_key), PROGRESS, key_)[0]

        return jax.lax.fori_loop(0, updates, one, state)

    state = sac.init(configs[0], SPEC, jr.key(0))
    one = jax.tree.map(lambda x: jnp.stack([x[0], x[0]]), state.params.critics)
    state = eqx.tree_at(lambda s: (s.params.critics, s.targets), state, (one, one))
    for i, config in enumerate(configs):
        state = learn(state, config, jr.key(i + 1))
    return state


@pytest.mark.long
def test_the_critic_reaches_the_soft_value_and_the_policy_the_regulator():
    """V(x) = -P x² - c and π = N(-K x, Σ); in [-1, 1] each step has α log 4 less of entropy."""
    state = trained(4000)
    x = np.linspace(-2.0, 2.0, 9, dtype=np.float32)

    @jax.jit
    @jax.vmap
    def soft_value(x):
        law = state.params.policy(x[None])
        action, log_pi = jax.vmap(law.sample_and_log_prob)(jr.split(jr.key(9), 4000))
        q = jax.vmap(state.params.critics, (None, 0))(x[None], action)
        return jnp.mean(jnp.mean(q, axis=1) - ALPHA * log_pi), BOUND * jnp.mean(action), BOUND * jnp.std(action)

    value, mean, std = (np.asarray(part) for part in soft_value(x))
    wanted = -P * x**2 - C - ALPHA * np.log(BOUND) / (1 - GAMMA)
    np.testing.assert_allclose(value, wanted, atol=0.15)  # of values from -8.4 to -14.8
    np.testing.assert_allclose(mean, -K * x, atol=0.05)
    np.testing.assert_allclose(std, SIGMA2**0.5, atol=0.03)
