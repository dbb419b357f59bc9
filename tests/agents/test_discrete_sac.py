"""Discrete soft actor-critic against a float64 reference that enumerates every combination of options."""

from dataclasses import asdict
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import discrete_sac
from entrax.errors import EntraxError
from entrax.policies.choices import Choices
from entrax.spec import Discrete, MultiDiscrete, Progress
from tests.agents import reference64 as ref

PROGRESS = Progress(step=np.asarray(30, np.int32), horizon=np.asarray(100, np.int32))
THREE, MANY = Discrete(3), MultiDiscrete((3, 2))
update = eqx.filter_jit(discrete_sac.update)


def configured(action=THREE, **fields):
    config = discrete_sac.Config(batch_size=ref.BATCH, replay_size=1000, hidden=ref.HIDDEN, **fields)
    return discrete_sac.resolve(config, ref.discrete_spec(action))


def start(config, action=THREE):
    """A state whose biases are not 0 and whose targets differ from the critics."""
    state = discrete_sac.init(config, ref.discrete_spec(action), jr.key(0))
    networks = ref.shaken((state.params.policy, state.params.critics, state.targets), 1)
    return eqx.tree_at(lambda s: (s.params.policy, s.params.critics, s.targets), state, networks)


def twins(critics):
    """The two critics' layers."""
    both = ref.layers(critics.networks.network)
    return [[(weight[i], bias[i]) for weight, bias in both] for i in range(2)]


def read(params):
    log_alpha = np.asarray(params.log_alpha, np.float64)
    return {"policy": ref.layers(params.policy.network), "critics": twins(params.critics), "log_alpha": log_alpha}


class Reference:
    """The same algorithm in float64 over the table of all combinations."""

    def __init__(self, state, nvec, sizes, *, learned, target_entropy, pessimism):
        self.pessimism = pessimism
        self.nvec, self.sizes, self.learned, self.target_entropy = nvec, sizes, learned, target_entropy
        self.params, self.targets = read(state.params), twins(state.targets)
        self.moments = {name: ref.fresh(part) for name, part in self.params.items()}
        self.jitted = jax.jit(self.step)

    def options(self, net, obs):
        return ref.forward(net, obs).reshape(len(obs), len(self.sizes), max(self.sizes))

    def pi(self, net, obs):
        weight = jnp.exp(ref.combinations(self.options(net, obs), self.sizes))
        return weight / weight.sum(axis=1, keepdims=True)

    def values(self, policy, critics, alpha, obs):
        """V and the entropy; of each option the critics' mean at κ = 0, their minimum at κ = 1."""
        one, other = (self.options(net, obs) for net in critics)
        q_hat = (1 - self.pessimism) * (one + other) / 2 + self.pessimism * jnp.minimum(one, other)
        pi, q = self.pi(policy, obs), ref.combinations(q_hat, self.sizes)
        return jnp.sum(pi * (q - alpha * jnp.log(pi)), axis=1), -jnp.sum(pi * jnp.log(pi), axis=1)

    def step(self, params, targets, moments, b, place):
        alpha = jnp.exp(params["log_alpha"])
        y = b.reward + 0.9 * (1.0 - b.terminated) * self.values(params["policy"], targets, alpha, b.next_obs)[0]

        def j_q(critics):
            q = [
                ref.combinations(self.options(net, b.obs), self.sizes)[jnp.arange(ref.BATCH), place] for net in critics
            ]
            return sum(0.5 * jnp.mean((q_i - y) ** 2) for q_i in q)

        def j_pi(policy):
            return -jnp.mean(self.values(policy, params["critics"], alpha, b.obs)[0])

        def j_alpha(log_alpha):
            entropy = self.values(params["policy"], params["critics"], alpha, b.obs)[1]
            return jnp.mean(jnp.exp(log_alpha) * (entropy - self.target_entropy))

        new, new_moments = dict(params), dict(moments)
        for name, loss in {"critics": j_q, "policy": j_pi, "log_alpha": j_alpha}.items():
            if name != "log_alpha" or self.learned:
                gradient = jax.grad(loss)(params[name])
                new[name], new_moments[name] = ref.adam(params[name], gradient, moments[name], 1e-3)
        return j_q(params["critics"]), new, ref.mix(targets, new["critics"], 0.3), new_moments

    def update(self, b):
        place = ref.combination(b.action, self.nvec)
        with jax.enable_x64(True):
            b = b._replace(**{k: np.asarray(getattr(b, k), np.float64) for k in ("obs", "next_obs", "reward")})
            stepped = self.jitted(self.params, self.targets, self.moments, b, place)
            self.loss, self.params, self.targets, self.moments = stepped


CASES = {
    "learned temperature": (THREE, {"initial_temperature": 0.5}),
    "fixed temperature, minimum": (THREE, {"temperature": 0.2, "pessimism": 1.0}),
    "combinations": (MANY, {"initial_temperature": 0.5}),
    "entry by entry, in between": (MANY, {"initial_temperature": 0.5, "joint_limit": 1, "pessimism": 0.3}),
}


