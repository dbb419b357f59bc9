"""Soft actor-critic against a float64 reference written from equations 3, 5, 9 and 18 of Haarnoja et al. 2018b."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import sac
from entrax.errors import EntraxError
from entrax.policies.gaussian import GaussianPolicy
from entrax.spec import Progress
from tests.agents import reference64 as ref

PROGRESS = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))
update = eqx.filter_jit(sac.update)


def configured(**fields):
    return sac.resolve(sac.Config(batch_size=ref.BATCH, replay_size=1000, hidden=ref.HIDDEN, **fields), ref.SPEC)


def start(config):
    """A state whose biases are not 0 and whose targets differ from the critics."""
    state = sac.init(config, ref.SPEC, jr.key(0))
    networks = ref.shaken((state.params.policy, state.params.critics, state.targets), 1)
    return eqx.tree_at(lambda s: (s.params.policy, s.params.critics, s.targets), state, networks)


def read(params, log_alpha=True):
    """Policy, critics and log α of the package's records, as the reference keeps them."""
    found = {"policy": ref.layers(params.policy.network), "critics": ref.twins(params.critics)}
    return found | ({"log_alpha": np.asarray(params.log_alpha, np.float64)} if log_alpha else {})


class Reference:
    """The same algorithm in float64, from the paper's equations alone."""

    def __init__(self, state, *, rate, discount, target_rate, target_entropy, learned, delay, layer_norm):
        self.rate, self.discount, self.target_rate, self.target_entropy = rate, discount, target_rate, target_entropy
        self.learned, self.delay, self.layer_norm, self.updates = learned, delay, layer_norm, 0
        self.params, self.targets = read(state.params), ref.twins(state.targets)
        self.moments = {name: ref.fresh(part) for name, part in self.params.items()}

    def q(self, critics, obs, action):
        return ref.q_values(critics, obs, action, self.layer_norm)

    def update(self, batch, key):
        eps_next, eps = (ref.noise(k) for k in jr.split(key))
        with jax.enable_x64(True):
            self._update(jax.tree.map(lambda x: x.astype(np.float64), batch), eps_next, eps)

    def _update(self, b, eps_next, eps):
        old, alpha = dict(self.params), np.exp(self.params["log_alpha"])
        next_action, next_log_pi = ref.draw(old["policy"], b.next_obs, eps_next)
        v_next = self.q(self.targets, b.next_obs, next_action).min(axis=1) - alpha * next_log_pi
        y = b.reward + self.discount * (1.0 - b.terminated) * v_next

        def j_q(critics):
            return sum(0.5 * jnp.mean((self.q(critics, b.obs, b.action)[:, i] - y) ** 2) for i in range(2))

        def j_pi(policy):
            action, log_pi = ref.draw(policy, b.obs, eps)
            return jnp.mean(alpha * log_pi - self.q(old["critics"], b.obs, action).min(axis=1))

        def j_alpha(log_alpha):
            _, log_pi = ref.draw(old["policy"], b.obs, eps)
            return jnp.mean(-jnp.exp(log_alpha) * log_pi - jnp.exp(log_alpha) * self.target_entropy)

        self._step("critics", j_q)
        if self.updates % self.delay == 0:
            self._step("policy", j_pi, old["policy"])
            if self.learned:
                self._step("log_alpha", j_alpha)
        self.targets = ref.mix(self.targets, self.params["critics"], self.target_rate)
        self.updates += 1
        self.loss = j_q(old["critics"])

    def _step(self, name, loss, at=None):
        at = self.params[name] if at is None else at
        self.params[name], self.moments[name] = ref.adam(at, jax.grad(loss)(at), self.moments[name], self.rate)


CASES: dict[str, dict[str, Any]] = {
    "as published": {},
    "delayed policy": {"policy_delay": 2},
    "fixed temperature": {"temperature": 0.2},
    "no temperature": {"temperature": 0.0},
    "layer norm": {"layer_norm": True},
    "other constants": {"discount": 0.5, "target_rate": 0.3, "target_entropy": 1.5, "initial_temperature": 0.1},
}


