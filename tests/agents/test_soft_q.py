"""Soft Q-learning against numerical integration, and against a reference from equations 10 to 14 of its paper."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from entrax.agents import soft_q
from entrax.errors import EntraxError
from entrax.nets import adam_step
from entrax.nets.distributions import log_det_tanh
from entrax.policies.controller import FINISHED, identity_scaling
from entrax.spec import Continuous, Leaf, Progress, Spec
from tests.agents import reference64 as ref

PROGRESS = Progress(step=np.asarray(30, np.int32), horizon=np.asarray(100, np.int32))
SIZES: dict[str, Any] = {
    "batch_size": ref.BATCH,
    "replay_size": 1000,
    "hidden": ref.HIDDEN,
    "particles": 6,
    "value_particles": 5,
}
update = eqx.filter_jit(soft_q.update)


def configured(**fields):
    return soft_q.resolve(soft_q.Config(**(SIZES | fields)), ref.SPEC)


def start(config):
    """A state whose biases are not 0 and whose targets differ from the critics."""
    state = soft_q.init(config, ref.SPEC, jr.key(0))
    return eqx.tree_at(lambda s: (s.params, s.targets), state, ref.shaken((state.params, state.targets), 1))


def layers(network):
    """The float64 numbers of a network that takes something in late."""
    pairs = [(x.weight, x.bias) for x in (*network.trunk, network.early, network.out)]
    return jax.tree.map(lambda x: np.asarray(x, np.float64), {"pairs": pairs, "late": network.late})


def read(params):
    stacked = layers(params.critics.networks)
    count = len(stacked["late"])
    critics = [jax.tree.map(lambda x, i=i: x[i], stacked) for i in range(count)]
    return {"policy": layers(params.policy.network), "critics": critics}


def forward(net, obs, late):
    *trunk, early, out = net["pairs"]
    for weight, bias in trunk:
        obs = jnp.maximum(obs @ weight + bias, 0.0)
    return jnp.maximum(obs @ early[0] + early[1] + late @ net["late"], 0.0) @ out[0] + out[1]


class Reference:
    """The same algorithm in float64, from the paper's equations and the proposal's definition; Q is unit · network."""

    def __init__(self, state, config, *, proposal, unit, alpha, share):
        self.proposal, self.unit, self.alpha, self.share = proposal, unit, alpha, share
        self.k, self.m = config.particles, config.value_particles
        self.params = read(state.params)
        self.targets = read(eqx.tree_at(lambda p: p.critics, state.params, state.targets))["critics"]
        self.moments = {name: ref.fresh(part) for name, part in self.params.items()}
        # Compiled whole: one operation at a time the reference would take most of the test's time.
        self.value = jax.jit(jax.vmap(self._value, (None, None, 0, 0, 0, 0)))
        self.gradients = jax.jit(self._gradients)

    def update(self, batch, key):
        value_key, particle_key = jr.split(key)
        draws = jax.vmap(self._value_noise)(jr.split(value_key, ref.BATCH))
        noise = jr.normal(particle_key, (ref.BATCH, self.k, ref.ACTION))
        numbers = jax.tree.map(lambda x: np.asarray(x, np.float64), (batch, draws, noise))
        with jax.enable_x64(True):
            self._update(*numbers)

    def _value_noise(self, key):
        normal_key, sampler_key = jr.split(key)
        centre_key, choice_key = jr.split(sampler_key)
        shape = (self.m, ref.ACTION)
        even = jr.bernoulli(choice_key, self.share, (self.m, 1))
        return jr.normal(normal_key, shape), jr.normal(centre_key, shape), even

    def _lowest(self, critics, obs, action):
        return self.unit * jnp.min(jnp.concatenate([forward(net, obs, action) for net in critics], axis=-1), axis=-1)

    def _value(self, policy, targets, obs, z, centre_noise, even):
        size = ref.ACTION
        uniform = jax.scipy.special.erf(z / np.sqrt(2.0))
        if self.proposal == "uniform":
            action, density = uniform, np.full(self.m, 0.5**size)
        else:
            centres = forward(policy, obs, centre_noise)
            spread = jnp.maximum(centres.std(axis=0) * (4 / ((size + 2) * self.m)) ** (1 / (size + 4)), 0.05)
            action = jnp.where(even == 1, uniform, jnp.tanh(centres + spread * z))
            gaps = (jnp.arctanh(action)[:, None] - centres) / spread
            gaussians = jnp.mean(jnp.prod(jnp.exp(-0.5 * gaps**2) / (spread * np.sqrt(2 * np.pi)), axis=2), axis=1)
            density = self.share * 0.5**size + (1 - self.share) * gaussians / jnp.prod(1 - action**2, axis=1)
        q = self._lowest(targets, obs, action)
        return self.alpha * jnp.log(jnp.mean(jnp.exp(q / self.alpha) / density))

    def _gradients(self, params, b, y, noise):
        """Of J_Q and of the sampler, with J_Q."""

        def j_q(critics):
            return sum(0.5 * jnp.mean((self.unit * forward(net, b.obs, b.action)[:, 0] - y) ** 2) for net in critics)

        def log_p(u):
            action = jnp.tanh(u)
            q = self._lowest(params["critics"], b.obs[:, None], action)
            return jnp.sum(q / self.alpha) + jnp.sum(jnp.log(1 - action**2))

        u = forward(params["policy"], b.obs[:, None], noise)
        score, gaps = jax.grad(log_p)(u), u[:, :, None] - u[:, None]  # gaps [state, k, j, action]
        squares = jnp.sum(gaps**2, axis=3)
        pairs = jnp.sort(squares[:, *np.triu_indices(self.k, 1)], axis=1)
        median = pairs[:, (pairs.shape[1] - 1) // 2].astype(jnp.float32)
        median = (median.view(jnp.int32) & ~0xFFFF).view(jnp.float32).astype(jnp.float64)
        h = (median / np.log(self.k + 1))[:, None, None]
        kappa = jnp.exp(-squares / h)
        attraction = jnp.einsum("bkj,bja->bka", kappa * (1 - np.eye(self.k)), score)
        repulsion = jnp.einsum("bkj,bkja->bka", 2 / h * kappa, gaps)
        delta = jax.lax.stop_gradient((attraction + repulsion) / (self.k - 1))

        def j_f(policy):
            return -jnp.mean(jnp.sum(delta * forward(policy, b.obs[:, None], noise), axis=2))

        loss, g_critics = jax.value_and_grad(j_q)(params["critics"])
        return loss, {"critics": g_critics, "policy": jax.grad(j_f)(params["policy"])}

    def _update(self, b, draws, noise):
        v_next = self.value(self.params["policy"], self.targets, b.next_obs, *draws)
        y = b.reward + 0.99 * (1.0 - b.terminated) * v_next
        self.loss, gradients = self.gradients(self.params, b, y, noise)
        for name, gradient in gradients.items():
            self.params[name], self.moments[name] = ref.adam(self.params[name], gradient, self.moments[name], 3e-4)
        self.targets = ref.mix(self.targets, self.params["critics"], 0.005)


CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "one critic, uniform proposal": {"critics": 1, "proposal": "uniform", "temperature": 0.5},
    "cold, half uniform": {"temperature": 0.2, "uniform_share": 0.5},
    "annealed": {"temperature": 0.8, "final_temperature": 0.2, "anneal_fraction": 1.0},
}


@pytest.mark.parametrize("case", CASES)
def test_updates_equal_the_float64_reference(case):
    fields = CASES[case]
    config = configured(**fields)
    state = start(config)
    reference = Reference(
        state,
        config,
        proposal=fields.get("proposal", "sampler"),
        unit=fields.get("temperature", 1.0),
        alpha=float(soft_q.temperature(config, None, PROGRESS)),
        share=fields.get("uniform_share", 0.1),
    )
    for i in range(3):
        batch, key = ref.batch(10 + i), jr.key(20 + i)
        state, info = update(config, state, batch, PROGRESS, key)
        reference.update(batch, key)
        np.testing.assert_allclose(info["critic_loss"], reference.loss, rtol=2e-5)
        if i in (0, 2):
            ref.assert_close(read(state.params), reference.params, rtol=1e-4, atol=5e-6)


def test_learning_does_not_depend_on_the_unit_of_the_reward():
    """Rewards c r at temperature c α are the problem r at α; c is a power of 2, so that nothing is rounded."""
    batch, states = ref.batch(0), []
    infos: list[Any] = []
    for c in (1.0, 64.0):
        config = configured(temperature=0.25 * c)
        state, info = update(config, start(config), batch._replace(reward=c * batch.reward), PROGRESS, jr.key(1))
        states.append(state)
        infos.append((info["q"] / c, info["critic_loss"] / c**2, info["entropy"]))
    assert bool(eqx.tree_equal(*states))
    np.testing.assert_array_equal(*infos)


def two_wells(obs, action):
    """Q over one action, with modes near both ends; the right one holds more. Two critics, the second never lower."""
    q = -5.0 * (action[0] ** 2 - 0.7) ** 2 + 0.3 * action[0]
    return jnp.stack([q, q + 1.0])


GRID = np.linspace(-1, 1, 20001)[1:-1]


def exact_value(alpha):
    """α log ∫ exp(Q/α) da and the density exp(Q/α)/Z on the grid."""
    q = np.asarray(jax.vmap(lambda a: two_wells(None, a[None])[0])(jnp.asarray(GRID)), np.float64)
    weight = np.exp(q / alpha)
    integral = np.sum(weight) * (GRID[1] - GRID[0])
    return alpha * np.log(integral), weight / np.sum(weight)


def untrained_sampler():
    return soft_q.Sampler(1, 1, (16, 16), jr.key(3))


@pytest.mark.parametrize("proposal", soft_q.PROPOSALS)
def test_the_integral_is_unbiased_and_the_value_low_for_few_draws(proposal):
    alpha, replicates = 0.5, 4000
    value, low = exact_value(alpha)[0], []
    for draws in (2, 8, 32):
        config = configured(proposal=proposal, temperature=alpha, value_particles=draws)
        one = jax.vmap(lambda k, c=config: soft_q.soft_value(c, untrained_sampler(), two_wells, jnp.zeros(1), k)[0])
        found = np.asarray(jax.jit(one)(jr.split(jr.key(draws), replicates)), np.float64)
        ratio = np.exp((found - value) / alpha)
        assert abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(replicates)
        low.append(value - found.mean())
        assert low[-1] > 5 * found.std() / np.sqrt(replicates)
    assert low[0] > 2 * low[1] > 4 * low[2]


def wasserstein(x, density):
    """Mean distance of draws to the quantiles of a density on the grid."""
    quantiles = np.interp((np.arange(len(x)) + 0.5) / len(x), np.cumsum(density), GRID)
    return np.mean(np.abs(np.sort(x) - quantiles))


def test_the_sampler_learns_to_draw_from_exp_q():
    config, obs = configured(particles=32, learning_rate=3e-3), jnp.zeros((4, 1))
    untrained = soft_q.Sampler(1, 1, (32, 32), jr.key(0))

    def step(i, carry):
        gradient = soft_q.sampler_gradient(config, carry[0], two_wells, obs, jr.fold_in(jr.key(1), i))
        return adam_step(config.learning_rate, carry[0], gradient, carry[1])

    fresh = (untrained, optax.adam(1.0).init(untrained))
    trained, _ = jax.jit(lambda carry: jax.lax.fori_loop(0, 1500, step, carry))(fresh)
    density = exact_value(1.0)[1]
    other = density * (1 - GRID**2)  # the fixed point of particles that are driven in the action itself
    before, after = (np.tanh(sampler.draw(obs[0], 4000, jr.key(2))[:, 0]) for sampler in (untrained, trained))
    assert wasserstein(before, density) > 0.2
    assert wasserstein(after, density) < 0.04
    assert wasserstein(after, other / other.sum()) > 0.08


def test_other_numbers_do_not_compile_again():
    traces = []

    @eqx.filter_jit
    def counted(config, state, batch, key):
        traces.append(1)
        return soft_q.update(config, state, batch, PROGRESS, key)

    for fields in ({}, {"temperature": 0.3, "learning_rate": 1e-3, "discount": 0.9, "uniform_share": 0.0}):
        config = configured(**fields)
        state, info = counted(config, start(config), ref.batch(0), jr.key(1))
        assert all(np.isfinite(x).all() for x in jax.tree.leaves((state.params, info)))
    assert len(traces) == 1


def test_the_mode_is_the_best_of_fixed_draws():
    config = configured(particles=50)
    state, obs = start(config), jnp.asarray([0.3, -0.2, 0.5])
    policy = soft_q.policy(config, state)
    drawn = jax.jit(jax.vmap(lambda k: policy.sample(obs, PROGRESS, k)[0]))(jr.split(jr.key(0), 200))
    assert np.abs(drawn).max() <= 1.0
    mode = eqx.filter_jit(policy.mode)(obs)
    np.testing.assert_array_equal(mode, eqx.filter_jit(policy.mode)(obs))
    q = jax.jit(soft_q.lowest_q)(state.params.critics, obs, jnp.concatenate([mode[None], drawn]))
    assert q[0] > np.quantile(q[1:], 0.9)


def test_action_values_are_in_units_of_the_reward():
    config = configured(temperature=0.3)
    state = soft_q.init(config, ref.SPEC, jr.key(3))
    obs, actions = jnp.full(ref.SPEC.obs_size, 0.2), jr.uniform(jr.key(4), (5, ref.SPEC.action.size), minval=-1.0)
    part = soft_q.soft_q(config, state, identity_scaling(ref.SPEC))
    each = [soft_q.action_value(config, state, obs, action) for action in actions]
    np.testing.assert_allclose(each, part.q(obs, actions), rtol=1e-6)


def test_a_fixed_bandwidth_takes_the_place_of_the_median():
    obs, particles = jnp.zeros(1), jnp.asarray([[-0.5], [0.1], [0.7]])
    at_width = eqx.filter_jit(lambda config: soft_q.direction(config, two_wells, obs, particles))
    tight, wide = (at_width(configured(bandwidth=h)) for h in (1e-4, 1e4))
    np.testing.assert_allclose(tight, 0.0, atol=1e-6)  # nobody is near
    x = np.asarray(particles, np.float64)
    a = np.tanh(x)
    scores = (-20 * (a**2 - 0.7) * a + 0.3) * (1 - a**2) - 2 * a  # of Q(tanh u) + log(1 - tanh² u)
    np.testing.assert_allclose(wide, (scores.sum() - scores) / 2, rtol=1e-3)  # everybody is


def test_the_temperature_falls_in_a_line_and_is_held_or_annealed_by_fine_tuning():
    config = configured(temperature=0.8, final_temperature=0.2, anneal_fraction=0.5)
    assert float(soft_q.temperature(config, None, PROGRESS)) == pytest.approx(0.8 - 0.6 * 0.6)
    assert float(soft_q.temperature(config, None, FINISHED)) == pytest.approx(0.2)
    held = soft_q.continued(config, FINISHED, None)
    assert float(soft_q.temperature(configured(**held), None, PROGRESS)) == pytest.approx(0.2)
    assert held["temperature"] == pytest.approx(0.8)  # still the critics' unit
    with pytest.raises(EntraxError, match="`temperature_start` must be 'keep'"):
        soft_q.continued(config, FINISHED, 0.1)

    steady = configured(temperature=0.5)
    assert float(soft_q.temperature(steady, None, PROGRESS)) == 0.5
    assert soft_q.continued(steady, FINISHED, None) == {}
    falling = configured(**soft_q.continued(steady, FINISHED, 0.1))
    assert float(soft_q.temperature(falling, None, PROGRESS)) == pytest.approx(0.5 - 0.3 * 0.4)


@pytest.mark.parametrize("size", [1, 8, 17])
def test_the_value_is_little_biased_at_any_number_of_action_entries(size):
    """The sampler draws exactly from the policy of a Q with V/α = d log(2π)/2, so that only M draws are to blame."""
    low, high = (-1.0,) * size, (1.0,) * size
    spec = Spec((Leaf("obs", (1,), "float32", 1, (-1.0,), (1.0,)),), Continuous((size,), "float32", low, high))
    config = soft_q.resolve(soft_q.Config(), spec)

    class Normal(soft_q.Sampler):
        def draw(self, obs, count, key):
            return jr.normal(key, (count, self.size))

    def q(obs, action):
        u = jnp.arctanh(jnp.clip(action, -1 + 1e-7, 1 - 1e-7))
        return (-0.5 * jnp.sum(u**2) - jnp.sum(log_det_tanh(u)))[None]

    create: type[soft_q.Sampler] = Normal
    sampler = create(1, size, (8, 8), jr.key(0))
    one = jax.jit(lambda key: soft_q.soft_value(config, sampler, q, jnp.zeros(1), key)[0])
    found = np.array([one(key) for key in jr.split(jr.key(1), 400)])
    error = 4 * found.std() / np.sqrt(len(found))
    assert size * np.log(2 * np.pi) / 2 - found.mean() < 0.1 + error
    assert error < 0.1
