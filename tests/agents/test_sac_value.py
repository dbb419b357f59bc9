"""The first soft actor-critic against a float64 reference from equations 5, 7, 8 and 12 of Haarnoja et al. 2018a."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import sac_value
from entrax.spec import Progress
from tests.agents import reference64 as ref

PROGRESS = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))
update = eqx.filter_jit(sac_value.update)


def configured(**fields):
    config = sac_value.Config(batch_size=ref.BATCH, replay_size=1000, hidden=ref.HIDDEN, **fields)
    return sac_value.resolve(config, ref.SPEC)


def start(config):
    state = sac_value.init(config, ref.SPEC, jr.key(0))
    params, targets = ref.shaken((state.params, state.targets), 1)
    return eqx.tree_at(lambda s: (s.params, s.targets), state, (params, targets))


def read(params):
    return {
        "value": ref.layers(params.value),
        "critics": ref.twins(params.critics),
        "policy": ref.layers(params.policy.network),
    }


class Reference:
    """Algorithm 1 in float64; all three gradients at the same parameters and with one draw of a ~ π."""

    def __init__(self, state, *, rate, discount, target_rate, scale):
        self.rate, self.discount, self.target_rate, self.scale = rate, discount, target_rate, scale
        self.params, self.targets = read(state.params), ref.layers(state.targets)
        self.moments = {name: ref.fresh(part) for name, part in self.params.items()}

    def update(self, batch, key):
        eps = ref.noise(key)
        with jax.enable_x64(True):
            self._update(jax.tree.map(lambda x: x.astype(np.float64), batch), eps)

    def _update(self, b, eps):
        old = dict(self.params)
        action, log_pi = ref.draw(old["policy"], b.obs, eps)
        soft_value = ref.q_values(old["critics"], b.obs, action).min(axis=1) - log_pi
        v_next = ref.forward(self.targets, b.next_obs)[:, 0]
        q_hat = self.scale * b.reward + self.discount * (1.0 - b.terminated) * v_next

        def j_v(value):
            return jnp.mean(0.5 * (ref.forward(value, b.obs)[:, 0] - soft_value) ** 2)

        def j_q(critics):
            return sum(jnp.mean(0.5 * (ref.q_values(critics, b.obs, b.action)[:, i] - q_hat) ** 2) for i in range(2))

        def j_pi(policy):
            action, log_pi = ref.draw(policy, b.obs, eps)
            return jnp.mean(log_pi - ref.q_values(old["critics"], b.obs, action).min(axis=1))

        self.losses = {"critic_loss": j_q(old["critics"]), "value_loss": j_v(old["value"])}
        for name, loss in (("value", j_v), ("critics", j_q), ("policy", j_pi)):
            gradient = jax.grad(loss)(old[name])
            self.params[name], self.moments[name] = ref.adam(old[name], gradient, self.moments[name], self.rate)
        self.targets = ref.mix(self.targets, self.params["value"], self.target_rate)


CASES = {"as published": {}, "other constants": {"discount": 0.5, "target_rate": 0.3, "reward_scale": 2.0}}


@pytest.mark.parametrize("case", CASES)
def test_updates_equal_the_float64_reference(case):
    fields = CASES[case]
    config = configured(learning_rate=1e-3, **fields)
    state = start(config)
    reference = Reference(
        state,
        rate=1e-3,
        discount=fields.get("discount", 0.99),
        target_rate=fields.get("target_rate", 0.005),
        scale=fields.get("reward_scale", 5.0),
    )
    for i in range(3):
        batch, key = ref.batch(10 + i), jr.key(20 + i)
        state, info = update(config, state, batch, PROGRESS, key)
        reference.update(batch, key)
        for name, loss in reference.losses.items():
            np.testing.assert_allclose(info[name], loss, rtol=1e-5)
        if i in (0, 2):
            ref.assert_close(read(state.params), reference.params)
            ref.assert_close(ref.layers(state.targets), reference.targets)
            for moment, place in ((state.opt_state[0].mu, 1), (state.opt_state[0].nu, 2)):
                expected = {name: moments[place] for name, moments in reference.moments.items()}
                ref.assert_close(read(moment), expected, rtol=2e-4, atol=1e-6)


def test_reward_scale_is_the_inverse_of_the_temperature():
    config = configured(reward_scale=4.0)
    _, info = update(config, start(config), ref.batch(0), PROGRESS, jr.key(0))
    assert info["temperature"] == 0.25
