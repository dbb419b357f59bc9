"""Deep Q-learning against a float64 reference that enumerates every combination of options."""

from dataclasses import asdict
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import dqn
from entrax.nets import DuelingQ
from entrax.replay import Sequences
from entrax.spec import Discrete, MultiDiscrete, Progress
from tests.agents import reference64 as ref

PROGRESS = Progress(step=np.asarray(30, np.int32), horizon=np.asarray(100, np.int32))
RATE = 0.7 * 1e-3 + 0.3 * 4e-4  # at this progress, between the rates that the test asks for
update = eqx.filter_jit(dqn.update)


def configured(action=Discrete(3), **fields):  # noqa: B008
    config = dqn.Config(batch_size=ref.BATCH, replay_size=1000, hidden=ref.HIDDEN, **fields)
    return dqn.resolve(config, ref.discrete_spec(action))


def start(config, action=Discrete(3)):  # noqa: B008
    """A state whose biases are not 0 and whose targets differ from the critic."""
    state = dqn.init(config, ref.discrete_spec(action), jr.key(0))
    networks = ref.shaken((state.params.critic, state.targets), 1)
    return eqx.tree_at(lambda s: (s.params.critic, s.targets), state, networks)


def read(critic):
    """The layers of a plain network, or of a dueling one's three parts."""
    if isinstance(critic, DuelingQ):
        return [ref.layers(part) for part in (critic.trunk, critic.value, critic.advantage.network)]
    return [ref.layers(critic.network)]


class Reference:
    """Q-learning in float64 over the table of all combinations."""

    def __init__(self, state, nvec, sizes, *, alpha, double, target_rate, target_period):
        self.nvec, self.sizes, self.alpha, self.double = nvec, sizes, alpha, double
        self.target_rate, self.target_period, self.updates = target_rate, target_period, 0
        self.net, self.target = read(state.params.critic), read(state.targets)
        self.moments, self.jitted = ref.fresh(self.net), jax.jit(self.step)

    def q(self, net, obs):
        if len(net) == 1:
            options = ref.forward(net[0], obs).reshape(len(obs), len(self.sizes), max(self.sizes))
            return ref.combinations(options, self.sizes)
        features = jnp.maximum(ref.forward(net[0], obs), 0.0)
        advantage = ref.forward(net[2], features).reshape(len(obs), len(self.sizes), max(self.sizes))
        # The mean over all combinations is the sum of the means over each choice's options.
        table = ref.combinations(advantage, self.sizes)
        return ref.forward(net[1], features) + table - table.mean(axis=1, keepdims=True)

    def value(self, net, target, obs):
        q_bar, q = self.q(target, obs), self.q(net, obs)
        if self.alpha == 0:
            return q_bar[jnp.arange(len(obs)), q.argmax(axis=1)] if self.double else q_bar.max(axis=1)
        if not self.double:
            return self.alpha * jnp.log(jnp.sum(jnp.exp(q_bar / self.alpha), axis=1))
        pi = jnp.exp(q / self.alpha) / jnp.sum(jnp.exp(q / self.alpha), axis=1, keepdims=True)
        return jnp.sum(pi * (q_bar - self.alpha * jnp.log(pi)), axis=1)

    def step(self, net, target, moments, b, place):
        y = b.reward + 0.9 * (1.0 - b.terminated) * self.value(net, target, b.next_obs)

        def loss(net):
            return 0.5 * jnp.mean((self.q(net, b.obs)[jnp.arange(ref.BATCH), place] - y) ** 2)

        value, gradient = jax.value_and_grad(loss)(net)
        net, moments = ref.adam(net, gradient, moments, RATE)
        return value, net, moments, ref.mix(target, net, self.target_rate)

    def update(self, b):
        place = ref.combination(b.action, self.nvec)
        with jax.enable_x64(True):
            b = b._replace(**{k: np.asarray(getattr(b, k), np.float64) for k in ("obs", "next_obs", "reward")})
            self.loss, self.net, self.moments, target = self.jitted(self.net, self.target, self.moments, b, place)
        self.updates += 1
        if self.updates % self.target_period == 0:
            self.target = target


