"""REINFORCE's mean over every course of a small problem against the exact gradient, and its weights by hand."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from gymnasium import spaces

import entrax
from entrax.agents import reinforce
from entrax.errors import EntraxError
from entrax.exact import plan
from entrax.problems import FiniteMDP
from entrax.spec import Discrete, Leaf, Progress, Spec, Transition
from tests.agents import reference64 as ref

SPEC = ref.discrete_spec(Discrete(2))
PROGRESS = Progress(step=np.asarray(40, np.int32), horizon=np.asarray(100, np.int32))

# Two states, two actions, episodes of two steps: 16 courses. A state at a time has its own observation.
_rng = np.random.default_rng(5)
OBS = _rng.normal(size=(2, 2, ref.OBS)).astype(np.float32)  # [time, state]
INITIAL, NEXT = np.array([0.4, 0.6]), _rng.dirichlet(np.ones(2), (2, 2))
REWARD = _rng.normal(2.0, 1.0, size=(2, 2, 2)).astype(np.float32)  # [time, state, action]
COURSES = np.array(list(itertools.product(range(2), repeat=4)))  # s0 a0 s1 a1
S, A = COURSES[:, 0::2], COURSES[:, 1::2]
DYNAMICS = INITIAL[S[:, 0]] * NEXT[S[:, 0], A[:, 0], S[:, 1]]
TIME = np.arange(2)


def configured(**fields):
    given: dict[str, Any] = {"hidden": ref.HIDDEN, "discount": 1.0} | fields
    return reinforce.resolve(reinforce.Config(**given), SPEC)


def start(config):
    state = reinforce.init(config, SPEC, jr.key(0))
    return eqx.tree_at(lambda s: s.params, state, ref.shaken(state.params, 1))


def episodes(courses):
    """A rollout of one environment, an episode after the other."""
    obs = np.concatenate([OBS[TIME, S[i]] for i in courses])
    ends = np.tile([False, True], len(courses))
    return Transition(
        obs=obs[:, None],
        action=np.concatenate([A[i] for i in courses])[:, None, None].astype(np.int32),
        reward=np.concatenate([REWARD[TIME, S[i], A[i]] for i in courses])[:, None],
        next_obs=np.roll(obs, -1, axis=0)[:, None],
        terminated=ends[:, None],
        truncated=np.zeros_like(ends)[:, None],
    )


def joined(parts, axis):
    columns = {name: [part.fields()[name] for part in parts] for name in parts[0].fields()}
    return Transition(**{name: np.concatenate(values, axis=axis) for name, values in columns.items()})


def exact_gradient(policy, temperature, discount):
    """∇ Σ_courses P(course) Σ_t γ^t (r_t - α log π_t), by differentiating the sum itself."""

    def objective(policy):
        log_prob = jax.vmap(jax.vmap(policy.log_prob))(OBS[TIME, S], A[..., None])
        soft = discount**TIME * (REWARD[TIME, S, A] - temperature * log_prob)
        return jnp.sum(DYNAMICS * jnp.exp(log_prob.sum(axis=1)) * soft.sum(axis=1))

    return jax.grad(objective)(policy)


PAIRS = list(itertools.product(range(16), repeat=2))
DISCOUNTED: dict[str, Any] = {"objective": "discounted", "discount": 0.7}
Case = tuple[dict[str, Any], Callable[[int, int], Transition], int]
CASES: dict[str, Case] = {  # settings; the rollout made of two courses; how many of its episodes count
    "two episodes": ({"baseline": "none"}, lambda i, j: episodes((i, j)), 2),
    "without causality": ({"baseline": "none", "causal": False}, lambda i, j: episodes((0, j)), 1),
    "mean": ({"baseline": "mean"}, lambda i, j: joined([episodes((i,)), episodes((j,))], 1), 2),
    "mean, without causality": (
        {"baseline": "mean", "causal": False},
        lambda i, j: joined([episodes((3, i)), episodes((7, j))], 1),
        2,
    ),
    "learned": ({"gae_lambda": 1.0}, lambda i, j: episodes((i, j)), 2),
    "discounted": (DISCOUNTED | {"baseline": "none"}, lambda i, j: episodes((0, j)), 1),
    "discounted, without causality": (
        DISCOUNTED | {"baseline": "none", "causal": False},
        lambda i, j: episodes((0, j)),
        1,
    ),
    "discounted, learned": (DISCOUNTED | {"gae_lambda": 1.0}, lambda i, j: episodes((0, j)), 1),
}


@pytest.mark.parametrize("case", CASES)
def test_the_mean_over_all_courses_is_the_exact_gradient(case):
    fields, rollout_of, counted = CASES[case]
    config = configured(temperature=0.3, **fields)
    params = start(config).params
    rollouts = jax.tree.map(lambda *x: np.stack(x), *(rollout_of(i, j) for i, j in PAIRS))

    @jax.jit
    def gradients(rollout):
        return jax.grad(reinforce.policy_loss)(
            params.policy, config, rollout, reinforce.weights(config, params, rollout)
        )

    of_each = jax.vmap(gradients)(rollouts)
    log_prob = jax.vmap(jax.vmap(params.policy.log_prob))(OBS[TIME, S], A[..., None])
    chance = DYNAMICS * np.exp(np.asarray(log_prob, np.float64).sum(axis=1))
    weight = np.array([chance[i] * chance[j] for i, j in PAIRS])
    np.testing.assert_allclose(weight.sum(), 1.0, rtol=1e-6)
    steps = rollouts.reward[0].size
    mean = jax.tree.map(lambda g: -np.tensordot(weight, g, axes=1) * steps / counted, of_each)
    ref.assert_close(mean, exact_gradient(params.policy, 0.3, float(config.discount)), rtol=1e-4, atol=2e-5)


def test_the_usual_weights_are_the_gradient_of_no_objective_below_discount_1():
    assert configured(objective="usual", discount=None).discount == np.float32(0.99)
    assert configured(objective="episodic", discount=None).discount == 1.0
    rollout, ended = episodes((0, 9, 5)), np.tile([False, True], 3)
    usual, discounted = (
        reinforce.weights(c, start(c).params, rollout)
        for c in (configured(baseline="none", objective=o, discount=0.7) for o in ("usual", "discounted"))
    )
    np.testing.assert_array_equal(usual.used[:, 0], [True] * 6)
    np.testing.assert_array_equal(discounted.used[:, 0], [False] * 2 + [True] * 4)  # the first may have begun before
    ratio = (discounted.weight / usual.weight)[2:, 0]
    np.testing.assert_allclose(ratio, np.where(ended[2:], 0.7, 1.0), rtol=1e-6)


# The average reward: an endless walk over the same two states, each its own observation.
PAID = REWARD[0].astype(np.float64)
LINEAR: dict[str, Any] = {"hidden": (), "objective": "average", "discount": None, "temperature": 0.3}
LINE = Spec(observation=(Leaf("obs", (2,), "float32", 2, (0.0,) * 2, (1.0,) * 2),), action=Discrete(2))


def in_the_long_run(logits, alpha=0.3):
    """ρ of soft rewards, the stationary distribution and differential values, by solving."""
    pi = jax.nn.softmax(logits)
    chain = jnp.einsum("sa,sat->st", pi, NEXT)
    stationary = jnp.stack([chain[1, 0], chain[0, 1]]) / (chain[1, 0] + chain[0, 1])
    reward = jnp.sum(pi * (PAID - alpha * jnp.log(pi)), axis=1)
    rho = stationary @ reward
    return rho, (stationary, jnp.linalg.solve(jnp.eye(2) - chain + stationary, reward - rho))


@pytest.mark.parametrize("trace", [0.0, 0.9])
def test_with_the_differential_values_the_mean_is_the_gradient_of_the_average_reward(trace):
    config = reinforce.resolve(reinforce.Config(**LINEAR, gae_lambda=trace, rollout_steps=2), LINE)
    logits = jnp.array([[0.4, -0.3], [-0.8, 0.2]])
    rho, (stationary, values) = in_the_long_run(logits)
    params = reinforce.init(config, LINE, jr.key(0)).params
    values = values[:, None] + 7.0  # any constant will do
    params = eqx.tree_at(lambda p: [n.layers[0].weight for n in (p.policy.logits, p.value)], params, [logits, values])
    courses = np.array(list(itertools.product(range(2), repeat=5)))  # s0 a0 s1 a1 s2
    s, a = courses[:, 0::2], courses[:, 1::2]
    pi, one_hot = np.asarray(jax.nn.softmax(logits)), np.eye(2, dtype=np.float32)
    chance = np.asarray(stationary)[s[:, 0]] * np.prod(pi[s[:, :2], a] * NEXT[s[:, :2], a, s[:, 1:]], axis=1)

    @jax.jit
    @jax.vmap
    def gradients(s, a):
        never, paid = jnp.zeros((2, 1), bool), jnp.asarray(PAID, jnp.float32)[s[:2], a][:, None]
        rollout = Transition(
            jnp.asarray(one_hot)[s[:2], None], a[:, None, None], paid, jnp.asarray(one_hot)[s[1:], None], never, never
        )
        w = reinforce.weights(config, params, rollout, rho)
        return jax.grad(reinforce.policy_loss)(params.policy, config, rollout, w).logits.layers[0].weight

    wanted = jax.jit(jax.grad(lambda logits: in_the_long_run(logits)[0]))(logits)
    np.testing.assert_allclose(-np.tensordot(chance, gradients(s, a), axes=1), wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(wanted).max() > 0.01


class Endless(gymnasium.Env):
    """The walk, cut into pieces of 50 steps."""

    def __init__(self):
        self.observation_space, self.action_space = spaces.Box(0, 1, (2,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.state = 0, int(self.np_random.integers(2))
        return np.eye(2, dtype=np.float32)[self.state], {}

    def step(self, action):
        reward = float(PAID[self.state, action])
        self.t, self.state = self.t + 1, int(self.np_random.random() < NEXT[self.state, action, 1])
        return np.eye(2, dtype=np.float32)[self.state], reward, False, self.t == 50, {}


@pytest.mark.long
def test_a_run_comes_to_the_planned_average_reward(tmp_path):
    """Soft, at α = 0.5: the gain of the learned policy and of `exact.plan`, and what the run itself thinks it is."""
    settings: dict[str, Any] = {
        "objective": "average",
        "temperature": 0.5,
        "hidden": (8,),
        "workers": 0,
        "envs": 4,
        "eval_every": 0,
    }
    run = entrax.train(Endless, agent="reinforce", run=tmp_path / "run", steps=16_384, **settings)
    with jax.enable_x64(True):
        planned = plan(FiniteMDP.from_dense(NEXT, PAID, discount=1.0), 0.5, objective="average")
        logits = np.log(np.exp(np.asarray(jax.vmap(run.controller.policy)(jnp.eye(2, dtype=jnp.float32)), float))[:, 0])
        gain = float(in_the_long_run(logits, 0.5)[0])
    assert planned.average_reward is not None
    best = float(planned.average_reward)
    assert best - 0.01 < gain <= best + 1e-9
    rows = [row["average_reward"] for row in run.metrics() if "average_reward" in row]
    assert rows[-1] == pytest.approx(best, abs=0.1)
    uniform = float(in_the_long_run(jnp.zeros((2, 2)), 0.5)[0])
    assert uniform < best - 0.1


def test_the_average_reward_is_a_running_mean_over_rollouts():
    config, rewards = configured(objective="average", average_rate=0.25), [2.0, 5.0, -1.0, 3.0, 1.0]
    average, wanted = jnp.zeros(()), [2.0, 3.5, 2.0, 2.25, 1.9375]  # plain means as long as 1/k > 1/4
    for k, (reward, mean) in enumerate(zip(rewards, wanted, strict=True), start=1):
        progress = Progress(step=np.asarray(8 * k, np.int32), horizon=np.asarray(100, np.int32))
        average = reinforce.running_mean(config, average, jnp.full((4, 2), reward), progress)
        np.testing.assert_allclose(average, mean, rtol=1e-6)
    state = start(config)
    state, info = eqx.filter_jit(reinforce.update)(config, state, episodes((3, 9)), PROGRESS, jr.key(0))
    assert state.average_reward == info["average_reward"] != 0


def test_where_the_rollout_stops_in_an_episode_returns_are_not_known():
    reward = jnp.asarray([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    ended = jnp.asarray([False, True, False, False, True, False])
    g, known = reinforce.returns(True, jnp.asarray(0.5), reward, ended)
    np.testing.assert_array_equal(g[:5], [2.0, 2.0, 12.0, 16.0, 16.0])
    np.testing.assert_array_equal(known, [True] * 5 + [False])
    r, known = reinforce.returns(False, jnp.asarray(0.5), reward, ended)
    np.testing.assert_array_equal(r[2:5], [12.0] * 3)
    np.testing.assert_array_equal(known, [False, False, True, True, True, False])  # the first may have begun before


@pytest.mark.parametrize("baseline", ["none", "learned"])
def test_an_episode_that_goes_on_counts_only_with_a_learned_baseline(baseline):
    config = configured(baseline=baseline)
    params, rollout = start(config).params, episodes((3, 9))
    going_on = rollout._replace(terminated=rollout.terminated & (np.arange(4) < 2)[:, None])
    w = reinforce.weights(config, params, going_on)
    np.testing.assert_array_equal(w.used[:, 0], [True, True] + 2 * [baseline == "learned"])
    other = reinforce.weights(config, params, going_on._replace(next_obs=going_on.next_obs + 1.0))
    assert (baseline == "learned") == (w.weight[3, 0] != other.weight[3, 0])  # V of the true successor is bootstrapped


def test_at_lambda_0_it_is_the_one_step_actor_critic():
    config = configured(gae_lambda=0.0, discount=0.9)
    params, rollout = start(config).params, episodes((3, 9))
    v, v_next = (jax.vmap(jax.vmap(params.value))(obs)[..., 0] for obs in (rollout.obs, rollout.next_obs))
    delta = rollout.reward + 0.9 * np.where(rollout.terminated, 0.0, v_next) - v
    np.testing.assert_allclose(reinforce.weights(config, params, rollout).weight, delta, rtol=1e-5, atol=1e-6)


def test_an_update_takes_one_step_of_the_policy_and_fits_the_baseline():
    config = configured(learning_rate=0.02, value_steps=30, rollout_steps=8, gae_lambda=1.0)
    state, rollout = start(config), joined([episodes((3, 9)), episodes((1, 14))], 1)
    w = reinforce.weights(config, state.params, rollout)
    after, info = eqx.filter_jit(reinforce.update)(config, state, rollout, PROGRESS, jr.key(0))
    gradient = jax.grad(reinforce.policy_loss)(state.params.policy, config, rollout, w)
    rate = 0.02 * (1 - 32 / 100)  # where the rollout of 8 steps began

    def first_step_of_adam(p, g):
        return p - rate * g / (jnp.abs(g) + 1e-8)

    ref.assert_close(after.params.policy, jax.tree.map(first_step_of_adam, state.params.policy, gradient), rtol=1e-3)
    values: list[Any] = [s.params.value for s in (state, after)]
    losses = [reinforce.value_loss(value, rollout, w.target) for value in values]
    np.testing.assert_allclose(info["value_loss"], losses[0], rtol=1e-5)
    assert losses[1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"objective": "episodic", "discount": 0.9}, "`discount` must be 1 for the episodic objective"),
        ({"objective": "average", "baseline": "mean"}, "differential value, not 'mean'"),
        ({"context": 2}, "`context` must be left alone without a `memory`"),
        ({"causal": False}, "without causality take 'mean' or 'none'"),
    ],
)
def test_values_that_do_not_go_together_are_refused(fields, words):
    with pytest.raises(EntraxError, match=words):
        configured(**fields)


def test_the_mean_of_others_needs_others():
    data = reinforce.data(configured(baseline="mean"))
    with pytest.raises(EntraxError, match=r"`envs` must be at least 2\b.*got 1"):
        data.fixed_options(steps=1000, envs=1, learning_starts=0)
