"""XQC against a float64 reference written from its recipe, one critic at a time, with the projection as loops."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import entrax
from entrax.agents import xqc
from entrax.errors import EntraxError
from entrax.policies.gaussian import NormalisedGaussian
from entrax.runs.audit import fingerprint
from entrax.spec import Discrete, Progress
from tests.agents import reference64 as ref
from tests.killing import Killed, killer

QUARTER = Progress(step=np.asarray(25, np.int32), horizon=np.asarray(100, np.int32))
CRITIC = (14, 10)
EPSILON = 1e-3
update = eqx.filter_jit(xqc.update)


def configured(**fields):
    small: dict[str, Any] = {"hidden": ref.HIDDEN, "critic_hidden": CRITIC, "learning_rate": 2e-3}
    return xqc.resolve(xqc.Config(batch_size=ref.BATCH, replay_size=1000, **small | fields), ref.SPEC)


def start(config):
    """A state whose gains, biases and running statistics are not those of a fresh one."""
    state = xqc.init(config, ref.SPEC, jr.key(0))

    def shaken_parts(s):
        return s.params.policy, s.params.critics, s.targets, s.statistics

    return eqx.tree_at(shaken_parts, state, ref.shaken(shaken_parts(state), 1), is_leaf=lambda x: x is None)


def wide(x):
    return np.asarray(x, np.float64)


def network(mlp):
    """A network as dictionaries in float64."""
    layers = [(wide(layer.weight), wide(layer.scale.gain), wide(layer.scale.offset)) for layer in mlp.layers]
    return {"gain": wide(mlp.gain), "layers": layers, "out": (wide(mlp.out.weight), wide(mlp.out.bias))}


def statistics(running):
    return [(wide(each.mean), wide(each.variance)) for each in running]


def each(tree):
    """The two critics of a stacked tree."""
    return [jax.tree.map(lambda x, i=i: x[i], tree) for i in range(2)]


def own_moments(x):
    return x.mean(axis=0), ((x - x.mean(axis=0)) ** 2).mean(axis=0)


def layer(x, gain, offset, running, mode):
    """N(x), and the moments that running statistics move to."""
    if mode == "none":
        return gain * x + offset, running
    if mode == "evaluation":
        return gain * (x - running[0]) / jnp.sqrt(running[1] + EPSILON) + offset, running
    mean, variance = own_moments(x)
    standard = (x - mean) / jnp.sqrt(variance + EPSILON)
    if mode != "batch":
        r_limit, d_limit = mode
        sigma = jnp.sqrt(running[1] + EPSILON)
        r = jnp.clip(jnp.sqrt(variance + EPSILON) / sigma, 1 / r_limit, r_limit)
        d = jnp.clip((mean - running[0]) / sigma, -d_limit, d_limit)
        standard = standard * jax.lax.stop_gradient(r) + jax.lax.stop_gradient(d)
    return gain * standard + offset, (mean, variance)


def forward(net, running, x, mode):
    """The output, and the moments of each place."""
    x, moments = layer(x, net["gain"], 0.0, running[0], mode)
    seen = [moments]
    for (weight, gain, offset), before in zip(net["layers"], running[1:], strict=True):
        x, moments = layer(x @ weight, gain, offset, before, mode)
        x = jnp.maximum(x, 0.0)
        seen.append(moments)
    return x @ net["out"][0] + net["out"][1], seen


def draw(net, running, obs, eps, mode):
    outputs, seen = forward(net, running, obs, mode)
    mean, log_std = jnp.split(outputs, 2, axis=1)
    std = jnp.exp(jnp.clip(log_std, -10.0, 2.0))
    action = jnp.tanh(mean + std * eps)
    log_normal = -0.5 * eps**2 - jnp.log(std) - 0.5 * np.log(2 * np.pi)
    return action, jnp.sum(log_normal - jnp.log(1.0 - action**2), axis=1), seen


def projected(probabilities, values, atoms):
    """Algorithm 1 of Bellemare et al. 2017, atom by atom."""
    width, found = atoms[1] - atoms[0], np.zeros_like(probabilities)
    for row, mass, places in zip(found, probabilities, values, strict=True):
        for p, value in zip(mass, places, strict=True):
            b = (np.clip(value, atoms[0], atoms[-1]) - atoms[0]) / width
            low = min(int(np.floor(b)), len(atoms) - 2)
            row[low] += p * (low + 1 - b)
            row[low + 1] += p * (b - low)
    return found


def unit(net):
    layers = [(weight / np.linalg.norm(weight, axis=0), *rest) for weight, *rest in net["layers"]]
    weight, bias = net["out"]
    return {"gain": net["gain"], "layers": layers, "out": (weight / np.linalg.norm(weight, axis=0), bias)}


class Reference:
    """The same algorithm in float64, from the recipe of the paper."""

    def __init__(self, config, state):
        self.settings = {
            name: float(getattr(config, name))
            for name in (
                "discount",
                "target_rate",
                "target_entropy",
                "momentum",
                "support",
                "ratio_limit",
                "shift_limit",
            )
        }
        self.config, self.updates = config, 0
        p, s = state.params, state.statistics
        self.policy, self.log_alpha = network(p.policy), wide(p.log_alpha)
        self.critics = [network(one) for one in each(p.critics)]
        self.targets = None if state.targets is None else [network(one) for one in each(state.targets)]
        self.running = {
            "policy": statistics(s.policy),
            "critics": [statistics(one) for one in each(s.critics)],
            "targets": [statistics(one) for one in each(s.targets)],
        }
        self.moments = {"policy": ref.fresh(self.policy), "critics": ref.fresh(self.critics), "alpha": ref.fresh(0.0)}

        self.critic_gradient = jax.jit(jax.value_and_grad(self.j_q, has_aux=True))
        self.policy_gradient = jax.jit(jax.value_and_grad(self.j_pi, has_aux=True))
        self.bootstrap, self.next_draw = jax.jit(self.outputs), jax.jit(self.next_action)

    def training(self, limits):
        return limits if self.config.normalisation == "renorm" else self.config.normalisation

    @property
    def evaluation(self):
        return "none" if self.config.normalisation == "none" else "evaluation"

    def limits(self):
        early = self.updates < self.config.warm_up
        return (1.0, 0.0) if early else (self.settings["ratio_limit"], self.settings["shift_limit"])

    def q(self, outputs):
        if outputs.shape[-1] == 1:
            return outputs[:, 0]
        atoms = np.linspace(-self.settings["support"], self.settings["support"], outputs.shape[-1])
        return jax.nn.softmax(outputs, axis=1) @ atoms

    def outputs(self, nets, running, now, following, limits):
        """The outputs for (s', a') of the networks that are bootstrapped from, their Q, and the moments they see."""
        found = []
        for net, before in zip(nets, running, strict=True):
            if self.config.joint_batch:
                y, seen = forward(net, before, jnp.concatenate([now, following]), self.training(limits))
                found.append((y[len(now) :], seen))
            else:
                found.append(forward(net, before, following, self.evaluation))
        return [y for y, _ in found], [self.q(y) for y, _ in found], [seen for _, seen in found]

    def next_action(self, policy, running, obs, eps):
        return draw(policy, running, obs, eps, self.evaluation)

    def j_q(self, critics, running, now, following, y, limits):
        total: Any = 0.0
        seen = []
        x = jnp.concatenate([now, following]) if self.config.joint_batch else now
        for net, before in zip(critics, running, strict=True):
            out, moments = forward(net, before, x, self.training(limits))
            out = out[: len(now)]
            squares, entropies = 0.5 * (out - y) ** 2, -y * jax.nn.log_softmax(out, axis=1)
            total += jnp.mean(jnp.sum(squares if self.config.atoms == 1 else entropies, axis=1))
            seen.append(moments)
        return total, seen

    def j_pi(self, policy, running, critics, critics_running, obs, eps, alpha, limits):
        action, log_pi, seen = draw(policy, running, obs, eps, self.training(limits))
        pairs, nets = jnp.concatenate([obs, action], axis=1), zip(critics, critics_running, strict=True)
        q = jnp.stack([self.q(forward(net, before, pairs, self.evaluation)[0]) for net, before in nets])
        return jnp.mean(alpha * log_pi - q.min(axis=0)), (log_pi, seen)

    def moved(self, running, seen, kept):
        return jax.tree.map(lambda old, new: kept * old + (1 - kept) * np.asarray(new), running, seen)

    def update(self, batch, key, rate):
        eps_next, eps = (ref.noise(k) for k in jr.split(key))
        with jax.enable_x64(True):
            batch = jax.tree.map(lambda x: x.astype(np.float64), batch)
            self.learn_critics(batch, eps_next, rate)
            if self.updates % self.config.policy_delay == 0:
                self.learn_policy(batch.obs, eps, rate)
        self.updates += 1

    def learn_critics(self, b, eps, rate):
        next_action, log_pi, _ = self.next_draw(self.policy, self.running["policy"], b.next_obs, eps)
        now, following = np.concatenate([b.obs, b.action], 1), np.concatenate([b.next_obs, next_action], 1)
        name, nets = ("critics", self.critics) if self.targets is None else ("targets", self.targets)
        outputs, q, seen_by_targets = self.bootstrap(nets, self.running[name], now, following, self.limits())
        lowest = np.stack([outputs[i][row] for row, i in enumerate(np.argmin(q, axis=0))])
        live, bonus = self.settings["discount"] * (1.0 - b.terminated)[:, None], -np.exp(self.log_alpha) * log_pi
        if self.config.atoms == 1:
            y = b.reward[:, None] + live * (lowest + bonus[:, None])
        else:
            z = np.linspace(-self.settings["support"], self.settings["support"], self.config.atoms)
            values = b.reward[:, None] + live * (z + bonus[:, None])
            p = np.exp(lowest - lowest.max(axis=1, keepdims=True))
            y = projected(p / p.sum(axis=1, keepdims=True), np.asarray(values), z)

        given = (self.running["critics"], now, following, y, self.limits())
        (self.loss, seen), gradient = self.critic_gradient(self.critics, *given)
        self.critics, self.moments["critics"] = ref.adam(self.critics, gradient, self.moments["critics"], rate)
        if self.config.unit_weights:
            self.critics = [unit(net) for net in self.critics]
        after = self.moved(self.running["critics"], seen, self.settings["momentum"])
        if not self.config.joint_batch:
            self.running["targets"] = ref.mix(self.running[name], after, self.settings["target_rate"])
        elif self.targets is not None:
            self.running["targets"] = self.moved(self.running["targets"], seen_by_targets, self.settings["momentum"])
        self.running["critics"] = after
        if self.targets is not None:
            self.targets = ref.mix(self.targets, self.critics, self.settings["target_rate"])

    def learn_policy(self, obs, eps, rate):
        alpha = np.exp(self.log_alpha)
        given = (self.running["policy"], self.critics, self.running["critics"], obs, eps, alpha, self.limits())
        (_, (log_pi, seen)), gradient = self.policy_gradient(self.policy, *given)
        kept = self.settings["momentum"] ** self.config.policy_delay
        self.running["policy"] = self.moved(self.running["policy"], seen, kept)
        self.policy, self.moments["policy"] = ref.adam(self.policy, gradient, self.moments["policy"], rate)
        if self.config.unit_weights:
            self.policy = unit(self.policy)
        if isinstance(self.config.temperature, str):
            gradient = alpha * (-np.mean(log_pi) - self.settings["target_entropy"])
            self.log_alpha, self.moments["alpha"] = ref.adam(self.log_alpha, gradient, self.moments["alpha"], rate)


CASES: dict[str, dict[str, Any]] = {
    "as published": {},
    "the small form": {
        "atoms": 1,
        "joint_batch": False,
        "normalisation": "renorm",
        "warm_up": 1,
        "ratio_limit": 1.5,
        "shift_limit": 0.5,
        "policy_delay": 2,
        "target_rate": 0.02,
    },
    "crossq": {
        "atoms": 1,
        "target_network": False,
        "normalisation": "renorm",
        "warm_up": 2,
        "unit_weights": False,
        "policy_delay": 1,
    },
    "not normalised": {
        "policy_delay": 1,
        "normalisation": "none",
        "unit_weights": False,
        "atoms": 7,
        "support": 2.0,
        "temperature": 0.3,
    },
}


@pytest.mark.parametrize("case", CASES)
def test_updates_equal_the_float64_reference(case):
    config = configured(**CASES[case])
    state = start(config)
    reference = Reference(config, state)
    rate = 0.75 * 2e-3 + 0.25 * 3e-5
    for i in range(max(2, config.policy_delay + 1)):
        batch, key = ref.batch(10 + i), jr.key(20 + i)
        state, info = update(config, state, batch, QUARTER, key)
        reference.update(batch, key, rate)
        np.testing.assert_allclose(info["critic_loss"], reference.loss, rtol=2e-5)
        np.testing.assert_allclose(info["learning_rate"], rate, rtol=1e-6)
        p, s = state.params, state.statistics
        close = {"rtol": 1e-4, "atol": 1e-5}
        ref.assert_close([network(one) for one in each(p.critics)], reference.critics, **close)
        ref.assert_close(network(p.policy), reference.policy, **close)
        np.testing.assert_allclose(p.log_alpha, reference.log_alpha, rtol=1e-5)
        ref.assert_close([statistics(one) for one in each(s.critics)], reference.running["critics"], **close)
        ref.assert_close(statistics(s.policy), reference.running["policy"], **close)
        if state.targets is not None:
            ref.assert_close([network(one) for one in each(state.targets)], reference.targets, **close)
            ref.assert_close([statistics(one) for one in each(s.targets)], reference.running["targets"], **close)


def columns(tree):
    """The norms of all columns of the weights of networks."""
    weights = [layer.weight for layer in (*tree.layers, tree.out)]
    return np.concatenate([np.linalg.norm(weight, axis=-2).ravel() for weight in weights])


def test_columns_have_norm_1_before_and_after_every_update_unless_they_are_free():
    for free in (False, True):
        config = configured(unit_weights=not free, learning_rate=0.1, policy_delay=1)
        state = xqc.init(config, ref.SPEC, jr.key(0))
        for i in range(3):
            for tree in (state.params.policy, state.params.critics):
                assert np.allclose(columns(tree), 1.0, atol=1e-5) is not free
            state, _ = update(config, state, ref.batch(i), QUARTER, jr.key(i))


def test_settings_that_follow_from_the_environment():
    config = configured(critic_hidden=None)
    assert (config.discount, config.target_entropy) == (np.float32(0.99), -0.5 * ref.ACTION)
    assert config.critic_hidden == tuple(2 * width for width in ref.HIDDEN)
    config = xqc.resolve(xqc.Config(), replace(ref.SPEC, time_limit=200))
    assert config.discount == np.float32(0.975)
    assert xqc.resolve(xqc.Config(discount=0.5), ref.SPEC).discount == 0.5


def test_without_a_target_network_there_are_no_targets_to_carry_over():
    config = configured(target_network=False)
    assert xqc.init(config, ref.SPEC, jr.key(0)).targets is None
    assert "targets" not in xqc.transferred_paths(config, config, True)
    assert "targets" in xqc.transferred_paths(configured(), config, True)


def test_the_policy_acts_by_its_running_statistics():
    config = configured()
    state = start(config)
    policy = xqc.policy(config, state)
    assert isinstance(policy, NormalisedGaussian)
    obs = jnp.asarray([[0.5, -0.3, 1.0], [5.0, -3.0, 100.0]])
    expected, _ = forward(network(state.params.policy), statistics(state.statistics.policy), wide(obs), "evaluation")
    np.testing.assert_allclose(jax.vmap(policy.mode)(obs), np.tanh(expected[:, : ref.ACTION]), rtol=1e-4, atol=1e-5)
    action, extras = policy.sample(obs[1], QUARTER, jr.key(0))
    assert np.abs(action).max() <= 1.0
    assert np.isfinite(extras["log_prob"])


def test_images_and_discrete_actions_are_refused():
    with pytest.raises(EntraxError, match="'xqc' needs continuous actions"):
        xqc.resolve(xqc.Config(), ref.discrete_spec(Discrete(3)))


SETTINGS: dict[str, Any] = {"hidden": (8, 8), "batch_size": 8, "learning_starts": 16, "steps": 96, "eval_every": 0}
SMALL_FORM = CASES["the small form"] | {"envs": 2, "updates_per_step": 0.5}


@pytest.mark.long
@pytest.mark.parametrize("settings", [SMALL_FORM, CASES["crossq"]])
def test_a_resumed_run_equals_an_uninterrupted_one(settings, tmp_path):
    settings = SETTINGS | {"log_every": 16, "checkpoint_every": 16, "workers": 0, "chunk": 8} | settings
    whole = entrax.train("Pendulum-v1", "xqc", run=tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", "xqc", run=tmp_path / "cut", hook=killer(3), **settings)
    assert fingerprint(entrax.resume(tmp_path / "cut").directory) == fingerprint(whole.directory)
    assert whole.config["training"]["normalise_rewards"]
    assert whole.config["spec"]["time_limit"] == 200
