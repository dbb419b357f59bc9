"""Networks over options against the same sums written out."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.nets import ActionValues, DuelingQ, TwinActionValues

OBS = np.array([0.3, -1.0, 2.0], np.float32)


def forward(mlp, x):
    for layer in mlp.layers[:-1]:
        x = np.maximum(x @ np.asarray(layer.weight, np.float64) + np.asarray(layer.bias), 0.0)
    return x @ np.asarray(mlp.layers[-1].weight, np.float64) + np.asarray(mlp.layers[-1].bias)


def test_options_are_the_outputs_choice_by_choice():
    net = ActionValues(3, (2, 4), (5,), jr.key(0))
    np.testing.assert_allclose(net(jnp.asarray(OBS)), forward(net.network, OBS).reshape(2, 4), atol=1e-6)


@pytest.mark.parametrize("hidden", [(6,), (6, 5), (7, 6, 5)])
def test_dueling_is_value_plus_centred_advantage(hidden):
    net = DuelingQ(3, (2, 3), hidden, jr.key(1))
    features = OBS if len(hidden) == 1 else np.maximum(forward(net.trunk, OBS), 0.0)
    assert net.value.layers[0].weight.shape[1] == net.advantage.network.layers[0].weight.shape[1] == hidden[-1]
    advantage = forward(net.advantage.network, features).reshape(2, 3)
    q = np.asarray(net(jnp.asarray(OBS)))
    for choice, n in enumerate((2, 3)):
        centred = advantage[choice, :n] - advantage[choice, :n].mean()
        np.testing.assert_allclose(q[choice, :n], forward(net.value, features)[0] / 2 + centred, atol=1e-5)


def test_the_mean_of_dueling_values_over_all_actions_is_the_value():
    net = DuelingQ(3, (2, 3), (6, 5), jr.key(2))
    q = np.asarray(net(jnp.asarray(OBS)))
    mean = np.mean([q[0, a] + q[1, b] for a in range(2) for b in range(3)])
    assert net.trunk is not None
    features = jax.nn.relu(net.trunk(jnp.asarray(OBS)))
    np.testing.assert_allclose(mean, net.value(features)[0], atol=1e-6)


def test_each_twin_is_a_network_of_its_own():
    twins = TwinActionValues(3, (1, 4), (5,), jr.key(3))
    both = np.asarray(twins(jnp.asarray(OBS)))
    assert both.shape == (2, 1, 4)
    for i in range(2):
        alone = jax.tree.map(lambda leaf, i=i: leaf[i], twins.networks)
        np.testing.assert_allclose(both[i], alone(jnp.asarray(OBS)), atol=1e-6)
    assert not np.allclose(both[0], both[1])
