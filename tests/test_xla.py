"""The guard against XLA's wrong sums: where JAX starts after entrax or before it, and in what agents compute."""

import dataclasses
import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax import xla
from entrax.agents.lookup import get_agent
from entrax.agents.registry import REGISTRY
from entrax.exact import plan
from entrax.problems import garnet
from entrax.programs import release_programs
from entrax.replay import UniformReplay
from entrax.spec import Continuous, Discrete, Leaf, Progress, Spec, Transition
from tests.marks import long_except

SUM = """
import sys, warnings
import jax, jax.numpy as jnp, numpy as np
if sys.argv[1] == "late":
    jnp.ones(3)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import entrax.soft
x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
wrong = jax.jit(lambda x, c: jnp.sum((x @ jnp.full((64, 64), c)) * x, -1))(x, np.float32(1e-6))
right = x.astype(float).sum(1) ** 2 * 1e-6
print(np.abs(wrong - right).max() < 1e-3, "XLA_FLAGS" in " ".join(str(w.message) for w in caught))
"""


def computed(when, flags=""):
    """Whether a sum is right, and whether importing entrax warned that it would not be."""
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    run = subprocess.run([sys.executable, "-c", SUM, when], env=environment, capture_output=True, text=True, check=True)
    return [word == "True" for word in run.stdout.split()]


@pytest.mark.parametrize("flags", ["", "--xla_cpu_multi_thread_eigen=false"])
def test_sums_are_right_where_entrax_comes_first(flags):
    assert computed("early", flags) == [True, False]


def test_wrong_sums_are_named_where_jax_was_started_before():
    right, warned = computed("late")
    assert warned != right


def test_a_version_that_was_not_tested_is_given_no_flag(monkeypatch):
    monkeypatch.setattr(xla, "TESTED", set())
    monkeypatch.setattr(xla, "_started_before", False)
    monkeypatch.setenv("XLA_FLAGS", "--mine=1")
    xla.guard()
    assert os.environ["XLA_FLAGS"] == "--mine=1"


SIZE, ENVS = 64, 2  # a size at which the sum comes out wrong
SMALL = {"hidden": (SIZE,), "batch_size": SIZE, "rollout_steps": 2 * SIZE, "epochs": 1, "value_steps": 1}
ACTIONS: dict[str, Continuous | Discrete] = {
    "Box": Continuous(shape=(2,), dtype="float32", low=(-1.0, -1.0), high=(1.0, 1.0)),
    "Discrete": Discrete(3),
}


def first_batch(data, spec):
    """What `data` draws first from a replay of random transitions."""
    rng, replay = np.random.default_rng(0), UniformReplay(spec, 4 * SIZE * ENVS, ENVS, data.carry)
    for _ in range(2 * SIZE):
        one = spec.action.size if isinstance(spec.action, Continuous) else None
        action = rng.uniform(-1, 1, (ENVS, one)) if one else rng.integers(0, spec.action.n, (ENVS, 1))
        obs, next_obs = rng.normal(size=(2, ENVS, SIZE))
        ends = rng.random(ENVS)
        replay.append(Transition(obs, action, rng.normal(size=ENVS), next_obs, ends < 0.1, ends > 0.95))
    return jax.tree.map(lambda x: jnp.asarray(x[0]), data.draw(replay, rng, 1))


@pytest.fixture(autouse=True)
def _released():
    """Without `jit` every operation is a program of its own."""
    yield
    release_programs()


@pytest.mark.parametrize("name", long_except(("sac", "dqn"), REGISTRY))
def test_an_agents_update_is_the_same_compiled_and_not(name):
    agent, space = get_agent(name), REGISTRY[name].actions[0]
    leaf = Leaf("obs", (SIZE,), "float32", SIZE, (-1.0,) * SIZE, (1.0,) * SIZE)
    spec = Spec(observation=(leaf,), action=ACTIONS[space])
    known = {field.name for field in dataclasses.fields(agent.Config)}
    config = agent.resolve(agent.Config(**{k: v for k, v in SMALL.items() if k in known}), spec)
    state = jax.jit(lambda: agent.init(config, spec, jr.key(0)))()
    batch = first_batch(agent.data(config), spec)
    progress = Progress(step=np.int32(0), horizon=np.int32(1000))
    compiled, info = eqx.filter_jit(agent.update)(config, state, batch, progress, jr.key(1))
    with jax.disable_jit():
        expected, expected_info = agent.update(config, state, batch, progress, jr.key(1))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4), info, expected_info)
    # Adam's first step is the rate times the sign of the gradient, which rounding decides where that is nearly 0.
    near = [np.isclose(x, y, rtol=1e-3, atol=1e-4) for x, y in zip(*map(numbers, (compiled, expected)), strict=True)]
    assert np.mean(np.concatenate([x.ravel() for x in near])) > 0.99


def numbers(tree):
    return [np.asarray(x) for x in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]


@pytest.mark.parametrize("temperature", [pytest.param(0.0, marks=pytest.mark.long), 0.1])
def test_a_plan_is_the_same_compiled_and_not(temperature):
    with jax.enable_x64(True):
        problem = garnet(64, 4, 8, seed=0, discount=0.9)
        compiled = plan(problem, temperature, method="value-iteration", tolerance=1e-3)
        with jax.disable_jit():
            expected = plan(problem, temperature, method="value-iteration", tolerance=1e-3)
    np.testing.assert_allclose(compiled.value, expected.value, rtol=1e-9)
    np.testing.assert_allclose(compiled.policy, expected.policy, atol=1e-9)