MANY = MultiDiscrete((3, 2))
CASES: dict[str, tuple[Discrete | MultiDiscrete, dict[str, Any]]] = {
    "hard": (Discrete(3), {"double": False}),
    "double": (Discrete(3), {}),
    "soft": (Discrete(3), {"temperature": 0.3}),
    "combinations, soft and double": (
        MANY,
        {"temperature": 0.3, "double": True, "target_rate": 1.0, "target_period": 2},
    ),
    "entry by entry, hard": (MANY, {"joint_limit": 1, "double": False}),
    "entry by entry, soft, dueling": (MANY, {"joint_limit": 1, "temperature": 0.3, "dueling": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_updates_equal_the_float64_reference(case):
    action, fields = CASES[case]
    config = configured(action, discount=0.9, learning_rate=1e-3, final_learning_rate=4e-4, **fields)
    state = start(config, action)
    nvec = action.nvec if isinstance(action, MultiDiscrete) else (action.n,)
    reference = Reference(
        state,
        nvec,
        nvec if "joint_limit" in fields or len(nvec) == 1 else (6,),
        alpha=fields.get("temperature", 0.0),
        double=fields.get("double", "temperature" not in fields),
        target_rate=fields.get("target_rate", 0.005),
        target_period=fields.get("target_period", 1),
    )
    for i in range(3):
        batch = ref.discrete_batch(10 + i, nvec)
        state, info = update(config, state, batch, PROGRESS, jr.key(0))
        reference.update(batch)
        np.testing.assert_allclose(info["critic_loss"], reference.loss, rtol=1e-5)
        ref.assert_close(read(state.params.critic), reference.net)
        ref.assert_close(read(state.targets), reference.target)


def test_a_vanishing_temperature_is_temperature_zero():
    cold: dict[str, Any] = {"exploration": 0.0, "final_exploration": 0.0, "double": False}
    states = []
    for temperature in (0.0, 1e-7):
        config = configured(temperature=temperature, **cold)
        state = start(config)
        for i in range(3):
            state, _ = update(config, state, ref.discrete_batch(i, (3,)), PROGRESS, jr.key(0))
        states.append(state)
        policy = dqn.policy(config, state)
        probabilities = policy(jnp.ones(ref.OBS), PROGRESS)
        assert probabilities.max() == 1.0
        assert np.argmax(probabilities[0]) == policy.mode(jnp.ones(ref.OBS))[0]
    ref.assert_close(read(states[0].params.critic), read(states[1].params.critic), rtol=1e-6, atol=1e-6)


def test_exploration_and_temperature_are_annealed_by_progress():
    config = configured(temperature=0.4, final_temperature=0.0, exploration=0.8, anneal_fraction=0.5)
    state, batch = start(config), ref.discrete_batch(0, (3,))
    for step, alpha, epsilon in ((0, 0.4, 0.8), (25, 0.2, 0.425), (50, 0.0, 0.05), (100, 0.0, 0.05)):
        progress = Progress(step=np.asarray(step, np.int32), horizon=np.asarray(100, np.int32))
        _, info = update(config, state, batch, progress, jr.key(0))
        np.testing.assert_allclose([info["temperature"], info["exploration"]], [alpha, epsilon], atol=1e-6)


@pytest.mark.parametrize(("alpha", "epsilon"), [(0.5, 0.0), (0.0, 0.3), (0.5, 0.3)])
def test_actions_are_boltzmann_but_for_the_exploration(alpha, epsilon):
    config = configured(MANY, temperature=alpha, exploration=epsilon, final_exploration=epsilon)
    policy = dqn.policy(config, start(config, MANY))
    obs = jnp.asarray([0.3, -0.2, 0.9])
    q = np.asarray(policy.critic(obs)[0], np.float64)
    boltzmann = (q == q.max()) * 1.0 if alpha == 0 else np.exp(q / alpha) / np.exp(q / alpha).sum()
    expected = (1 - epsilon) * boltzmann + epsilon / 6
    drawn, extras = jax.jit(jax.vmap(lambda key: policy.sample(obs, PROGRESS, key)))(jr.split(jr.key(0), 20_000))
    place = ref.combination(np.asarray(drawn), MANY.nvec)
    np.testing.assert_allclose(np.exp(extras["log_prob"]), expected[place], rtol=1e-4)
    error = np.sqrt(expected * (1 - expected) / len(place))
    assert (np.abs(np.bincount(place, minlength=6) / len(place) - expected) <= 4 * error + 1e-12).all()
    assert ref.combination(np.asarray(policy.mode(obs))[None], MANY.nvec)[0] == q.argmax()


def test_truncation_does_not_enter_the_update_and_termination_cuts_off():
    config = configured()
    state, batch = start(config), ref.discrete_batch(0, (3,))
    one, _ = update(config, state, batch, PROGRESS, jr.key(1))
    other, _ = update(config, state, batch._replace(truncated=~batch.truncated), PROGRESS, jr.key(1))
    assert eqx.tree_equal(one, other)
    moved = np.where(batch.terminated[:, None], 1e30, batch.next_obs).astype(np.float32)
    other, _ = update(config, state, batch._replace(next_obs=moved), PROGRESS, jr.key(1))
    assert eqx.tree_equal(one, other)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (1.0, 0.05, 0.0, True)),
        ({"temperature": 0.1}, (0.0, 0.0, 0.1, False)),
        ({"temperature": 0.1, "final_temperature": 0.0}, (0.0, 0.05, 0.0, False)),
        ({"exploration": 0.5, "final_exploration": 0.1, "double": False}, (0.5, 0.1, 0.0, False)),
    ],
)
def test_what_depends_on_the_temperature(fields, expected):
    config = configured(**fields)
    numbers = [config.exploration, config.final_exploration, config.final_temperature]
    np.testing.assert_allclose(numbers, expected[:3], rtol=1e-6)
    assert config.double is expected[3]
    np.testing.assert_allclose(config.final_learning_rate, 0.1 * config.learning_rate, rtol=1e-6)
    # A run's configuration is resolved again when it is loaded.
    values: dict[str, Any] = {
        k: v if isinstance(v, bool | int | tuple) else float(v) for k, v in asdict(config).items()
    }
    again = dqn.Config(**values)
    assert eqx.tree_equal(dqn.resolve(again, ref.discrete_spec(Discrete(3))), config)


