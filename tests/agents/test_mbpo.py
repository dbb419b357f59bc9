"""Rollouts of the model and the batches that mbpo hands to its inner agent."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import mbpo
from entrax.agents.lookup import get_agent
from entrax.errors import UsageError
from entrax.nets.ensemble import create_ensemble
from entrax.planning.termination import inverted_pendulum
from entrax.policies.controller import FINISHED
from entrax.spec import Continuous, Leaf, Progress, Spec, Transition
from tests.agents import reference64 as ref
from tests.nets.test_ensemble import known

AGENT, SAC = get_agent("mbpo"), get_agent("sac")
SMALL: dict[str, Any] = {
    "hidden": (8,),
    "batch_size": 40,
    "replay_size": 100,
    "model_hidden": (8,),
    "members": 3,
    "elites": 2,
}
SMALL |= {"model_batch_size": 10, "held_out": 5, "starts": 6}


def configured(spec=ref.SPEC, agent=AGENT, **settings):
    return agent.resolve(agent.Config(**SMALL | settings), spec)


def at(step, horizon=1000):
    return Progress(step=np.int32(step), horizon=np.int32(horizon))


def test_rollouts_start_at_the_given_states_and_stop_at_termination():
    config = configured(first_length=5, final_length=9, growth_fraction=1.0, termination="InvertedPendulum")
    ensemble = create_ensemble(ref.OBS, ref.ACTION, members=3, elites=2, hidden=(8,), key=jr.key(0))
    ensemble = eqx.tree_at(lambda e: e.targets.mean, ensemble, jnp.asarray([0.0, 0.05, 0.0, 0.0]))
    ensemble = eqx.tree_at(lambda e: e.targets.variance, ensemble, jnp.full(4, 0.02**2))
    starts = jnp.asarray(np.random.default_rng(0).uniform(-0.15, 0.15, (40, ref.OBS)), jnp.float32)
    actor = SAC.policy(SAC.resolve(SAC.Config(hidden=(8,)), ref.SPEC), AGENT.init(config, ref.SPEC, jr.key(1)).inner)
    run = eqx.filter_jit(mbpo.branched)
    steps, made = run(config, actor, ensemble, starts, at(500), jr.key(2))
    steps, made = jax.tree.map(np.asarray, (steps, made))
    assert made.shape == (9, 40)
    assert mbpo.rollout_length(config, at(500)) == 7
    assert np.array_equal(steps.obs[0], starts)
    assert np.array_equal(steps.obs[1:7], steps.next_obs[:6])
    assert made[0].all()
    assert not made[7:].any()
    ended = np.asarray(jax.vmap(jax.vmap(inverted_pendulum))(jnp.asarray(steps.next_obs)))[:7]
    assert np.array_equal(steps.terminated[:7], ended)
    assert np.array_equal(made[1:7], made[:6] & ~ended[:6])
    lengths = made.sum(axis=0)
    assert lengths.min() < 7 == lengths.max()
    assert not steps.truncated.any()


def test_lengths_grow_linearly():
    config = configured(first_length=1, final_length=5, growth_fraction=0.5)
    assert [int(mbpo.rollout_length(config, at(step))) for step in (0, 125, 250, 375, 500, 900)] == [1, 2, 3, 4, 5, 5]


def test_steps_are_drawn_uniformly_from_those_that_were_made():
    made = jnp.asarray(np.random.default_rng(0).random((4, 10)) < 0.4)
    number = jnp.arange(40.0).reshape(4, 10)
    steps = Transition(number, number, number, number, terminated=made, truncated=~made)
    drawn = mbpo.drawn_from(mbpo.Rollouts(steps, made), 20_000, jr.key(0))
    counts = np.bincount(np.asarray(drawn.reward, int), minlength=40)
    expected = 20_000 / int(made.sum())
    assert not counts[~np.asarray(made).ravel()].any()
    assert (abs(counts[np.asarray(made).ravel()] - expected) < 5 * np.sqrt(expected)).all()


SCALAR = Spec((Leaf("obs", (1,), "float32", 1, (-1.0,), (1.0,)),), Continuous((1,), "float32", (-1.0,), (1.0,)))


def test_a_batch_has_its_share_of_real_transitions_and_the_rest_follows_the_model():
    """The model is s' = 0.9 s + 0.4 a with reward -0.1 s + 0.4 a; real transitions are marked by a reward of 7."""
    config = configured(SCALAR, real_share=0.25, final_length=3, growth_fraction=0.0)
    state = AGENT.init(config, SCALAR, jr.key(0))
    model = dataclasses.replace(state.model, params=known([-0.1, -0.1], [1e-12, 1e-12], gain=0.4))
    state = mbpo.State(inner=state.inner, model=model)
    rows = np.random.default_rng(1).normal(size=(30, 1)).astype(np.float32)
    real = Transition(rows, 0 * rows, np.full(30, 7.0, np.float32), rows, rows[:, 0] > 9, rows[:, 0] > 9)
    real = jax.tree.map(jnp.asarray, real)
    batch = eqx.filter_jit(mbpo.mixed)(SAC, config, state, real, FINISHED, jr.key(2))
    assert batch.reward.shape == (40,)
    experienced, model_steps = (jax.tree.map(lambda x, part=part: np.asarray(x[part]), batch) for part in PARTS)
    assert (experienced.reward == 7.0).all()
    move = -0.1 * model_steps.obs + 0.4 * model_steps.action
    np.testing.assert_allclose(model_steps.next_obs, model_steps.obs + move, atol=1e-5)
    np.testing.assert_allclose(model_steps.reward, move[:, 0], atol=1e-5)
    assert set(experienced.obs.ravel()) <= set(rows.ravel())


