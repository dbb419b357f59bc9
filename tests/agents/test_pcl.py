"""Path consistency on a deterministic problem whose soft optimum is known."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import pcl
from entrax.errors import EntraxError
from entrax.replay import Sequences
from entrax.spec import Discrete, Leaf, MultiDiscrete, Progress, Spec, Transition
from tests.agents import reference64 as ref

STATES, ACTIONS, END, GAMMA, TAU = 4, 2, 4, 0.9, 0.5
NEXT = np.array([[1, 2], [2, 0], [3, 1], [END, 0]])
REWARD = np.array([[1.0, 0.0], [-1.0, 2.0], [0.5, 0.0], [3.0, 1.0]])
LEAF = Leaf("state", (STATES,), "float32", STATES, (0.0,) * STATES, (1.0,) * STATES)
SPEC = Spec(observation=(LEAF,), action=Discrete(ACTIONS))
PROGRESS = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(1, np.int32))
KINDS = {"separate": False, "unified": True}


def soft_optimum():
    """(V, Q) by iterating the soft Bellman equation in float64; the end is worth 0."""
    v = np.zeros(STATES + 1)
    for _ in range(500):
        q = REWARD + GAMMA * v[NEXT]
        v = np.append(TAU * np.log(np.exp(q / TAU).sum(axis=1)), 0.0)
    return v[:STATES], q


V, Q = soft_optimum()


def configured(**fields):
    """`hidden` () makes tables of the networks: a linear layer over one-hot states."""
    small: dict[str, Any] = {"hidden": (), "discount": GAMMA, "temperature": TAU, "path_length": 3, "window": 5}
    return pcl.resolve(pcl.Config(**small | fields), SPEC)


def windows(count, length, seed):
    """Windows of uniformly random actions; where the end is reached or time runs out, another episode follows."""
    rng = np.random.default_rng(seed)
    s, truncated = rng.integers(STATES, size=(count, length)), rng.random((count, length)) < 0.15
    a = rng.integers(ACTIONS, size=(count, length))
    for t in range(1, length):
        follows = NEXT[s[:, t - 1], a[:, t - 1]]
        s[:, t] = np.where((follows == END) | truncated[:, t - 1], s[:, t], follows)
    after = NEXT[s, a]
    one_hot = np.eye(STATES + 1, STATES, dtype=np.float32)
    # What stands in the observation of the end must not matter.
    next_obs = np.where((after == END)[..., None], 1.0, one_hot[after]).astype(np.float32)
    return Transition(
        obs=one_hot[s],
        action=a[..., None].astype(np.int32),
        reward=REWARD[s, a].astype(np.float32),
        next_obs=next_obs,
        terminated=after == END,
        truncated=truncated & (after != END),
    )


def tables(unified, q, v):
    """A state whose networks are these tables."""
    state = pcl.init(configured(unified=unified), SPEC, jr.key(0))
    if unified:
        return eqx.tree_at(lambda s: s.params.policy.layers[0].weight, state, jnp.asarray(q, jnp.float32))
    places = lambda s: (s.params.policy.logits.layers[0].weight, s.params.value.layers[0].weight)  # noqa: E731
    return eqx.tree_at(places, state, (jnp.asarray(q / TAU, jnp.float32), jnp.asarray(v[:, None], jnp.float32)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_soft_optimum_is_consistent_along_any_path_and_nothing_near_it_is(kind):
    batch = windows(200, 5, seed=0)
    assert batch.terminated.mean() > 0.05
    assert batch.truncated.mean() > 0.05

    @jax.jit
    def residuals(state):
        config = configured(unified=KINDS[kind])
        return jax.vmap(lambda w: pcl.inconsistency(config, state.params, state.choices, w)[0])(batch)

    assert np.abs(residuals(tables(KINDS[kind], Q, V))).max() < 1e-5
    off = Q + 0.1 * np.eye(STATES, ACTIONS)
    assert np.abs(residuals(tables(KINDS[kind], off, V))).max() > 0.02


def test_the_gradient_is_that_of_the_paper():
    """-∂J/∂V(s_t) = C, ∂J/∂V(s_{t+d}) = γ^d C, ∂J/∂θ = -τ C Σ γ^j ∇log π, in NumPy, path by path."""
    rng = np.random.default_rng(1)
    v, logits = rng.normal(size=STATES), rng.normal(size=(STATES, ACTIONS))
    batch, config = windows(6, 5, seed=2), configured()
    state = tables(False, TAU * logits, v)
    (j, _), gradient = jax.value_and_grad(pcl.loss, has_aux=True)(state.params, config, None, batch)
    pi = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    s, a, after = batch.obs.argmax(axis=-1), batch.action[..., 0], NEXT[batch.obs.argmax(axis=-1), batch.action[..., 0]]
    g_v, g_logits, squares = np.zeros(STATES), np.zeros((STATES, ACTIONS)), []
    for b in range(6):
        for t in range(5):
            c, score, power, i = -v[s[b, t]], np.zeros((STATES, ACTIONS)), 1.0, t
            while True:
                c += power * (batch.reward[b, i] - TAU * np.log(pi[s[b, i], a[b, i]]))
                score[s[b, i]] += power * (np.eye(ACTIONS)[a[b, i]] - pi[s[b, i]])
                power *= GAMMA
                if batch.terminated[b, i] or batch.truncated[b, i] or i == min(t + 2, 4):
                    break
                i += 1
            c += 0.0 if batch.terminated[b, i] else power * v[after[b, i]]
            g_v[s[b, t]] -= c
            if not batch.terminated[b, i]:
                g_v[after[b, i]] += power * c
            g_logits -= TAU * c * score
            squares.append(c**2)
    np.testing.assert_allclose(j, 0.5 * np.mean(squares), rtol=1e-5)
    np.testing.assert_allclose(gradient.value.layers[0].weight[:, 0], g_v / 30, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient.policy.logits.layers[0].weight, g_logits / 30, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_learning_from_random_behaviour_arrives_at_the_soft_optimum(kind):
    config = configured(unified=KINDS[kind], learning_rate=0.02, value_learning_rate=0.02)
    state, batch = tables(KINDS[kind], np.zeros((STATES, ACTIONS)), np.zeros(STATES)), windows(64, 5, seed=3)

    @jax.jit
    def learned(params, opt_state):
        def one(state, _):
            return pcl.update(config, state, batch, PROGRESS, jr.key(0))[0], None

        start = pcl.State(params=params, opt_state=opt_state, choices=state.choices)
        return jax.lax.scan(one, start, length=6000)[0]

    after = learned(state.params, state.opt_state)
    policy, eye = pcl.policy(config, after), jnp.eye(STATES)
    log_pi = jax.vmap(lambda s: jax.vmap(policy.log_prob, (None, 0))(s, jnp.arange(ACTIONS)[:, None]))(eye)
    np.testing.assert_allclose(log_pi, (Q - V[:, None]) / TAU, atol=1e-3)
    np.testing.assert_allclose(pcl.value_of(policy, after.params, eye), V, atol=1e-3)
    drawn, _ = jax.vmap(lambda k: policy.sample(eye[0], PROGRESS, k))(jr.split(jr.key(1), 10_000))
    assert abs(np.mean(drawn) - np.exp((Q[0, 1] - V[0]) / TAU)) < 4 * 0.5 / 100
    assert policy.mode(eye[1])[0] == Q[1].argmax()


def test_it_learns_from_windows():
    assert pcl.data(configured(batch_size=8, replay_size=50)) == Sequences(batch_size=8, length=5, capacity=50)


def test_a_window_shorter_than_a_path_is_refused():
    with pytest.raises(EntraxError, match="`window` must be at least `path_length`, 3, got 2"):
        configured(window=2)


def test_one_q_needs_discrete_actions():
    with pytest.raises(EntraxError, match="'pcl with `unified`' needs discrete actions"):
        pcl.resolve(pcl.Config(unified=True), ref.SPEC)
    pcl.resolve(pcl.Config(unified=True), ref.discrete_spec(MultiDiscrete((2, 3))))