@pytest.mark.parametrize("case", CASES)
def test_updates_equal_the_float64_reference(case):
    fields = CASES[case]
    config = configured(learning_rate=1e-3, **fields)
    state = start(config)
    alpha = fields.get("temperature", fields.get("initial_temperature", 1.0))
    np.testing.assert_allclose(np.exp(state.params.log_alpha), alpha, rtol=1e-6, atol=1e-37)
    assert np.isfinite(state.params.log_alpha)
    reference = Reference(
        state,
        rate=1e-3,
        discount=fields.get("discount", 0.99),
        target_rate=fields.get("target_rate", 0.005),
        target_entropy=fields.get("target_entropy", -ref.ACTION),
        learned="temperature" not in fields,
        delay=fields.get("policy_delay", 1),
        layer_norm=fields.get("layer_norm", False),
    )
    for i in range(3):
        batch, key = ref.batch(10 + i), jr.key(20 + i)
        state, info = update(config, state, batch, PROGRESS, key)
        reference.update(batch, key)
        np.testing.assert_allclose(info["critic_loss"], reference.loss, rtol=1e-5)
        if i in (0, 2):
            ref.assert_close(read(state.params), reference.params)
            ref.assert_close(ref.twins(state.targets), reference.targets)
            for moment, place in (("mu", 1), ("nu", 2)):
                actual = read(
                    jax.tree.map(
                        lambda adam, moment=moment: getattr(adam[0], moment),
                        state.opt_state,
                        is_leaf=lambda x: type(x) is tuple,
                    )
                )
                expected = {name: moments[place] for name, moments in reference.moments.items()}
                ref.assert_close(actual, expected, rtol=2e-4, atol=1e-6)


def test_first_state_has_targets_equal_to_critics():
    state = sac.init(configured(), ref.SPEC, jr.key(0))
    ref.assert_close(ref.twins(state.targets), ref.twins(state.params.critics), rtol=0, atol=0)


def test_a_successor_without_bounds_does_not_spoil_a_terminated_transition():
    config = configured()
    state, batch = start(config), ref.batch(0)
    batch = batch._replace(terminated=np.ones(ref.BATCH, bool), next_obs=np.full_like(batch.next_obs, 1e30))
    state, info = update(config, state, batch, PROGRESS, jr.key(1))
    assert np.isfinite(info["critic_loss"])
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))


def test_target_entropy_is_minus_the_action_size_by_default():
    assert configured().target_entropy == -ref.ACTION
    assert configured(target_entropy=0.5).target_entropy == 0.5


NUMBERS: dict[str, Any] = {
    "learning_rate": 1e-3,
    "discount": 0.9,
    "target_rate": 0.1,
    "target_entropy": 0.0,
    "initial_temperature": 0.5,
}


def test_numbers_vmap():
    configs = [configured(), configured(**NUMBERS)]
    arrays, static = zip(*(eqx.partition(c, eqx.is_array) for c in configs), strict=True)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *arrays)
    state, batch, key = start(configs[0]), jax.tree.map(jnp.asarray, ref.batch(0)), jr.key(1)

    @jax.jit
    @jax.vmap
    def together(config):
        return sac.update(eqx.combine(config, static[0]), state, batch, PROGRESS, key)[0].params

    both = together(stacked)
    for i, config in enumerate(configs):
        alone, _ = update(config, state, batch, PROGRESS, key)
        ref.assert_close(jax.tree.map(lambda x, i=i: x[i], both), alone.params)


def test_a_replay_smaller_than_a_batch_is_refused():
    with pytest.raises(EntraxError, match="`replay_size` must be at least"):
        sac.data(sac.resolve(sac.Config(batch_size=9, replay_size=8), ref.SPEC))


def test_policy_gives_actions_within_the_unit_box():
    config = configured()
    policy = sac.policy(config, start(config))
    assert isinstance(policy, GaussianPolicy)
    obs = jnp.asarray([5.0, -3.0, 100.0])
    action, extras = policy.sample(obs, PROGRESS, jr.key(0))
    assert action.shape == policy.mode(obs).shape == (ref.ACTION,)
    assert np.abs(action).max() <= 1.0
    assert np.isfinite(extras["log_prob"])


def test_a_replaced_number_is_the_one_used():
    config = configured()
    state, batch, key = start(config), ref.batch(0), jr.key(1)
    halved = eqx.tree_at(lambda c: c.learning_rate, config, config.learning_rate / 2)
    moved = [
        jax.tree.map(lambda a, b: np.asarray(a - b), update(c, state, batch, PROGRESS, key)[0].params, state.params)
        for c in (config, halved)
    ]
    for whole, half in zip(*map(jax.tree.leaves, moved), strict=True):
        np.testing.assert_allclose(whole, 2.0 * half, atol=2e-7)
