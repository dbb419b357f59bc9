"""The smallest agent: one constant action that follows the best rewards.

It moves towards the actions that were rewarded best.

entrax train Pendulum-v1 --agent ./examples/smallest_agent.py --steps 2000
"""

import jax
import jax.numpy as jnp

from entrax.fields import POSITIVE, Settings, as_arrays, field
from entrax.policies.base import Memoryless
from entrax.replay import Uniform


class Config(Settings):
    rate: float = field(0.1, "Step towards the better actions.", POSITIVE)


class Constant(Memoryless):
    action: jax.Array

    def sample(self, obs, progress, key):
        return jnp.clip(self.action + 0.3 * jax.random.normal(key, self.action.shape), -1.0, 1.0), {}

    def mode(self, obs):
        return self.action


def resolve(config, spec):
    return as_arrays(config)


def init(config, spec, key):
    return jnp.zeros(spec.action.size)


def policy(config, state):
    return Constant(state)


def data(config):
    return Uniform(batch_size=32, capacity=1000)


def update(config, state, batch, progress, key):
    better = jax.nn.softmax(batch.reward) @ batch.action
    return state + config.rate * (better - state), {"best_reward": batch.reward.max()}
