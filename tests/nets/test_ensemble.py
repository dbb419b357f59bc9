"""The ensemble against its equations in float64, and on a system whose mean and variance are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.stats import norm

from entrax.errors import UsageError
from entrax.nets import ensemble as nets
from entrax.nets import ensemble_fit
from entrax.replay import Split, UniformReplay
from entrax.spec import Transition
from tests.agents import reference64 as ref

fit = eqx.filter_jit(ensemble_fit.fit)


def created(seed=0, *, members=3, elites=2, hidden=(5, 4)):
    key = jr.key(seed)
    ensemble = nets.create_ensemble(ref.OBS, ref.ACTION, members=members, elites=elites, hidden=hidden, key=key)
    return eqx.tree_at(lambda e: e.networks, ensemble, ref.shaken(ensemble.networks, seed))


def softplus(x):
    return np.logaddexp(0.0, x)


def loss64(arrays, x, y, terminated, beta, constant=None):
    """J of equation (1) of one network, from its flat parameters, and (μ̄, log σ̄²), if they are not given."""
    *layers, lowest, highest = arrays
    pairs = list(zip(layers[::2], layers[1::2], strict=True))
    for weight, bias in pairs[:-1]:
        x = x @ weight + bias
        x = x / (1 + np.exp(-x))
    out = x @ pairs[-1][0] + pairs[-1][1]
    size = y.shape[1]
    mean, raw, log_odds = out[:, :size], out[:, size : 2 * size], out[:, -1]
    clamped = highest - softplus(highest - raw)
    log_variance = lowest + softplus(clamped - lowest)
    constant = (mean, log_variance) if constant is None else constant
    of_mean = np.exp((beta - 1) * constant[1]) * (y - mean) ** 2
    gaussian = 0.5 * (of_mean + (y - constant[0]) ** 2 / np.exp(log_variance) + log_variance).sum(axis=1)
    entropy = -np.where(terminated, np.log(1 / (1 + np.exp(-log_odds))), np.log(1 / (1 + np.exp(log_odds))))
    return gaussian.mean() + entropy.mean() + 0.01 * (highest - lowest).sum(), constant


@pytest.mark.parametrize("beta", [0.5, 0.0])
def test_the_loss_and_its_gradient_are_those_of_the_equations(beta, monkeypatch):
    monkeypatch.setattr(ensemble_fit, "BETA", beta)
    network = jax.tree.map(lambda x: x[1], created(3).networks)
    leaves = jax.tree.leaves(network)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, ref.OBS + ref.ACTION)), rng.normal(size=(12, ref.OBS + 1))
    terminated = np.arange(12) % 3 == 0
    given = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), jnp.asarray(terminated)
    value, gradient = jax.jit(jax.value_and_grad(ensemble_fit.training_loss))(network, *given)
    exact = [np.asarray(leaf, np.float64) for leaf in leaves]
    expected, constant = loss64(exact, x, y, terminated, beta)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    slopes = jax.tree.leaves(gradient)
    for place, leaf in enumerate(exact):
        for index in rng.permutation(leaf.size)[:4]:
            ends = []
            for sign in (1, -1):
                moved = [each.copy() for each in exact]
                moved[place].flat[index] += sign * 1e-5
                ends.append(loss64(moved, x, y, terminated, beta, constant)[0])
            np.testing.assert_allclose(slopes[place].ravel()[index], (ends[0] - ends[1]) / 2e-5, rtol=1e-3, atol=1e-5)


def test_without_beta_the_gradient_is_that_of_the_likelihood(monkeypatch):
    monkeypatch.setattr(ensemble_fit, "BETA", 0.0)
    monkeypatch.setattr(ensemble_fit, "BOUNDS_WEIGHT", 0.0)
    network, rng = jax.tree.map(lambda x: x[0], created(5).networks), np.random.default_rng(1)
    shapes = (12, ref.OBS + ref.ACTION), (12, ref.OBS + 1)
    given = *(jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes), jnp.arange(12) % 3 == 0
    mine, exact = (
        jax.jit(jax.grad(loss))(network, *given) for loss in (ensemble_fit.training_loss, ensemble_fit.likelihood_loss)
    )
    for x, y in zip(jax.tree.leaves(mine), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_running_moments_of_equal_weights_are_those_of_all_rows():
    values = np.random.default_rng(0).normal(2.0, 3.0, (5, 40, 2)).astype(np.float32)
    moments = nets.first_moments(2)
    for i, rows in enumerate(values):
        moments = moments.advanced(jnp.asarray(rows), 1 / (i + 1))
    np.testing.assert_allclose(moments.mean, values.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, values.var(axis=(0, 1)), rtol=1e-5)
    still = nets.first_moments(1).advanced(jnp.full((9, 1), 5.0), 1.0)
    assert np.array_equal(still.standardised(jnp.array([7.0])), [2.0])


A, B, NOISE = np.array([[0.9, 0.3], [-0.2, 0.7]]), np.array([[0.5], [-1.0]]), np.array([0.1, 0.4])
REWARD_NOISE = 0.2


def linear_gaussian(count, seed):
    """Transitions s' = A s + B a + noise, r = s₁ - a + noise; those with s₂ > 1 terminate."""
    rng = np.random.default_rng(seed)
    obs, action = rng.normal(size=(count, 2)), rng.uniform(-1, 1, (count, 1))
    next_obs = obs @ A.T + action @ B.T + NOISE * rng.normal(size=(count, 2))
    reward = obs[:, 0] - action[:, 0] + REWARD_NOISE * rng.normal(size=count)
    rows = Transition(obs, action, reward, next_obs, terminated=obs[:, 1] > 1, truncated=np.zeros(count, bool))
    return jax.tree.map(lambda x: jnp.asarray(x, bool if x.dtype == bool else jnp.float32), rows)


