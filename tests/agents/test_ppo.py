"""Proximal policy optimisation against NumPy in float64, with gradients by hand."""

from dataclasses import asdict
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import stats

import entrax
from entrax.agents import ppo
from entrax.errors import EntraxError
from entrax.runs.audit import fingerprint
from entrax.spec import Discrete, MultiDiscrete, Progress, Transition
from tests.agents import reference64 as ref
from tests.killing import Killed

TIMES, ENVS = 10, 3
STEPS = TIMES * ENVS
PROGRESS = Progress(step=np.asarray(40 + STEPS, np.int32), horizon=np.asarray(100, np.int32))  # the rollout began at 40
update = eqx.filter_jit(ppo.update)
SPECS = {
    "box": ref.SPEC,
    "discrete": ref.discrete_spec(Discrete(3)),
    "entry by entry": ref.discrete_spec(MultiDiscrete((3, 2))),
}


def configured(spec=ref.SPEC, **fields):
    small: dict[str, Any] = {
        "batch_size": STEPS,
        "rollout_steps": STEPS,
        "hidden": ref.HIDDEN,
        "epochs": 3,
        "learning_rate": 0.02,
    }
    return ppo.resolve(ppo.Config(**small | fields), spec)


def start(config, spec):
    """A state whose biases are not 0."""
    state = ppo.init(config, spec, jr.key(0))
    return eqx.tree_at(lambda s: s.params, state, ref.shaken(state.params, 1))


def rollout(spec, seed):
    """Random steps that follow on each other, but where an episode terminated or was truncated."""
    rng = np.random.default_rng(seed)
    obs = rng.normal(size=(TIMES + 1, ENVS, ref.OBS)).astype(np.float32)
    ended = rng.integers(5, size=(TIMES, ENVS))
    fresh = rng.normal(size=(TIMES, ENVS, ref.OBS)).astype(np.float32)
    nvec = {"Discrete": (3,), "MultiDiscrete": (3, 2)}.get(type(spec.action).__name__)
    draws = rng.normal(size=(TIMES, ENVS, ref.ACTION)).astype(np.float32)  # many beyond the bounds
    return Transition(
        obs=obs[:-1],
        action=draws if nvec is None else rng.integers(nvec, size=(TIMES, ENVS, len(nvec)), dtype=np.int32),
        reward=rng.normal(size=(TIMES, ENVS)).astype(np.float32),
        next_obs=np.where(ended[..., None] < 2, fresh, obs[1:]),
        terminated=ended == 0,
        truncated=ended == 1,
    )


def forward(net, x):
    """Every layer's input, then the output."""
    inputs = [x]
    for weight, bias in net[:-1]:
        inputs.append(np.tanh(inputs[-1] @ weight + bias))
    return inputs, inputs[-1] @ net[-1][0] + net[-1][1]


def backward(net, inputs, slope):
    """The gradient of every weight and bias, from that of the output [step, out]."""
    gradients = []
    for (weight, _), x in zip(reversed(net), reversed(inputs), strict=True):
        gradients.append((x.T @ slope, slope.sum(axis=0)))
        slope = (slope @ weight.T) * (1.0 - x**2)
    return gradients[::-1]


