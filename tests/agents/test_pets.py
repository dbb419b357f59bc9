"""What pets plans with, and what it learns."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import pets
from entrax.errors import UsageError
from entrax.nets.ensemble_fit import fit
from entrax.planning import CrossEntropy, PathIntegral, ensemble_lookahead
from entrax.policies.controller import FINISHED
from tests.agents import reference64 as ref

SMALL: dict[str, Any] = {"hidden": (8,), "members": 3, "batch_size": 4, "held_out": 5, "replay_size": 50}
SMALL |= {"plans": 12, "best_plans": 4, "iterations": 2, "plan_length": 4}


def configured(**settings):
    return pets.resolve(pets.Config(**SMALL | settings), ref.SPEC)


def acted(planner):
    carry, obs = planner.initial_carry(), jnp.asarray([0.3, -0.2, 0.5])
    return eqx.filter_jit(lambda planner: planner.act(carry, obs, FINISHED, None, True)[0])(planner)


@pytest.mark.parametrize("kind", ["cross-entropy", "path-integral"])
def test_the_policy_plans_on_the_ensemble_that_was_learned(kind):
    config = configured(planner=kind, discount=0.9, sampling="ts1", particles=2)
    state = pets.init(config, ref.SPEC, jr.key(0))
    lookahead = ensemble_lookahead(
        state.params, ref.ACTION, 4, sampling="ts1", particles_per_elite=2, discount=jnp.asarray(0.9)
    )
    shared: dict[str, Any] = {"samples": 12, "iterations": 2, "std": 0.7}
    by_hand = (
        CrossEntropy(lookahead, elites=4, **shared)
        if kind == "cross-entropy"
        else PathIntegral(lookahead, 0.1, **shared)
    )
    assert np.array_equal(acted(pets.policy(config, state)), acted(by_hand))


def test_an_update_fits_the_ensemble_to_the_parts_of_the_batch():
    config = configured()
    state = pets.init(config, ref.SPEC, jr.key(0))
    whole = ref.batch(1)
    batch = jax.tree.map(lambda x: jnp.concatenate([jnp.asarray(x), jnp.asarray(x[:5])]), whole)
    after, info = eqx.filter_jit(pets.update)(config, state, batch, FINISHED, jr.key(0))
    training = jax.tree.map(lambda x: jnp.asarray(x).reshape(3, 4, *x.shape[1:]), whole)
    held_out = jax.tree.map(lambda x: jnp.asarray(x[:5]), whole)
    expected, reported = eqx.filter_jit(fit)(state, training, held_out, 1e-3)
    for mine, theirs in zip(jax.tree.leaves(after), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    assert info.keys() == reported.keys()


def test_more_best_plans_than_plans_are_refused():
    with pytest.raises(UsageError, match="`best_plans` must be at most the 12 `plans`"):
        configured(best_plans=13)