@eqx.filter_jit
def fitted(learning, data, split, steps, key):
    """Fit by `steps` steps, whose rows are drawn from the first nine tenths of the data."""
    end = len(data.reward) * 9 // 10

    def one(learning, key):
        rows = jr.randint(key, (split.members, split.batch_size), 0, end)
        training = jax.tree.map(lambda x: x[rows], data)
        held_out = jax.tree.map(lambda x: x[end:], data)
        return ensemble_fit.fit(learning, training, held_out, 3e-3)

    return jax.lax.scan(one, learning, jr.split(key, steps))


def test_the_mean_and_variance_of_a_linear_gaussian_system_are_recovered():
    ensemble = nets.create_ensemble(2, 1, members=3, elites=2, hidden=(16,), key=jr.key(1))
    split = Split(batch_size=64, members=3, held_out=1, capacity=1000)
    learning, info = fitted(ensemble_fit.start_learning(ensemble), linear_gaussian(5000, 0), split, 1500, jr.key(2))
    assert info["held_out_nll"][-1] < info["held_out_nll"][0] - 0.5
    assert abs(info["inside_50"][-1] - 0.5) < 0.03
    assert abs(info["inside_90"][-1] - 0.9) < 0.02

    ensemble, fresh = learning.params, linear_gaussian(2000, 7)
    best = ensemble.best()
    rows = jax.vmap(ensemble.predict, (None, 0, 0))
    prediction = jax.vmap(lambda network: rows(network, fresh.obs, fresh.action))(best)
    expected = np.column_stack([fresh.obs @ A.T + fresh.action @ B.T - fresh.obs, fresh.obs[:, 0] - fresh.action[:, 0]])
    std = np.array([*NOISE, REWARD_NOISE])
    bias = np.sqrt(np.mean((prediction.mean - expected) ** 2, axis=(0, 1)))
    assert (bias < 0.25 * std).all()
    np.testing.assert_allclose(np.mean(prediction.std, axis=(0, 1)), std, rtol=0.1)
    right = (prediction.log_odds > 0) == np.asarray(fresh.terminated)
    assert right.mean() > 0.97
    coverage = eqx.filter_jit(nets.report)(ensemble, fresh)
    assert abs(coverage["inside_50"] - 0.5) < 0.03
    assert abs(coverage["inside_90"] - 0.9) < 0.02
    entropy = 0.5 * np.log(2 * np.pi * np.e) + np.log(std / ensemble.targets.scale()).mean()
    assert abs(coverage["held_out_nll"] - entropy) < 0.05


def test_the_report_is_that_of_the_mixture_of_elites():
    """Two elites with means ±1 and deviation 1 in every entry: the 50 % interval ends where F = 1/4 and 3/4."""
    ensemble = known([0.0, 0.0], [1.0, 1.0], shift=(1.0, -1.0))
    grid = np.linspace(-4, 4, 1601)
    below = 0.5 * (norm.cdf(grid - 1) + norm.cdf(grid + 1))
    zero = jnp.zeros((len(grid), 1))
    data = Transition(
        zero, zero, jnp.asarray(grid, jnp.float32), jnp.asarray(grid[:, None], jnp.float32), zero[:, 0], zero[:, 0]
    )
    found = eqx.filter_jit(nets.report)(ensemble, data)
    density = np.log(0.5 * norm.pdf(grid - 1) + 0.5 * norm.pdf(grid + 1))
    np.testing.assert_allclose(found["inside_50"], np.mean(abs(below - 0.5) < 0.25), atol=2e-3)
    np.testing.assert_allclose(found["inside_90"], np.mean(abs(below - 0.5) < 0.45), atol=2e-3)
    np.testing.assert_allclose(found["held_out_nll"], -density.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["held_out_rmse"], np.sqrt(np.mean(grid**2)), rtol=1e-5)