class Reference:
    """Everything in float64, step by step as the paper has it."""

    def __init__(self, state, config, nvec):
        params, self.nvec = state.params, nvec
        self.value = ref.layers(params.value)
        self.policy = ref.layers(params.policy.mean if nvec is None else params.policy.logits)
        self.log_std = np.zeros(0) if nvec else np.asarray(params.policy.log_std, np.float64)
        c = {k: float(v) for k, v in asdict(config).items() if isinstance(v, jax.Array)}
        self.c, self.epochs = c, config.epochs
        self.moments = [(np.zeros_like(p), np.zeros_like(p)) for p in self.flat()]

    def flat(self):
        return [part for net in (self.policy, self.value) for layer in net for part in layer] + [self.log_std]

    def log_policy(self, out, action):
        """log π(a|s) of every step and its slope by the network's output and by log σ; the entropy and its slopes."""
        if self.nvec is None:
            z = (action - out) / np.exp(self.log_std)
            entropy = np.full(len(out), np.sum(self.log_std + 0.5 * np.log(2 * np.pi * np.e)))
            log_prob = stats.norm.logpdf(action, out, np.exp(self.log_std)).sum(axis=1)
            return log_prob, z / np.exp(self.log_std), z**2 - 1, entropy, 0 * out, np.ones_like(out)
        total, entropies, slope, entropy_slope = 0.0, 0.0, np.zeros_like(out), np.zeros_like(out)
        width = max(self.nvec)
        for i, n in enumerate(self.nvec):
            place = slice(i * width, i * width + n)
            pi = np.exp(out[:, place]) / np.exp(out[:, place]).sum(axis=1, keepdims=True)
            chosen = np.eye(n)[action[:, i]]
            total = total + np.log((pi * chosen).sum(axis=1))
            slope[:, place] = chosen - pi
            entropy = -(pi * np.log(pi)).sum(axis=1)
            entropies = entropies + entropy
            entropy_slope[:, place] = -pi * (np.log(pi) + entropy[:, None])
        nothing = np.zeros((len(out), 0))
        return total, slope, nothing, entropies, entropy_slope, nothing

    def advantages(self, b, log_prob):
        """Equations 11 and 12 by a double sum over what follows in the episode."""
        gamma, lam = self.c["discount"], self.c["gae_lambda"]
        v, v_next = (forward(self.value, np.float64(obs))[1][..., 0] for obs in (b.obs, b.next_obs))
        reward = b.reward - self.c["temperature"] * log_prob
        advantage = np.zeros((TIMES, ENVS))
        for e in range(ENVS):
            for t in range(TIMES):
                for k in range(t, TIMES):
                    delta = reward[k, e] + gamma * (not b.terminated[k, e]) * v_next[k, e] - v[k, e]
                    advantage[t, e] += (gamma * lam) ** (k - t) * delta
                    if b.terminated[k, e] or b.truncated[k, e]:
                        break
        return advantage, advantage + v

    def update(self, b, rate):
        obs, action = np.float64(b.obs).reshape(STEPS, -1), b.action.reshape(STEPS, -1)
        old = self.log_policy(forward(self.policy, obs)[1], action)[0]
        advantage, target = (x.reshape(STEPS) for x in self.advantages(b, old.reshape(TIMES, ENVS)))
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        self.clipped = []
        for i in range(self.epochs):
            inputs, out = forward(self.policy, obs)
            log_prob, slope, std_slope, _, entropy_slope, entropy_std_slope = self.log_policy(out, action)
            ratio, eps = np.exp(log_prob - old), self.c["clip"]
            self.clipped.append(np.mean(np.abs(ratio - 1) > eps))
            held = ((advantage > 0) & (ratio > 1 + eps)) | ((advantage < 0) & (ratio < 1 - eps))
            by_log_prob = np.where(held, 0.0, ratio * advantage)[:, None]
            bonus = self.c["entropy_coefficient"]
            g_policy = backward(self.policy, inputs, -(by_log_prob * slope + bonus * entropy_slope) / STEPS)
            g_log_std = -np.mean(by_log_prob * std_slope + bonus * entropy_std_slope, axis=0)
            inputs, value = forward(self.value, obs)
            error = self.c["value_coefficient"] * (value - target[:, None])
            g_value = backward(self.value, inputs, error / STEPS)
            flat = [part for net in (g_policy, g_value) for layer in net for part in layer] + [g_log_std]
            self.adam(flat, rate, i + 1)

    def adam(self, gradient, rate, t):
        norm = np.sqrt(sum(np.sum(g**2) for g in gradient))
        scale = min(1.0, self.c["max_gradient_norm"] / norm)
        for i, (p, g) in enumerate(zip(self.flat(), gradient, strict=True)):
            m, v = self.moments[i]
            self.moments[i] = m, v = 0.9 * m + 0.1 * scale * g, 0.999 * v + 0.001 * (scale * g) ** 2
            p -= rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-5)


@pytest.mark.parametrize("kind", SPECS)
def test_an_update_equals_the_float64_reference(kind):
    spec = SPECS[kind]
    soft: dict[str, Any] = {
        "temperature": 0.2,
        "entropy_coefficient": 0.05,
        "value_coefficient": 0.7,
        "final_learning_rate": 0.01,
    }
    config = configured(spec, joint_limit=1, gae_lambda=0.9, discount=0.8, clip=0.1, **soft)
    state, batch = start(config, spec), rollout(spec, 3)
    reference = Reference(state, config, {"box": None, "discrete": (3,), "entry by entry": (3, 2)}[kind])
    state, info = update(config, state, batch, PROGRESS, jr.key(0))
    reference.update(batch, rate=0.6 * 0.02 + 0.4 * 0.01)  # 40 of 100 steps had been taken when it began
    np.testing.assert_allclose(info["learning_rate"], 0.016, rtol=1e-6)
    np.testing.assert_allclose(info["clipped"], np.mean(reference.clipped), rtol=1e-5)
    assert info["clipped"] > 0.1
    policy: Any = state.params.policy
    net = policy.mean if kind == "box" else policy.logits
    log_std = [policy.log_std] if kind == "box" else [np.zeros(0)]
    actual = [p for net in (net, state.params.value) for layer in ref.layers(net) for p in layer] + log_std
    ref.assert_close(actual, reference.flat(), rtol=2e-4, atol=2e-5)


