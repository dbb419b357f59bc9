"""Networks against the same sums written out in NumPy."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.nets import MLP, TwinQ, polyak_update

OBS, ACTION = 3, 2


def forward(layers, x, layer_norm):
    for weight, bias in layers[:-1]:
        x = np.asarray(x @ weight + bias, np.float64)
        if layer_norm:
            x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        x = np.maximum(x, 0.0)
    return x @ layers[-1][0] + layers[-1][1]


@pytest.mark.parametrize("layer_norm", [False, True])
def test_mlp_is_products_with_relu_between(layer_norm):
    net = MLP(OBS, (8, 5), 4, jr.key(0), layer_norm=layer_norm)
    layers = [(np.asarray(layer.weight, np.float64), np.asarray(layer.bias, np.float64)) for layer in net.layers]
    assert [weight.shape for weight, _ in layers] == [(OBS, 8), (8, 5), (5, 4)]
    x = np.array([0.3, -1.0, 2.0])
    np.testing.assert_allclose(net(jnp.asarray(x, jnp.float32)), forward(layers, x, layer_norm), atol=1e-5)


def test_initial_weights_are_glorot_uniform_and_biases_zero():
    for layer, fans in zip(MLP(100, (200,), 50, jr.key(1)).layers, [(100, 200), (200, 50)], strict=True):
        bound = np.sqrt(6.0 / sum(fans))
        assert np.abs(layer.weight).max() <= bound
        np.testing.assert_allclose(np.std(layer.weight), bound / np.sqrt(3.0), rtol=0.03)
        assert not np.any(layer.bias)


def test_twin_q_values_depend_each_on_its_own_parameters():
    critics = TwinQ(OBS, ACTION, (8,), jr.key(2))
    obs, action = jnp.ones(OBS), jnp.full(ACTION, 0.5)
    q = critics(obs, action)
    assert q.shape == (2,)
    assert q[0] != q[1]
    for i in range(2):
        gradient = jax.grad(lambda c, i=i: c(obs, action)[i])(critics)
        leaves = jax.tree.leaves(gradient)
        assert all(leaf.shape[0] == 2 and not np.any(leaf[1 - i]) for leaf in leaves)
        assert any(np.any(leaf[i]) for leaf in leaves)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_each_twin_is_an_mlp_of_observation_and_action(layer_norm):
    critics = TwinQ(OBS, ACTION, (8, 6), jr.key(3), layer_norm=layer_norm)
    obs, action = np.array([0.1, 0.2, -0.3]), np.array([0.9, -0.9])
    q = critics(jnp.asarray(obs, jnp.float32), jnp.asarray(action, jnp.float32))
    for i in range(2):
        layers = [(np.asarray(layer.weight[i]), np.asarray(layer.bias[i])) for layer in critics.networks.layers]
        expected = forward(layers, np.concatenate([obs, action]), layer_norm)[0]
        np.testing.assert_allclose(q[i], expected, atol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.005, 0.5, 1.0])
def test_follow_mixes_by_the_rate(rate):
    target, source = {"a": jnp.asarray([1.0, -2.0])}, {"a": jnp.asarray([3.0, 8.0])}
    expected = (1.0 - rate) * np.array([1.0, -2.0]) + rate * np.array([3.0, 8.0])
    np.testing.assert_allclose(polyak_update(target, source, rate)["a"], expected, rtol=1e-6)


def test_follow_closes_the_gap_geometrically():
    target, source = jnp.asarray(0.0), jnp.asarray(1.0)
    for _ in range(100):
        target = polyak_update(target, source, jnp.asarray(0.05))
    np.testing.assert_allclose(1.0 - target, 0.95**100, rtol=1e-3)
