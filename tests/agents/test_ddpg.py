"""DDPG against a float64 reference written from equations 4 to 6 of Lillicrap et al. 2016."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import ddpg
from entrax.policies.deterministic import NoisyPolicy
from entrax.spec import Progress
from tests.agents import reference64 as ref

PROGRESS = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))
update = eqx.filter_jit(ddpg.update)


def configured(**fields):
    return ddpg.resolve(ddpg.Config(batch_size=ref.BATCH, replay_size=1000, hidden=ref.HIDDEN, **fields), ref.SPEC)


def start(config):
    """A state whose biases are not 0 and whose targets differ from what they follow."""
    state = ddpg.init(config, ref.SPEC, jr.key(0))
    return eqx.tree_at(lambda s: (s.params, s.targets), state, ref.shaken((state.params, state.targets), 1))


def read(params):
    return {"policy": ref.layers(params.policy.network), "critics": ref.layers(params.critics)}


def q_value(critic, obs, action):
    return ref.forward(critic, jnp.concatenate([obs, action], axis=1))[:, 0]


class Reference:
    """The same algorithm in float64, from the paper's equations alone."""

    def __init__(self, state, *, rates, discount, target_rate):
        self.rates, self.discount, self.target_rate = rates, discount, target_rate
        self.params, self.targets = read(state.params), read(state.targets)
        self.moments = {name: ref.fresh(part) for name, part in self.params.items()}

    def update(self, batch):
        with jax.enable_x64(True):
            self._update(jax.tree.map(lambda x: x.astype(np.float64), batch))

    def _update(self, b):
        next_action = jnp.tanh(ref.forward(self.targets["policy"], b.next_obs))
        y = b.reward + self.discount * (1.0 - b.terminated) * q_value(self.targets["critics"], b.next_obs, next_action)

        def j_q(critic):
            return 0.5 * jnp.mean((q_value(critic, b.obs, b.action) - y) ** 2)

        def j_mu(policy):
            return -jnp.mean(q_value(self.params["critics"], b.obs, jnp.tanh(ref.forward(policy, b.obs))))

        self.loss = j_q(self.params["critics"])
        for name, loss in (("critics", j_q), ("policy", j_mu)):
            at = self.params[name]
            self.params[name], self.moments[name] = ref.adam(
                at, jax.grad(loss)(at), self.moments[name], self.rates[name]
            )
        self.targets = ref.mix(self.targets, self.params, self.target_rate)


CASES = {
    "defaults": {},
    "as published": {"policy_learning_rate": 1e-4, "target_rate": 1e-3, "discount": 0.5},
}


@pytest.mark.parametrize("case", CASES)
def test_updates_equal_the_float64_reference(case):
    fields = CASES[case]
    config = configured(**fields)
    state = start(config)
    reference = Reference(
        state,
        rates={"critics": 1e-3, "policy": fields.get("policy_learning_rate", 1e-3)},
        discount=fields.get("discount", 0.99),
        target_rate=fields.get("target_rate", 0.005),
    )
    for i in range(3):
        batch = ref.batch(10 + i)
        state, info = update(config, state, batch, PROGRESS, jr.key(i))
        reference.update(batch)
        np.testing.assert_allclose(info["critic_loss"], reference.loss, rtol=1e-5)
        if i in (0, 2):
            ref.assert_close(read(state.params), reference.params)
            ref.assert_close(read(state.targets), reference.targets)


def test_first_targets_equal_what_they_follow():
    state = ddpg.init(configured(), ref.SPEC, jr.key(0))
    assert eqx.tree_equal(state.params, state.targets)


def test_exploration_is_gaussian_around_the_mode_and_clipped():
    config = configured(noise=0.3)
    policy = ddpg.policy(config, start(config))
    assert isinstance(policy, NoisyPolicy)
    obs = jnp.asarray([0.3, -0.2, 0.5])
    mode = np.asarray(policy.mode(obs))
    drawn = jax.vmap(lambda k: policy.sample(obs, PROGRESS, k)[0])(jr.split(jr.key(0), 4000))
    assert np.abs(drawn).max() <= 1.0
    # An entry that clipping leaves alone on one side tells of that side: half of a normal law.
    for i in range(ref.ACTION):
        inner = np.asarray(drawn[:, i] - mode[i]) * -np.sign(mode[i])
        inner = inner[inner > 0]
        assert abs(len(inner) / 4000 - 0.5) < 0.04  # five standard errors
        np.testing.assert_allclose(np.sqrt(np.mean(inner**2)), 0.3, rtol=0.08)
    quiet = ddpg.policy(configured(noise=0.0), start(config))
    assert isinstance(quiet, NoisyPolicy)
    np.testing.assert_array_equal(quiet.sample(obs, PROGRESS, jr.key(1))[0], mode)
