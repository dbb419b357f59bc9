"""Implicit gradients of value and policy against finite differences and unrolled autodiff, to 1e-6."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.exact import evaluate, plan
from entrax.problems import FiniteMDP, garnet

S, A, K, GAMMA = 6, 3, 2, 0.9


def problem():
    rng = np.random.default_rng(0)
    mask = np.ones((S, A), bool)
    mask[2, 1] = False
    live = mask & (np.arange(S) < S - 1)[:, None]
    return FiniteMDP(
        successor=np.where(live[..., None], rng.integers(0, S + 1, (S, A, K)), S),
        probability=np.where(live[..., None], rng.dirichlet(np.ones(K), (S, A)), 0.0),
        reward=np.where(live, rng.normal(size=(S, A)), 0.0),
        initial=np.full(S, 1 / S),
        terminal=np.arange(S) == S - 1,
        discount=GAMMA,
        prior=rng.uniform(0.5, 2.0, (S, A)),
        mask=mask,
    )


def parameters(mdp):
    return {
        "reward": jnp.asarray(mdp.reward),
        "probability": jnp.asarray(mdp.probability),
        "prior": jnp.asarray(mdp.prior),
        "temperature": jnp.asarray(0.4),
    }


def weights():
    rng = np.random.default_rng(1)
    return jnp.asarray(rng.normal(size=S)), jnp.asarray(rng.normal(size=(S, A)))


def implicit(changed, convention):
    """A scalar of value and policy together, by the planner."""
    fields = {name: value for name, value in changed.items() if name != "temperature"}
    mdp = problem()
    moved = jax.tree.unflatten(jax.tree.structure(mdp), jax.tree.leaves(replace_leaves(mdp, fields)))
    solution = plan(moved, changed["temperature"], convention=convention, tolerance=1e-13)
    by_state, by_action = weights()
    return jnp.sum(by_state * solution.value) + jnp.sum(by_action * solution.policy)


def replace_leaves(mdp, fields):
    clone = object.__new__(FiniteMDP)
    for name in mdp.__dataclass_fields__:
        object.__setattr__(clone, name, fields.get(name, getattr(mdp, name)))
    return clone


def unrolled(changed, convention):
    """The same scalar by autodiff through 400 sweeps, independent of the code under test."""
    mdp, alpha = problem(), changed["temperature"]
    live = jnp.asarray(mdp.mask & ~mdp.terminal[:, None])
    weight = jnp.where(live, changed["prior"], 0.0)
    log_prior = jnp.log(jnp.where(live, weight / jnp.sum(weight, 1, keepdims=True, where=live, initial=1e-300), 1.0))
    if convention == "entropy":
        log_prior = jnp.zeros_like(log_prior)

    def logits(v):
        q = changed["reward"] + GAMMA * jnp.sum(changed["probability"] * jnp.append(v, 0.0)[mdp.successor], -1)
        return jnp.where(live, q / alpha + log_prior, -1e30)

    def sweep(v, _):
        return jnp.where(mdp.terminal, 0.0, alpha * jax.nn.logsumexp(logits(v), axis=1)), None

    value = jax.lax.scan(sweep, jnp.zeros(S), length=400)[0]
    policy = jnp.where(mdp.terminal[:, None], 1 / A, jax.nn.softmax(logits(value)))
    by_state, by_action = weights()
    return jnp.sum(by_state * value) + jnp.sum(by_action * policy)


@pytest.mark.parametrize("convention", ["entropy", pytest.param("kl", marks=pytest.mark.long)])
def test_implicit_gradients(convention):
    start = parameters(problem())
    value, gradient = jax.jit(jax.value_and_grad(implicit), static_argnums=1)(start, convention)
    expected_value, expected = jax.jit(jax.value_and_grad(unrolled), static_argnums=1)(start, convention)
    assert float(value) == pytest.approx(float(expected_value), abs=1e-9)
    live = problem().mask & ~problem().terminal[:, None]
    for name in start:
        where = {"temperature": ..., "probability": live}.get(name, live)
        np.testing.assert_allclose(gradient[name][where], expected[name][where], atol=1e-9, err_msg=name)
        assert np.all(np.isfinite(gradient[name]))
    # Finite differences of the planner along one random direction of all parameters.
    rng = np.random.default_rng(2)
    direction = {
        name: jnp.asarray(rng.normal(size=x.shape) * (live if x.shape == (S, A) else 1)) for name, x in start.items()
    }
    direction["probability"] *= live[..., None]
    function = jax.jit(implicit, static_argnums=1)
    ends = [function({n: start[n] + h * direction[n] for n in start}, convention) for h in (1e-5, -1e-5)]
    slope = sum(jnp.sum(gradient[name] * direction[name]) for name in start)
    assert float(slope) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, abs=1e-6)


def test_gradient_at_temperature_zero_is_the_hard_policys():
    """dV/dr(s, a) summed over start states is the expected discounted visits of the optimal policy."""
    mdp = replace(problem(), prior=None)

    def start_value(reward):
        return jnp.sum(plan(replace_leaves(mdp, {"reward": reward}), 0.0, tolerance=1e-13).value)

    visits = evaluate(mdp, plan(mdp, 0.0).policy).visits * S
    live = ~mdp.terminal
    np.testing.assert_allclose(jax.grad(start_value)(jnp.asarray(mdp.reward))[live], visits[live] + 0.0, atol=1e-9)


@pytest.mark.parametrize("convention", ["entropy", pytest.param("kl", marks=pytest.mark.long)])
def test_second_derivatives(convention):
    """Along one random direction of all parameters, and all with respect to the reward."""
    start = parameters(problem())
    live = problem().mask & ~problem().terminal[:, None]
    rng = np.random.default_rng(3)
    direction = {name: jnp.asarray(rng.normal(size=x.shape)) for name, x in start.items()}
    direction["probability"] *= live[..., None]

    def curvature(function):
        def along(t):
            return function({name: x + t * direction[name] for name, x in start.items()}, convention)

        return jax.jit(jax.grad(jax.grad(along)))(0.0)

    def hessian(function):
        return jax.jit(jax.hessian(lambda reward: function({**start, "reward": reward}, convention)))(start["reward"])

    assert float(curvature(implicit)) == pytest.approx(float(curvature(unrolled)), rel=1e-8)
    found, expected = hessian(implicit), hessian(unrolled)
    assert np.max(np.abs(expected)) > 0.1
    np.testing.assert_allclose(found[live][:, live], expected[live][:, live], atol=1e-9)


@pytest.mark.parametrize(
    ("temperature", "convention"),
    [
        pytest.param(0.0, "entropy", marks=pytest.mark.long),
        (0.4, "entropy"),
        pytest.param(0.4, "kl", marks=pytest.mark.long),
    ],
)
def test_the_average_reward_under_grad_and_vmap(temperature, convention):
    """Derivatives by each reward and the temperature, against differences."""
    mdp = garnet(S, A, 3, seed=4)
    point = jnp.asarray(mdp.reward)

    def found(reward, temperature):
        changed = replace(mdp, reward=reward)
        return plan(changed, temperature, objective="average", convention=convention, tolerance=1e-12).average_reward

    slopes, by_temperature = jax.jit(jax.grad(found, (0, 1)))(point, temperature)
    step = 1e-5
    for place in [(0, 0), (1, 1), (S - 1, A - 1)]:
        high, low = (found(point.at[place].add(d), temperature) for d in (step, -step))
        assert float(slopes[place]) == pytest.approx(float((high - low) / (2 * step)), abs=1e-6)
    assert float(jnp.sum(slopes)) == pytest.approx(1.0, abs=1e-9)
    if temperature > 0:
        expected = (found(point, temperature + step) - found(point, temperature - step)) / (2 * step)
        assert float(by_temperature) == pytest.approx(float(expected), abs=1e-6)
    scales = jnp.array([0.5, 1.0, 2.0])
    together = jax.vmap(lambda scale: found(scale * point, temperature))(scales)
    np.testing.assert_allclose(together, [float(found(scale * point, temperature)) for scale in scales], atol=1e-9)