def known(slopes, stds, *, gain=0.0, shift=None):
    """Linear members of a scalar system: s' − s ~ N((slope) s + gain · a + shift, std²); the reward likewise."""
    members = len(slopes)
    ensemble = nets.create_ensemble(1, 1, members=members, elites=members, hidden=(), key=jr.key(0))
    shift = np.zeros(members) if shift is None else np.asarray(shift)
    weight, bias = np.zeros((members, 2, 5)), np.zeros((members, 5))
    weight[:, 0, :2], weight[:, 1, :2] = np.asarray(slopes)[:, None], gain
    bias[:, :2], bias[:, 2:4], bias[:, 4] = shift[:, None], 2 * np.log(stds)[:, None], -50.0
    bounds = np.full((members, 2), 60.0)
    where = lambda e: (  # noqa: E731
        e.networks.layers[0].weight,
        e.networks.layers[0].bias,
        e.networks.lowest,
        e.networks.highest,
    )
    values = tuple(jnp.asarray(each, jnp.float32) for each in (weight, bias, -bounds, bounds))
    return eqx.tree_at(where, ensemble, values)


def test_held_out_data_calibrates_the_deviations():
    """Members have deviations 1 and 1 for targets with 0.25 and 3; the corrections are log 0.25 and log 3."""
    rng, count = np.random.default_rng(2), 4000
    zero = jnp.zeros((count, 1))
    change, reward = 0.25 * rng.normal(size=(count, 1)), 3.0 * rng.normal(size=count)
    data = Transition(
        zero, zero, jnp.asarray(reward, jnp.float32), jnp.asarray(change, jnp.float32), zero[:, 0], zero[:, 0]
    )
    ensemble = known([0.0, 0.0], [1.0, 1.0])
    many = eqx.filter_jit(
        lambda e: jax.lax.scan(lambda e, _: (ensemble_fit.calibrated(e, data), None), e, None, 1500)[0]
    )
    ensemble = many(ensemble)
    np.testing.assert_allclose(ensemble.corrections, np.log([0.25, 3.0]), atol=0.06)
    prediction = ensemble.predict(jax.tree.map(lambda x: x[0], ensemble.networks), jnp.zeros(1), jnp.zeros(1))
    np.testing.assert_allclose(prediction.std, [0.25, 3.0], rtol=0.07)
    found = eqx.filter_jit(nets.report)(ensemble, data)
    assert abs(found["inside_50"] - 0.5) < 0.03
    assert abs(found["inside_90"] - 0.9) < 0.02


def test_elites_are_the_members_with_the_smallest_held_out_loss():
    data = linear_gaussian(400, 3)
    ensemble = nets.create_ensemble(2, 1, members=4, elites=2, hidden=(8,), key=jr.key(4))
    worse = eqx.tree_at(lambda e: e.networks.layers[-1].bias, ensemble, replace_fn=lambda b: b.at[0].add(9.0))
    training = jax.tree.map(lambda x: jnp.stack([x[:32]] * 4), data)
    learning, _ = fit(ensemble_fit.start_learning(worse), training, data, 1e-3)
    assert 0 not in learning.params.elites
    order = np.argsort(learning.losses)
    assert np.array_equal(learning.params.elites, order[:2])
    chosen = learning.params.best().layers[0].bias
    assert np.array_equal(chosen, np.asarray(learning.params.networks.layers[0].bias)[order[:2]])


def test_rows_must_divide_among_elites():
    with pytest.raises(UsageError, match="multiple of the 2 elites"):
        created().step(jnp.zeros((3, ref.OBS)), jnp.zeros((3, ref.ACTION)), jr.key(0), deal=True)


def test_the_replay_hands_each_member_its_batch():
    replay = UniformReplay(ref.SPEC, 200, 1)
    rng = np.random.default_rng(0)
    for rows in replay.rows.fields().values():
        rows[:] = rng.integers(0, 2, rows.shape)
    replay.appended = 200
    split = Split(batch_size=16, members=3, held_out=8, capacity=200, bootstrap=True)
    batch = jax.tree.map(lambda x: jnp.asarray(x[0]), split.draw(replay, rng, 1))
    learning, info = fit(ensemble_fit.start_learning(created()), *split.parts(batch), 1e-3)
    assert info.keys() == {"model_loss", "inside_50", "inside_90", "held_out_nll", "held_out_rmse"}
    assert int(learning.fits) == 1
