"""Compiled functions of trees that hold more than arrays, and that nobody waits for."""

import jax
import jax.numpy as jnp
import numpy as np

from entrax.agents import ppo
from entrax.policies.controller import Scaling, to_bounds
from entrax.spec import Continuous, Leaf, Progress, Spec
from entrax.training.actor import Actor
from entrax.training.compiled import CompiledFunction, taken_apart


def test_other_leaves_pass_and_one_program_serves_all_values():
    traced = []

    def scaled(tree, name):
        traced.append(name)
        return {"x": tree["x"] * tree["function"](2.0), "function": tree["function"], "name": name}

    compiled = CompiledFunction(scaled)
    for x in (1.0, 3.0):
        found = compiled({"x": np.full(2, x, np.float32), "function": abs, "none": None}, "double")
        np.testing.assert_array_equal(found["x"], 2 * np.full(2, x))
        assert (found["function"], found["name"]) == (abs, "double")
    assert traced == ["double"]
    assert compiled({"x": np.ones(2, np.float32), "function": abs, "none": None}, "other")["name"] == "other"


def test_a_call_does_not_wait_for_its_result():
    @CompiledFunction
    def long(x, times):
        return jax.lax.fori_loop(0, times, lambda _, x: jnp.tanh(x @ x), x)

    x = jnp.eye(256)
    jax.block_until_ready(long(x, np.asarray(1)))
    result = long(x, np.asarray(2000))
    assert not result.is_ready()
    jax.block_until_ready(result)


def test_the_actor_draws_what_the_policy_draws():
    """After each hand-over."""
    spec = Spec(
        observation=(Leaf("obs", (3,), "float32", 3, (-1.0,) * 3, (1.0,) * 3),),
        action=Continuous((2,), "float32", (-2.0, 0.0), (2.0, 1.0)),
    )
    config = ppo.resolve(ppo.Config(), spec)
    scaling = Scaling(mean=np.array([0.5, 0.0, -0.5], np.float32), scale=np.array([2.0, 1.0, 1.0], np.float32))
    progress = Progress(step=np.asarray(0, np.int32), horizon=np.asarray(9, np.int32))
    obs, actor = np.random.default_rng(0).standard_normal((4, 3), np.float32), Actor(spec.action, jax.devices()[0], 4)
    for seed in range(2):
        policy = ppo.policy(config, ppo.init(config, spec, jax.random.key(seed)))
        key = jax.random.key(7 + seed)
        actor.hand_over(actor.pack(policy, scaling, progress), key)
        keys = jax.random.split(jax.random.fold_in(key, 5), 4)
        expected = jax.vmap(policy.sample, (0, None, 0))(scaling(obs), progress, keys)[0]
        unit, action = actor(obs, 5, np.zeros(4, bool))
        np.testing.assert_allclose(unit, expected, rtol=1e-5)
        np.testing.assert_allclose(action, to_bounds(spec.action, expected), rtol=1e-5)


def test_a_tree_is_taken_apart_and_put_together():
    tree = {"a": np.arange(3), "b": (1.5, None, jnp.ones(2)), "c": "text"}
    kind, arrays = taken_apart(tree)
    assert len(arrays) == 2
    again = kind.with_arrays(arrays)
    assert again["b"][:2] == (1.5, None)
    assert again["c"] == "text"
    assert hash(kind) == hash(taken_apart(again)[0])