def test_each_epoch_goes_through_every_step_once():
    config = configured(batch_size=5, learning_rate=1e-9, normalise_advantages=False, max_gradient_norm=1e9)
    state, batch = start(config, ref.SPEC), rollout(ref.SPEC, 0)
    _, info = update(config, state, batch, PROGRESS, jr.key(0))
    rows = ppo.examples(config, state.params, batch)  # nothing moves, so that means over minibatches are the whole's
    np.testing.assert_allclose(info["policy_loss"], -jnp.mean(rows.advantage), rtol=1e-4)
    np.testing.assert_allclose(info["clipped"], 0.0)


@pytest.mark.parametrize("kind", SPECS)
def test_what_is_drawn_has_the_law_that_log_prob_says(kind):
    spec = SPECS[kind]
    policy = start(configured(spec, joint_limit=1), spec).params.policy
    obs = jnp.asarray([0.3, -0.2, 0.9])
    drawn, _ = jax.vmap(lambda key: policy.sample(obs, PROGRESS, key))(jr.split(jr.key(0), 20_000))
    log_prob = jax.vmap(policy.log_prob, (None, 0))(obs, drawn)
    entropy, error = policy.entropy(obs), np.std(log_prob) / np.sqrt(len(log_prob))
    assert abs(-np.mean(log_prob) - entropy) < 4 * error  # which a density off by a constant would not pass
    if kind == "box":
        places = stats.norm.cdf(drawn, policy.mean(obs), np.exp(policy.log_std))
        assert stats.kstest(places[:, 0], "uniform").pvalue > 1e-3
        return
    frequent = np.unique(np.asarray(drawn), axis=0, return_counts=True)
    expected = np.exp(jax.vmap(policy.log_prob, (None, 0))(obs, frequent[0]))
    np.testing.assert_allclose(expected.sum(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(frequent[1] / len(drawn), expected, atol=4 * 0.5 / np.sqrt(len(drawn)))


def test_what_depends_on_the_actions():
    box, discrete = ppo.resolve(ppo.Config(), ref.SPEC), ppo.resolve(ppo.Config(), SPECS["discrete"])
    np.testing.assert_allclose(box.learning_rate, 3e-4)
    assert (box.rollout_steps, box.batch_size, box.epochs) == (2048, 64, 10)  # table 3
    assert discrete.rollout_steps == ppo.DISCRETE["rollout_steps"]
    # A run's configuration is resolved again when it is loaded.
    fields: dict[str, Any] = {k: float(v) if isinstance(v, jax.Array) else v for k, v in asdict(discrete).items()}
    again = ppo.Config(**fields)
    assert eqx.tree_equal(ppo.resolve(again, SPECS["discrete"]), discrete)


def test_sizes_of_rollouts_that_do_not_fit_are_refused():
    with pytest.raises(EntraxError, match="`batch_size` must be at least 2, got 1"):
        configured(batch_size=1)
    with pytest.raises(EntraxError, match="`rollout_steps` must be a multiple of `batch_size`, 30, got 31"):
        configured(rollout_steps=31)


RUN: dict[str, Any] = {
    "agent": "ppo",
    "steps": 180,
    "seed": 2,
    "envs": 2,
    "workers": 0,
    "normalise_obs": True,
    "hidden": (8,),
}
RUN |= {"normalise_rewards": True}
RUN |= {"rollout_steps": 32, "batch_size": 16, "epochs": 2, "checkpoint_every": 40, "eval_every": 90, "log_every": 20}


@pytest.mark.long
def test_a_run_that_was_killed_ends_with_the_bytes_of_a_whole_one(tmp_path):
    def hook(row):
        if row["step"] >= 100:
            raise Killed

    whole = entrax.train("CartPole-v1", run=tmp_path / "whole", **RUN)
    with pytest.raises(Killed):
        entrax.train("CartPole-v1", run=tmp_path / "cut", hook=hook, **RUN)
    assert [row["step"] for row in whole.metrics()][-1] == 180
    assert whole.metrics()[-1]["updates"] == 180 // 32  # of the last, partial rollout nothing is learned
    resumed = entrax.resume(tmp_path / "cut")
    assert sum(event["kind"] == "resumed" for event in resumed.directory.events()) == 1
    assert fingerprint(resumed.directory) == fingerprint(whole.directory)
    more = entrax.resume(tmp_path / "cut", steps=224)
    longer = entrax.train("CartPole-v1", run=tmp_path / "longer", **RUN | {"steps": 224, "horizon": 180})
    assert fingerprint(more.directory) == fingerprint(longer.directory)
