"""The formulas of termination against Gymnasium's environments."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.errors import UsageError
from entrax.planning.termination import KNOWN, termination_named

TASKS = [name for name in KNOWN if name != "never"]


@pytest.mark.parametrize("task", TASKS)
def test_the_formula_ends_episodes_where_the_environment_does(task):
    env = gymnasium.make(f"{task}-v5")
    env.action_space.seed(0)
    observations, ends = [], []
    env.reset(seed=0)
    for _ in range(300):
        obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
        observations.append(obs)
        ends.append(terminated)
        if terminated or truncated:
            env.reset()
    env.close()
    found = jax.vmap(KNOWN[task])(jnp.asarray(observations, jnp.float32))
    assert 0 < np.sum(ends) < len(ends)
    assert np.array_equal(found, ends)


def test_names():
    assert termination_named("learned") is None
    assert termination_named("Hopper") is KNOWN["Hopper"]
    with pytest.raises(UsageError, match="termination"):
        termination_named("hopper")
