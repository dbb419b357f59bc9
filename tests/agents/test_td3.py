"""TD3 against a float64 reference written from algorithm 1 of Fujimoto et al. 2018."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import td3
from entrax.spec import Progress
from tests.agents import reference64 as ref

PROGRESS = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))
update = eqx.filter_jit(td3.update)


def configured(**fields):
    return td3.resolve(td3.Config(batch_size=ref.BATCH, replay_size=1000, hidden=ref.HIDDEN, **fields), ref.SPEC)


def start(config):
    """A state whose biases are not 0 and whose targets differ from what they follow."""
    state = td3.init(config, ref.SPEC, jr.key(0))
    return eqx.tree_at(lambda s: (s.params, s.targets), state, ref.shaken((state.params, state.targets), 1))


def read(params):
    return {"policy": ref.layers(params.policy.network), "critics": ref.twins(params.critics)}


class Reference:
    """The same algorithm in float64, from the paper's equations alone."""

    def __init__(self, state, *, target_noise, clip, delay, target_rate):
        self.target_noise, self.clip, self.delay, self.target_rate = target_noise, clip, delay, target_rate
        self.params, self.targets, self.updates = read(state.params), read(state.targets), 0
        self.moments = {name: ref.fresh(part) for name, part in self.params.items()}

    def update(self, batch, key):
        eps = ref.noise(key)
        with jax.enable_x64(True):
            self._update(jax.tree.map(lambda x: x.astype(np.float64), batch), eps)

    def _update(self, b, eps):
        smoothing = np.clip(self.target_noise * eps, -self.clip, self.clip)
        next_action = jnp.clip(jnp.tanh(ref.forward(self.targets["policy"], b.next_obs)) + smoothing, -1.0, 1.0)
        v_next = ref.q_values(self.targets["critics"], b.next_obs, next_action).min(axis=1)
        y = b.reward + 0.99 * (1.0 - b.terminated) * v_next

        def j_q(critics):
            return sum(0.5 * jnp.mean((ref.q_values(critics, b.obs, b.action)[:, i] - y) ** 2) for i in range(2))

        def j_mu(policy):
            return -jnp.mean(ref.q_values(self.params["critics"], b.obs, jnp.tanh(ref.forward(policy, b.obs)))[:, 0])

        self.loss = j_q(self.params["critics"])
        self._step("critics", j_q)
        self.updates += 1
        if self.updates % self.delay == 0:
            self._step("policy", j_mu)
            self.targets = ref.mix(self.targets, self.params, self.target_rate)

    def _step(self, name, loss):
        at = self.params[name]
        self.params[name], self.moments[name] = ref.adam(at, jax.grad(loss)(at), self.moments[name], 1e-3)


CASES = {
    "as published": {},
    "no delay, no smoothing": {"policy_delay": 1, "target_noise": 0.0},
    "wide noise": {"policy_delay": 3, "target_noise": 2.0, "target_noise_clip": 0.8, "target_rate": 0.3},
}


@pytest.mark.parametrize("case", CASES)
def test_updates_equal_the_float64_reference(case):
    fields = CASES[case]
    config = configured(**fields)
    state = start(config)
    reference = Reference(
        state,
        target_noise=fields.get("target_noise", 0.2),
        clip=fields.get("target_noise_clip", 0.5),
        delay=fields.get("policy_delay", 2),
        target_rate=fields.get("target_rate", 0.005),
    )
    for i in range(3):
        batch, key = ref.batch(10 + i), jr.key(20 + i)
        state, info = update(config, state, batch, PROGRESS, key)
        reference.update(batch, key)
        np.testing.assert_allclose(info["critic_loss"], reference.loss, rtol=1e-5)
        ref.assert_close(read(state.params), reference.params)
        ref.assert_close(read(state.targets), reference.targets)


def test_policy_and_targets_move_at_every_second_update_only():
    config = configured()
    state = start(config)
    for i in range(4):
        before = state
        state, _ = update(config, state, ref.batch(i), PROGRESS, jr.key(i))
        still = i % 2 == 0
        assert bool(eqx.tree_equal(before.params.policy, state.params.policy)) is still
        assert bool(eqx.tree_equal(before.targets, state.targets)) is still
        assert bool(eqx.tree_equal(before.opt_state.policy, state.opt_state.policy)) is still
        assert not eqx.tree_equal(before.params.critics, state.params.critics)


def test_target_noise_is_clipped_and_so_is_the_smoothed_action():
    config = configured(target_noise=0.4, target_noise_clip=0.5)
    policy, obs = start(config).targets.policy, jnp.asarray([0.3, -0.2, 0.5])
    keys = jr.split(jr.key(0), 2000)
    noise = np.asarray(jax.vmap(lambda k: td3.smoothed_action(config, policy, obs, k))(keys) - policy(obs))
    assert np.abs(noise).max() <= 0.5 + 1e-6
    np.testing.assert_allclose(np.mean(np.abs(noise) > 0.5 - 1e-5), 0.211, atol=0.04)  # 2 (1 - Φ(0.5 / 0.4))
    wide = configured(target_noise=5.0, target_noise_clip=5.0)
    drawn = jax.vmap(lambda k: td3.smoothed_action(wide, policy, obs, k))(keys)
    assert np.abs(drawn).max() == 1.0


def test_without_noise_the_key_does_not_matter():
    config = configured(target_noise=0.0)
    state, batch = start(config), ref.batch(0)
    one, _ = update(config, state, batch, PROGRESS, jr.key(1))
    other, _ = update(config, state, batch, PROGRESS, jr.key(2))
    assert eqx.tree_equal(one, other)


def test_numbers_vmap():
    configs = [configured(), configured(learning_rate=1e-2, noise=0.5, target_noise=0.4, target_noise_clip=0.1)]
    arrays, static = zip(*(eqx.partition(c, eqx.is_array) for c in configs), strict=True)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *arrays)
    state, batch, key = start(configs[0]), jax.tree.map(jnp.asarray, ref.batch(0)), jr.key(1)

    @jax.jit
    @jax.vmap
    def together(config):
        return td3.update(eqx.combine(config, static[0]), state, batch, PROGRESS, key)[0].params

    both = together(stacked)
    for i, config in enumerate(configs):
        alone, _ = update(config, state, batch, PROGRESS, key)
        ref.assert_close(jax.tree.map(lambda x, i=i: x[i], both), alone.params)
