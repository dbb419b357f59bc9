"""Plan with a policy that keeps a sequence of actions in its carry.

At every step it improves the sequence by sampling, and shifts it by a step. The model is learned: a linear regression
of the next observation, and of the reward on squares, both from the replay.

    entrax train Pendulum-v1 --agent ./examples/planning_agent.py --steps 2000
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from entrax.fields import Settings, as_arrays, at_least, field
from entrax.replay import Uniform


class Config(Settings):
    plan_steps: int = field(8, "Steps of a plan.", at_least(1), static=True)
    candidates: int = field(64, "Plans that are compared at every step.", at_least(2), static=True)


class Model(eqx.Module):
    """The linear model next_obs ≈ [obs, action, 1] A of the environment.

    The reward is ≈ [obs², action², 1] b. Both are kept as sums of the normal equations.
    """

    sums: tuple[jax.Array, jax.Array, jax.Array, jax.Array]

    def fit(self):
        gram, cross, gram_r, cross_r = self.sums
        ridge = 1e-3 * jnp.eye(len(gram))
        return jnp.linalg.solve(gram + ridge, cross), jnp.linalg.solve(gram_r + ridge, cross_r)


class Planner(eqx.Module):
    dynamics: jax.Array
    reward: jax.Array
    config: Config

    def initial_carry(self):
        return jnp.zeros((self.config.plan_steps, len(self.dynamics) - self.dynamics.shape[1] - 1))

    def act(self, carry, obs, progress, key, greedy):
        noise = jax.random.normal(jax.random.key(0) if greedy else key, (self.config.candidates, *carry.shape))
        plans = jnp.clip(carry + noise.at[0].set(0.0), -1.0, 1.0)
        plan = plans[jnp.argmax(jax.vmap(self.score, (None, 0))(obs, plans))]
        return plan[0], jnp.roll(plan, -1, axis=0).at[-1].set(0.0), {}

    def score(self, obs, plan):
        def step(obs, action):
            inputs = jnp.concatenate([obs, action, jnp.ones(1)])
            return inputs @ self.dynamics, inputs**2 @ self.reward

        return jnp.sum(jax.lax.scan(step, obs, plan)[1])


def resolve(config, spec):
    return as_arrays(config)


def init(config, spec, key):
    size = spec.obs_size + spec.action.size + 1
    square, cross = jnp.zeros((size, size)), jnp.zeros((size, spec.obs_size))
    return Model((square, cross, square, jnp.zeros(size)))


def policy(config, state):
    dynamics, reward = state.fit()
    return Planner(dynamics, reward, config)


def data(config):
    return Uniform(batch_size=64, capacity=10_000)


def update(config, state, batch, progress, key):
    inputs = jnp.concatenate([batch.obs, batch.action, jnp.ones((len(batch.obs), 1))], axis=1)
    squares = inputs**2
    new = (inputs.T @ inputs, inputs.T @ batch.next_obs, squares.T @ squares, squares.T @ batch.reward)
    kept = tuple(0.99 * old + each for old, each in zip(state.sums, new, strict=True))
    error = jnp.mean((inputs @ state.fit()[0] - batch.next_obs) ** 2)
    return Model(kept), {"model_error": error}