@pytest.mark.parametrize("case", CASES)
def test_updates_equal_the_float64_reference(case):
    action, fields = CASES[case]
    target: dict[str, Any] = {"target_entropy": 0.4, "initial_entropy_share": 0.9, "anneal_fraction": 0.6}
    rates: dict[str, Any] = {"learning_rate": 1e-3, "target_rate": 0.3}
    config = configured(action, discount=0.9, **rates, **target, **fields)
    state = start(config, action)
    nvec = action.nvec if action is MANY else (3,)
    reference = Reference(
        state,
        nvec,
        nvec if "joint_limit" in fields or action is THREE else (6,),
        learned="temperature" not in fields,
        pessimism=fields.get("pessimism", 0.0),
        target_entropy=0.5 * (0.9 * np.log(np.prod(nvec))) + 0.5 * 0.4,  # halfway: 30 of 0.6 · 100
    )
    for i in range(3):
        batch = ref.discrete_batch(10 + i, nvec)
        state, info = update(config, state, batch, PROGRESS, jr.key(0))
        reference.update(batch)
        np.testing.assert_allclose(info["critic_loss"], reference.loss, rtol=1e-5)
        np.testing.assert_allclose(info["target_entropy"], reference.target_entropy, rtol=1e-6)
        ref.assert_close(read(state.params), reference.params)
        ref.assert_close(twins(state.targets), reference.targets)


@pytest.mark.parametrize("n", [2, 3, 18, 1000])
def test_default_target_entropy_is_that_of_a_policy_that_slips(n):
    policy = np.r_[0.9, np.full(n - 1, 0.1 / (n - 1))]
    expected = -(policy * np.log(policy)).sum()
    np.testing.assert_allclose(discrete_sac.default_target_entropy((n,), 0.1), expected)
    assert discrete_sac.default_target_entropy((n,), 0.9999) <= np.log(n) + 1e-12
    twice = Choices((n, n), (n, n))
    np.testing.assert_allclose(discrete_sac.default_target_entropy(twice.sizes, 0.1), 2 * expected)


def test_a_single_option_has_no_entropy():
    config = configured(Discrete(1))
    assert config.target_entropy == 0.0
    state = start(config, Discrete(1))
    state, info = update(config, state, ref.discrete_batch(0, (1,)), PROGRESS, jr.key(0))
    assert info["entropy"] == 0.0
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))


def test_actions_have_the_probabilities_of_the_policy():
    config = configured(MANY, joint_limit=1)
    policy = discrete_sac.policy(config, start(config, MANY))
    obs = jnp.asarray([0.3, -0.2, 0.9])
    logits = np.asarray(policy.network(obs), np.float64)
    weight = np.exp(np.asarray(ref.combinations(logits[None], (3, 2)))[0])
    expected = weight / weight.sum()
    drawn, extras = jax.jit(jax.vmap(lambda key: policy.sample(obs, PROGRESS, key)))(jr.split(jr.key(0), 20_000))
    place = ref.combination(np.asarray(drawn), MANY.nvec)
    np.testing.assert_allclose(np.exp(extras["log_prob"]), expected[place], rtol=1e-4)
    error = np.sqrt(expected * (1 - expected) / len(place))
    assert (np.abs(np.bincount(place, minlength=6) / len(place) - expected) <= 4 * error).all()
    assert ref.combination(np.asarray(policy.mode(obs))[None], MANY.nvec)[0] == expected.argmax()


def test_resolving_again_changes_nothing():
    config = configured(MANY)
    fields: dict[str, Any] = {k: v if isinstance(v, int | str | tuple) else float(v) for k, v in asdict(config).items()}
    again = discrete_sac.Config(**fields)
    assert eqx.tree_equal(discrete_sac.resolve(again, ref.discrete_spec(MANY)), config)


def test_a_fixed_temperature_stays_to_the_bit():
    for temperature in (0.2, 0.0):
        config = configured(temperature=temperature)
        state = start(config)
        new, info = update(config, state, ref.discrete_batch(0, (3,)), PROGRESS, jr.key(0))
        assert new.params.log_alpha == state.params.log_alpha
        np.testing.assert_allclose(info["temperature"], temperature, rtol=1e-6, atol=1e-37)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(new.params))


def test_a_fixed_temperature_stays_also_with_an_optimiser_that_learned_it():
    learned, fixed = configured(), configured(temperature=0.2)
    batch = ref.discrete_batch(0, (3,))
    before, _ = update(learned, start(learned), batch, PROGRESS, jr.key(0))
    begun = eqx.tree_at(lambda s: s.opt_state, start(fixed), before.opt_state)
    new, _ = update(fixed, begun, batch, PROGRESS, jr.key(1))
    assert new.params.log_alpha == begun.params.log_alpha


def test_a_target_entropy_beyond_the_greatest_is_refused():
    with pytest.raises(EntraxError, match=r"`target_entropy` must be at most 1\.099"):
        configured(target_entropy=1.2)