def n_step_by_hand(config, state, window, alpha, n=3, gamma=0.9):
    """y_n of equation 6 for one window, step by step in float64, and where it bootstraps."""
    q_bar, q = (np.asarray(jax.vmap(net)(window.next_obs)[:, 0], np.float64) for net in (state.targets, critic(state)))
    total = 0.0
    for i in range(n):
        total += gamma**i * window.reward[i]
        if window.terminated[i]:
            return total, i
        pi = np.exp(q[i] / alpha) / np.exp(q[i] / alpha).sum() if alpha else (q[i] == q[i].max()) * 1.0
        entropy = -np.sum(pi * np.log(np.where(pi > 0, pi, 1.0)))
        if window.truncated[i] or i == n - 1:
            if config.double:
                return total + gamma ** (i + 1) * (pi @ q_bar[i] + alpha * entropy), i
            value = alpha * np.log(np.exp(q_bar[i] / alpha).sum()) if alpha else q_bar[i].max()
            return total + gamma ** (i + 1) * value, i
        total += gamma ** (i + 1) * alpha * entropy
    raise AssertionError


def critic(state):
    return state.params.critic


@pytest.mark.parametrize(("first", "last"), [(0.3, 0.0), (0.0, 0.3), (0.3, 0.3), (0.0, 0.0)])
def test_whole_windows_are_drawn_where_entropy_may_count(first, last):
    config = configured(n_step=3, temperature=first, final_temperature=last)
    data = dqn.data(config)
    assert isinstance(data, Sequences)
    assert data.ends == (first == last == 0)


@pytest.mark.parametrize("fields", [{}, {"double": False}, {"temperature": 0.3}, {"temperature": 0.3, "double": True}])
def test_targets_of_several_steps_are_those_by_hand(fields):
    config = configured(n_step=3, discount=0.9, **fields)
    hard = "temperature" not in fields
    assert dqn.data(config) == Sequences(batch_size=ref.BATCH, length=3, capacity=1000, ends=hard)
    state = start(config)
    batch = jax.tree.map(lambda *x: np.stack(x, axis=1), *(ref.discrete_batch(i, (3,)) for i in range(3)))
    ends = np.random.default_rng(0).integers(6, size=(ref.BATCH, 3))
    batch = batch._replace(terminated=ends == 0, truncated=ends == 1)
    _, info = update(config, state, batch, PROGRESS, jr.key(0))
    by_hand = [
        n_step_by_hand(config, state, jax.tree.map(lambda x, i=i: x[i], batch), fields.get("temperature", 0.0))
        for i in range(ref.BATCH)
    ]
    assert {0, 1, 2} == {place for _, place in by_hand}
    q = np.asarray(jax.vmap(critic(state))(batch.obs[:, 0])[:, 0], np.float64)
    taken = q[np.arange(ref.BATCH), batch.action[:, 0, 0]]
    errors = taken - np.array([y for y, _ in by_hand])
    np.testing.assert_allclose(info["critic_loss"], 0.5 * np.mean(errors**2), rtol=1e-5)
    if hard:  # the ends of the windows are enough
        last = batch.next_obs[np.arange(ref.BATCH), [place for _, place in by_hand]][:, None]
        ends = batch._replace(obs=batch.obs[:, :1], next_obs=last)
        _, of_ends = update(config, state, ends, PROGRESS, jr.key(0))
        np.testing.assert_allclose(of_ends["critic_loss"], info["critic_loss"], rtol=1e-6)
