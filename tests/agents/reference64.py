"""What both references need, in float64: plain networks, Adam and the squashed Gaussian, written from their equations.

Parameters are nested lists of (weight, bias); nothing here calls the package but to read its parameters.
"""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from entrax.spec import Continuous, Leaf, Spec, Transition

OBS, ACTION, BATCH, HIDDEN = 3, 2, 12, (16, 12)
SPEC = Spec(
    observation=(Leaf("obs", (OBS,), "float32", OBS, (-1.0,) * OBS, (1.0,) * OBS),),
    action=Continuous(shape=(ACTION,), dtype="float32", low=(-1.0,) * ACTION, high=(1.0,) * ACTION),
)


def shaken(tree, seed):
    """The tree with noise on every float, so that biases are not 0 and targets not equal to what they follow."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jr.split(jr.key(seed), len(leaves))
    return jax.tree.unflatten(structure, [x + 0.1 * jr.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)])


def batch(seed):
    """A random batch; a third of the transitions terminated, another third truncated."""
    rng = np.random.default_rng(seed)
    return Transition(
        obs=rng.normal(size=(BATCH, OBS)).astype(np.float32),
        action=rng.uniform(-1, 1, (BATCH, ACTION)).astype(np.float32),
        reward=rng.normal(size=BATCH).astype(np.float32),
        next_obs=rng.normal(size=(BATCH, OBS)).astype(np.float32),
        terminated=np.arange(BATCH) % 3 == 0,
        truncated=np.arange(BATCH) % 3 == 1,
    )


def noise(key):
    """The standard normal draws of a batch of policies, one key each."""
    return np.asarray(jax.vmap(lambda k: jr.normal(k, (ACTION,)))(jr.split(key, BATCH)), np.float64)


def layers(mlp):
    """[(weight, bias), …] of an MLP in float64."""
    return [(np.asarray(layer.weight, np.float64), np.asarray(layer.bias, np.float64)) for layer in mlp.layers]


def twins(critics):
    """The two critics, each as `layers` gives them."""
    both = layers(critics.networks)
    return [[(weight[i], bias[i]) for weight, bias in both] for i in range(2)]


def forward(net, x, layer_norm=False):
    for weight, bias in net[:-1]:
        x = x @ weight + bias
        if layer_norm:
            x = (x - x.mean(axis=-1, keepdims=True)) / jnp.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        x = jnp.maximum(x, 0.0)
    return x @ net[-1][0] + net[-1][1]


def q_values(critics, obs, action, layer_norm=False):
    """[batch, 2]."""
    x = jnp.concatenate([obs, action], axis=1)
    return jnp.concatenate([forward(net, x, layer_norm) for net in critics], axis=1)


def draw(policy, obs, eps):
    """a = tanh(μ + σ ε) and log π(a|s) = Σ log N(u; μ, σ²) - log(1 - tanh²u)."""
    mean, log_std = jnp.split(forward(policy, obs), 2, axis=1)
    std = jnp.exp(jnp.clip(log_std, -20.0, 2.0))
    action = jnp.tanh(mean + std * eps)
    log_normal = -0.5 * eps**2 - jnp.log(std) - 0.5 * np.log(2 * np.pi)
    return action, jnp.sum(log_normal - jnp.log(1.0 - action**2), axis=1)


def adam(params, gradient, moments, rate, beta1=0.9, beta2=0.999, eps=1e-8):
    """One step of algorithm 1 of Kingma & Ba 2015; `moments` is (t, m, v)."""
    t, m, v = moments[0] + 1, moments[1], moments[2]
    m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, gradient)
    v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g**2, v, gradient)

    def step(p, m, v):
        return p - rate * (m / (1 - beta1**t)) / (jnp.sqrt(v / (1 - beta2**t)) + eps)

    return jax.tree.map(step, params, m, v), (t, m, v)


def fresh(params):
    zero = jax.tree.map(lambda x: np.zeros(np.shape(x)), params)
    return 0, zero, zero


def mix(target, source, rate):
    return jax.tree.map(lambda t, s: (1.0 - rate) * t + rate * s, target, source)


def assert_close(actual, expected, rtol=2e-5, atol=2e-6):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)  # type: ignore[operator]
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert np.shape(a) == np.shape(e)
        np.testing.assert_allclose(a, e, rtol=rtol, atol=atol)


def discrete_spec(action):
    """The observations of SPEC, with another kind of action."""
    return Spec(observation=SPEC.observation, action=action)


def discrete_batch(seed, nvec):
    """`batch`, with integer actions in place of the continuous ones."""
    action = np.random.default_rng(seed + 1000).integers(nvec, size=(BATCH, len(nvec)), dtype=np.int32)
    return batch(seed)._replace(action=action)


def combinations(options, sizes):
    """[batch, choice, option] as sums [batch, combination], in the order of nested loops, the last choice innermost."""
    places = list(itertools.product(*map(range, sizes)))
    return jnp.stack([sum(options[:, i, a] for i, a in enumerate(place)) for place in places], axis=1)


def combination(action, nvec):
    """The place of each action [batch, entry] in the order of `combinations`."""
    return np.array([list(itertools.product(*map(range, nvec))).index(tuple(a)) for a in action.tolist()])