PARTS = slice(0, 10), slice(10, 40)


def test_an_update_is_the_inner_agents_on_such_a_batch():
    config = configured(real_share=1.0)
    state = AGENT.init(config, ref.SPEC, jr.key(0))
    rng = np.random.default_rng(0)
    rows = 35
    batch = Transition(
        obs=rng.normal(size=(rows, ref.OBS)),
        action=rng.uniform(-1, 1, (rows, ref.ACTION)),
        reward=rng.normal(size=rows),
        next_obs=rng.normal(size=(rows, ref.OBS)),
        terminated=rng.random(rows) < 0.3,
        truncated=np.zeros(rows, bool),
    )
    batch = jax.tree.map(lambda x: jnp.asarray(x, bool if x.dtype == bool else jnp.float32), batch)
    after, info = eqx.filter_jit(AGENT.update)(config, state, batch, FINISHED, jr.key(1))
    mix_key, inner_key = jr.split(jr.key(1))
    learned = jax.tree.map(lambda x: x[:30], batch)
    given = mbpo.mixed(SAC, config, mbpo.State(state.inner, after.model), learned, FINISHED, mix_key)
    expected, _ = eqx.filter_jit(SAC.update)(config, state.inner, given, FINISHED, inner_key)
    for mine, theirs in zip(jax.tree.leaves(after.inner), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    assert {"critic_loss", "temperature", "inside_50", "rollout_length"} <= info.keys()


def test_the_inner_agent_is_sac_unless_another_is_named():
    assert get_agent("mbpo") is get_agent(("mbpo", "sac"))
    td3 = get_agent(("mbpo", "td3"))
    config = configured(agent=td3)
    assert isinstance(td3.init(config, ref.SPEC, jr.key(0)).inner, get_agent("td3").State)
    for inner, words in (("recurrent-sac", "single transitions"), ("ppo", "single transitions")):
        agent = get_agent(("mbpo", inner))
        with pytest.raises(UsageError, match=words):
            agent.resolve(agent.Config(), ref.SPEC)
    with pytest.raises(UsageError, match="`elites` must be at most the 3 `members`"):
        configured(elites=4)


def test_what_the_inner_agent_can_do_is_kept():
    config = configured()
    state = AGENT.init(config, ref.SPEC, jr.key(0))
    np.testing.assert_allclose(AGENT.temperature(config, state, FINISHED), 1.0)
    assert AGENT.temperature(config, None, FINISHED) is None
    _, cooler = AGENT.with_temperature(config, state, jnp.asarray(0.5))
    np.testing.assert_allclose(AGENT.temperature(config, cooler, FINISHED), 0.5)
    paths = AGENT.transferred_paths(config, config, False)
    assert paths[:2] == ("inner/params/critics", "inner/params/policy")
    assert "model/params" in paths
