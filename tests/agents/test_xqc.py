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

    def training(self):
        if self.config.normalisation != "renorm":
            return self.config.normalisation
        early = self.updates < self.config.warm_up
        return (1.0, 0.0) if early else (self.settings["ratio_limit"], self.settings["shift_limit"])

    def evaluation(self):
        return "none" if self.config.normalisation == "none" else "evaluation"

    def q(self, outputs):
        if outputs.shape[-1] == 1:
            return outputs[:, 0]
        atoms = np.linspace(-self.settings["support"], self.settings["support"], outputs.shape[-1])
        return jax.nn.softmax(outputs, axis=1) @ atoms

    def moved(self, running, seen, kept):
        return [
            (kept * mean + (1 - kept) * m, kept * variance + (1 - kept) * v)
            for (mean, variance), (m, v) in zip(running, seen, strict=True)
        ]

    def update(self, batch, key, rate):
        eps_next, eps = (ref.noise(k) for k in jr.split(key))
        with jax.enable_x64(True):
            batch = jax.tree.map(lambda x: x.astype(np.float64), batch)
            self._learn_critics(batch, eps_next, rate)
            if self.updates % self.config.policy_delay == 0:
                self._learn_policy(batch.obs, eps, rate)
        self.updates += 1

    def _learn_critics(self, b, eps, rate):
        next_action, log_pi, _ = draw(self.policy, self.running["policy"], b.next_obs, eps, self.evaluation())
        now, following = np.concatenate([b.obs, b.action], 1), np.concatenate([b.next_obs, next_action], 1)
        both, n, mode = np.concatenate([now, following]), len(now), self.training()
        joint = self.config.joint_batch
        name = "critics" if self.targets is None else "targets"
        bootstrap = self.critics if self.targets is None else self.targets
        outputs, seen_by_targets = [], []
        for net, running in zip(bootstrap, self.running[name], strict=True):
            y, seen = (
                forward(net, running, both, mode) if joint else forward(net, running, following, self.evaluation())
            )
            outputs.append(np.asarray(y[n:] if joint else y))
            seen_by_targets.append(seen)
        q = np.stack([self.q(y) for y in outputs])
        lowest = np.stack([outputs[i][row] for row, i in enumerate(q.argmin(axis=0))])
        alpha, live = np.exp(self.log_alpha), self.settings["discount"] * (1.0 - b.terminated)
        bonus = -alpha * log_pi
        if self.config.atoms == 1:
            y = b.reward + live * (lowest[:, 0] + bonus)
        else:
            z = np.linspace(-self.settings["support"], self.settings["support"], self.config.atoms)
            values = b.reward[:, None] + live[:, None] * (z + bonus[:, None])
            y = projected(np.asarray(jax.nn.softmax(lowest, axis=1)), np.asarray(values), z)

        def loss(critics):
            total = 0.0
            for net, running in zip(critics, self.running["critics"], strict=True):
                out, _ = forward(net, running, both if joint else now, mode)
                if self.config.atoms == 1:
                    total += 0.5 * jnp.mean((out[:n, 0] - y) ** 2)
                else:
                    total += jnp.mean(jnp.sum(-y * jax.nn.log_softmax(out[:n], axis=1), axis=1))
            return total

        self.loss, gradient = jax.value_and_grad(loss)(self.critics)
        pairs = zip(self.critics, self.running["critics"], strict=True)
        seen = [forward(net, running, both if joint else now, mode)[1] for net, running in pairs]
        self.critics, self.moments["critics"] = ref.adam(self.critics, gradient, self.moments["critics"], rate)
        if self.config.unit_weights:
            self.critics = [unit(net) for net in self.critics]
        kept = self.settings["momentum"]
        moved = [self.moved(r, s, kept) for r, s in zip(self.running["critics"], seen, strict=True)]
        if not joint:
            self.running["targets"] = ref.mix(self.running[name], moved, self.settings["target_rate"])
        elif self.targets is not None:
            pairs = zip(self.running["targets"], seen_by_targets, strict=True)
            self.running["targets"] = [self.moved(r, s, kept) for r, s in pairs]
        self.running["critics"] = moved
        if self.targets is not None:
            self.targets = ref.mix(self.targets, self.critics, self.settings["target_rate"])

    def _learn_policy(self, obs, eps, rate):
        mode, alpha = self.training(), np.exp(self.log_alpha)

        def loss(policy):
            action, log_pi, _ = draw(policy, self.running["policy"], obs, eps, mode)
            pairs = jnp.concatenate([obs, action], axis=1)
            nets = zip(self.critics, self.running["critics"], strict=True)
            q = jnp.stack([self.q(forward(net, running, pairs, self.evaluation())[0]) for net, running in nets])
            return jnp.mean(alpha * log_pi - q.min(axis=0))

        gradient = jax.grad(loss)(self.policy)
        _, log_pi, seen = draw(self.policy, self.running["policy"], obs, eps, mode)
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
    "not normalised": {"normalisation": "none", "unit_weights": False, "atoms": 7, "support": 2.0, "temperature": 0.3},
}


@pytest.mark.parametrize("case", CASES)
def test_updates_equal_the_float64_reference(case):
    config = configured(**CASES[case])
    state = start(config)
    reference = Reference(config, state)
    rate = 0.75 * 2e-3 + 0.25 * 3e-5
    for i in range(4):
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


@pytest.mark.parametrize("settings", [SMALL_FORM, pytest.param(CASES["crossq"], marks=pytest.mark.long)])
def test_a_resumed_run_equals_an_uninterrupted_one(settings, tmp_path):
    settings = SETTINGS | {"log_every": 16, "checkpoint_every": 16, "workers": 0, "chunk": 8} | settings
    whole = entrax.train("Pendulum-v1", "xqc", run=tmp_path / "whole", **settings)
    with pytest.raises(Killed):
        entrax.train("Pendulum-v1", "xqc", run=tmp_path / "cut", hook=killer(3), **settings)
    assert fingerprint(entrax.resume(tmp_path / "cut").directory) == fingerprint(whole.directory)
    assert whole.config["training"]["normalise_rewards"]
    assert whole.config["spec"]["time_limit"] == 200
