"""Z-learning against the solved desirability of the same problem."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.errors import UsageError
from entrax.exact import linearly_solvable
from entrax.problems import LinearlySolvable
from entrax.tabular import StepSize, z_learning
from entrax.tabular.z_learning import _Carry, _make_tables, _step, _Tables

GRID = LinearlySolvable.grid("G...\n.#..\n...X", 0.3, pit_cost=1.0)
VALUE = linearly_solvable(GRID, 1.0).value


def learned(problem, temperature=1.0, *, seeds=4, steps=40_960, **options):
    """A learner's result for several seeds, vmapped."""
    run = jax.vmap(lambda key: z_learning(problem, temperature, steps=steps, key=key, **options))
    return run(jax.random.split(jax.random.key(0), seeds))


@pytest.mark.parametrize(("share", "largest"), [(1.0, 0.1), (0.5, 0.07), (0.0, 2e-3)])
def test_it_converges_to_the_solution(share, largest):
    """Greedy samples have targets without noise, so their error is far smaller."""
    result = learned(GRID, passive_share=share, records=4)
    errors = np.abs(-np.asarray(result.history) - VALUE).max(axis=2).mean(axis=0)
    assert errors[-1] < largest
    assert errors[-1] < errors[0]
    np.testing.assert_allclose(result.value[:, GRID.exits], np.tile([0, 1], (4, 1)), atol=1e-6)
    assert np.all(np.asarray(result.visits)[:, GRID.exits] == 0)
    assert np.asarray(result.visits).sum(axis=1).tolist() == [40_960] * 4


def test_the_error_falls_with_the_root_of_the_samples():
    """Averages (η = 1/n) of one state that leads to two exits: the error of ẑ is that of a mean."""
    coin = LinearlySolvable([[0, 0.5, 0.5], [0, 0, 0], [0, 0, 0]], [0, 0.0, np.log(3)], exits=[1, 2])
    z = 0.5 + 0.5 / 3
    for steps in (200, 2_000):
        result = learned(coin, seeds=400, steps=steps, step_size=StepSize(power=1.0))
        error = np.exp(np.asarray(result.log_desirability)[:, 0]) - z
        deviation = 1 / 3 / np.sqrt(np.asarray(result.visits)[0, 0])  # the targets are 1 and ⅓
        assert np.sqrt(np.mean(error**2)) == pytest.approx(deviation, rel=0.15)


def test_a_discount():
    problem = LinearlySolvable(GRID.passive, GRID.cost, exits=GRID.exits, kind="discounted", discount=0.8)
    value = linearly_solvable(problem, 0.5).value
    for share in (1.0, 0.0):
        error = np.abs(np.asarray(learned(problem, 0.5, passive_share=share).value) - value).max()
        assert error < 0.1


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_every_behaviour_has_the_same_mean_target(share):
    """The mean of one update over all samples is e^{−q/λ} Σ p ẑ^γ for any table, and greedy ones do not vary."""
    rng = np.random.default_rng(0)
    problem = LinearlySolvable(rng.dirichlet(np.ones(5), 5), rng.uniform(size=5), exits=[4])
    tables = _Tables(
        **_make_tables(problem, 0.7, None), share=jnp.asarray(share), step_size=StepSize(power=0.0, scale=1.0)
    )
    log_z = jnp.asarray(rng.normal(size=5))
    draws = (np.arange(2_000) + 0.5) / 2_000
    carry = _Carry(state=jnp.int32(1), log_z=log_z, visits=jnp.zeros(5, jnp.int32))
    after = jax.vmap(lambda u: jnp.exp(_step(tables, carry, jnp.int32(0), u).log_z[1]))(jnp.asarray(draws))
    mean = np.exp(-problem.cost[1] / 0.7) * problem.passive.toarray()[1] @ np.exp(np.asarray(log_z))
    assert float(after.mean()) == pytest.approx(mean, rel=2e-3)
    assert (float(after.std()) < 1e-6) == (share == 0)


def test_the_table_does_not_underflow():
    """The cost of 300 temperatures a step takes z far below the smallest number of 32 bits."""
    walk = LinearlySolvable.random_walk(8, 300.0)
    value = linearly_solvable(walk, 1.0).value
    result = learned(walk, steps=5_000, passive_share=0.0, step_size=StepSize(power=0.0))
    np.testing.assert_allclose(result.value, np.tile(value, (4, 1)), rtol=1e-5)


def test_forbidden_states_end_an_episode_without_desirability():
    """The only allowed way is up; the state below has cost ∞."""
    walk = LinearlySolvable.random_walk(3, 0.1, final_costs=(np.inf, 0.0))
    value = linearly_solvable(walk, 1.0).value
    for share in (1.0, 0.0):
        result = learned(walk, passive_share=share)
        assert np.abs(np.asarray(result.value)[:, 1:] - value[1:]).max() < 0.1
        assert np.all(np.isposinf(np.asarray(result.value)[:, 0]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 0}, "at least 1"),
        ({"passive_share": 1.5}, r"\[0, 1\]"),
        ({"temperature": 0.0}, "above 0"),
        ({"initial": 0}, "`initial`"),
        ({"problem": LinearlySolvable([[0, 1], [1, 0]], 1.0, kind="average")}, "got average"),
    ],
)
def test_what_is_refused(arguments, words):
    defaults = {"problem": GRID, "temperature": 1.0, "steps": 10, "key": jax.random.key(0)}
    with pytest.raises(UsageError, match=words):
        z_learning(**(defaults | arguments))
