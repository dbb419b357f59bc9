"""Agents that see nothing but images: they learn what is to be seen, and a resumed run is the same to the byte."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import entrax
from entrax.agents.lookup import get_agent
from entrax.agents.registry import REGISTRY
from entrax.errors import EntraxError
from entrax.runs.audit import fingerprint
from entrax.runs.directory import RunDirectory
from entrax.spec import Continuous, Discrete, Leaf, Progress, Spec, Transition
from tests.agents import reference64 as ref

IMAGE = (Leaf("observation", (10, 10, 2), "uint8", 200, (0.0,), (255.0,)),)
PROGRESS = Progress(step=np.asarray(8, np.int32), horizon=np.asarray(80, np.int32))
SMALL: dict[str, Any] = {
    "steps": 600,
    "hidden": (16,),
    "discount": 0.0,
    "eval_every": 0,
    "checkpoint_every": 0,
    "learning_starts": 60,
}


LEARNING: dict[str, Any] = {"learning_rate": 3e-3, "batch_size": 32, "temperature": 0.01}


@pytest.mark.parametrize("name", REGISTRY)
def test_an_agent_takes_images_or_says_that_it_does_not(name):
    agent, boxes = get_agent(name), "Box" in REGISTRY[name].actions
    spec = Spec(IMAGE, Continuous((1,), "float32", (-1.0,), (1.0,)) if boxes else Discrete(2))
    if REGISTRY[name].images:
        agent.resolve(agent.Config(), spec)
    else:
        with pytest.raises(EntraxError, match=r"takes no images.*10×10×2, use sac"):
            agent.resolve(agent.Config(), spec)


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("dqn", "discrete", {}),
        pytest.param("sac", "box", LEARNING | {"features": "points"}, marks=pytest.mark.long),
        pytest.param("sac", "box", LEARNING | {"augment": 1}, marks=pytest.mark.long),
        pytest.param("discrete-sac", "discrete", LEARNING, marks=pytest.mark.long),
    ],
)
def test_a_run_sees_and_a_resumed_one_is_the_same(name, kind, settings, tmp_path):
    def stop(row):
        return row["step"] >= 300

    arguments: dict[str, Any] = {"agent": name, "env_args": {"kind": kind}} | SMALL | settings
    whole = entrax.train("tests.environments.dots:Dot", run=tmp_path / "whole", **arguments)
    if name == "dqn":
        entrax.train("tests.environments.dots:Dot", run=tmp_path / "parts", hook=stop, **arguments)
        entrax.train("tests.environments.dots:Dot", run=tmp_path / "parts", resume=True, **arguments)
        prints = [fingerprint(RunDirectory.open(tmp_path / part)) for part in ("whole", "parts")]
        assert prints[0] == prints[1]
    assert whole.evaluate(episodes=10).mean >= 4.5  # of 5; chance is 2.5
    images = np.zeros((3, 200), np.uint8)
    assert len(whole.policy(images)) == 3
    with pytest.raises(EntraxError, match="image of dtype float32"):
        whole.policy(images.astype(np.float32))


@pytest.mark.parametrize("features", ["places", 0])
def test_features_that_no_encoder_has_are_refused(features):
    agent = get_agent("sac")
    spec = Spec(IMAGE, Continuous((1,), "float32", (-1.0,), (1.0,)))
    with pytest.raises(EntraxError, match="`features` must be 'points' or a number"):
        agent.resolve(agent.Config(features=features), spec)


def test_features_without_an_image_are_refused():
    agent = get_agent("sac")
    with pytest.raises(EntraxError, match="`features` must be left out where no image is observed"):
        agent.resolve(agent.Config(features="points"), ref.SPEC)


@pytest.mark.long
@pytest.mark.parametrize("name", ["sac", "discrete-sac"])
def test_the_policy_takes_features_and_leaves_the_encoder_alone(name):
    agent = get_agent(name)
    spec = Spec(IMAGE, ref.SPEC.action if name == "sac" else Discrete(3))
    config = agent.resolve(agent.Config(hidden=(8,), learning_rate=0.1, discount=0.0), spec)
    state = agent.init(config, spec, jr.key(0))
    rng = np.random.default_rng(0)
    p, images = state.params, jnp.asarray(rng.integers(0, 256, (4, 200)), jnp.uint8)
    width = jax.tree.leaves(p.policy)[0].shape[0]
    assert width == p.critics.encoder.size
    alone = agent.policy(config, state)
    encoder = alone.encoder if name == "sac" else alone.network.encoder
    assert all(a is b for a, b in zip(jax.tree.leaves(encoder), jax.tree.leaves(p.critics.encoder), strict=True))
    action = jnp.zeros((4, 1), jnp.int32) if name == "discrete-sac" else jnp.zeros((4, ref.SPEC.action.size))
    no = jnp.zeros(4, bool)
    batch = Transition(images, action, jnp.asarray(rng.normal(size=4), jnp.float32), images, no, no)
    # With discount 0 critics regress on rewards: whatever else changes them comes from the policy.
    shaken = eqx.tree_at(lambda s: s.params.policy, state, jax.tree.map(lambda x: x + 0.1, p.policy))
    a, b = (agent.update(config, each, batch, PROGRESS, jr.key(1))[0] for each in (state, shaken))
    for x, y in zip(jax.tree.leaves(a.params.critics), jax.tree.leaves(b.params.critics), strict=True):
        np.testing.assert_array_equal(x, y)
    moved = zip(jax.tree.leaves(a.params.policy), jax.tree.leaves(p.policy), strict=True)
    assert all(np.abs(x - y).max() > 0 for x, y in moved)


def test_ppo_updates_on_images():
    agent, spec = get_agent("ppo"), Spec(IMAGE, Discrete(2))
    config = agent.resolve(agent.Config(hidden=(8,), rollout_steps=8, batch_size=4, epochs=1), spec)
    state = agent.init(config, spec, jr.key(0))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 8, 1, 200)).astype(np.uint8)
    no = np.zeros((8, 1), np.bool_)
    reward = rng.normal(size=(8, 1)).astype(np.float32)
    action = rng.integers(2, size=(8, 1, 1), dtype=np.int32)
    rollout = jax.tree.map(jnp.asarray, Transition(images[0], action, reward, images[1], no, no))
    after, info = agent.update(config, state, rollout, PROGRESS, jr.key(1))
    before = state.params.policy.logits.encoder.convolutions[0].weight
    assert np.abs(after.params.policy.logits.encoder.convolutions[0].weight - before).max() > 0
    assert all(np.isfinite(value) for value in info.values())
