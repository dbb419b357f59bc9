"""What holds for every agent of the registry, and what `check_agent` reports of an agent that lacks something."""

import dataclasses
from types import ModuleType, SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from entrax.agents import base
from entrax.agents.base import OPTIONAL, loop_defaults_of, optional, wrapping
from entrax.agents.check import check_agent
from entrax.agents.lookup import agents_with, get_agent
from entrax.agents.registry import REGISTRY
from entrax.errors import UsageError
from entrax.fields import Settings, field
from entrax.nets import MLP
from entrax.policies.controller import FINISHED
from entrax.replay import Rollout, Uniform, UniformReplay
from entrax.runs.pytree import flatten
from entrax.spec import Discrete, MultiDiscrete
from tests.agents import reference64 as ref

SPECS = {
    "Box": ref.SPEC,
    "Discrete": ref.discrete_spec(Discrete(3)),
    "MultiDiscrete": ref.discrete_spec(MultiDiscrete((2, 3))),
}
TAKEN = [(name, space) for name, entry in REGISTRY.items() for space in entry.actions]
SMALL: dict[str, Any] = {
    "hidden": (8, 8),
    "batch_size": 8,
    "replay_size": 64,
    "rollout_steps": 16,
    "window": 12,
    "particles": 4,
    "members": 3,
    "elites": 2,
    "model_hidden": (8,),
    "model_batch_size": 8,
    "held_out": 8,
    "starts": 6,
    "plans": 8,
    "best_plans": 4,
    "iterations": 2,
    "plan_length": 3,
}


def small(name):
    agent = get_agent(name)
    known = {f.name for f in dataclasses.fields(agent.Config)}
    hidden = {"hidden": (8, 8, 8)} if name == "soft-q" else {}
    return agent, agent.Config(**{k: v for k, v in (SMALL | hidden).items() if k in known})


@pytest.mark.parametrize(("name", "space"), TAKEN)
def test_every_agent_meets_the_contract(name, space):
    agent, config = small(name)
    check_agent(agent, SPECS[space], agent.resolve(config, SPECS[space]))


def batch_of(data, spec, seed):
    """One batch of random transitions, of the kind that the agent learns from."""
    envs = data.least_envs if isinstance(data, Rollout) else 1
    replay = UniformReplay(spec, 64 * envs, envs, data.carry)
    rng = np.random.default_rng(seed)
    for rows in replay.rows.fields().values():
        rows[:] = rng.integers(0, 2, rows.shape) if rows.dtype != np.float32 else rng.uniform(-1, 1, rows.shape)
    replay.rows.truncated[:] &= ~replay.rows.terminated
    replay.appended = replay.times
    return jax.tree.map(lambda x: jnp.asarray(x[0]), data.draw(replay, rng, 1))


@pytest.mark.parametrize("name", REGISTRY)
def test_an_update_is_finite_repeatable_and_learns(name):
    space = REGISTRY[name].actions[0]
    agent, config = small(name)
    config = agent.resolve(config, SPECS[space])
    state = agent.init(config, SPECS[space], jr.key(0))
    update = eqx.filter_jit(agent.update)
    batch = batch_of(agent.data(config), SPECS[space], 0)
    after, info = update(config, state, batch, FINISHED, jr.key(1))
    again, _ = update(config, state, batch, FINISHED, jr.key(1))
    before, once, twice = flatten(state), flatten(after), flatten(again)
    assert before.keys() == once.keys()
    assert all(np.isfinite(array).all() for array in once.values())
    assert all(np.isfinite(value) for value in info.values())
    assert all(once[path].tobytes() == twice[path].tobytes() for path in once)
    learned = [path for path in once if "params/" in path and not np.array_equal(before[path], once[path])]
    assert any(path.split("params/")[1].startswith(("policy", "critic", "networks")) for path in learned)


@pytest.mark.parametrize("name", REGISTRY)
def test_numbers_of_a_resolved_configuration_are_arrays_and_none_is_derived(name):
    """Another learning rate runs the same program."""
    agent, config = small(name)
    spec = SPECS[REGISTRY[name].actions[0]]
    one, other = (agent.resolve(dataclasses.replace(config, learning_rate=rate), spec) for rate in (1e-3, 2e-3))
    assert jax.tree.structure(one) == jax.tree.structure(other)  # type: ignore[operator]
    assert all(isinstance(leaf, jax.Array | str) for leaf in jax.tree.leaves(one))
    for derived in vars(agent)["Resolved"].__annotations__ if "Resolved" in vars(agent) else ():
        assert getattr(one, derived) is not None


@pytest.mark.parametrize("name", REGISTRY)
def test_other_numbers_run_the_same_program(name):
    agent, config = small(name)
    if name == "dqn":
        config = dataclasses.replace(config, double=False)  # by default it depends on the temperature
    numbers = {
        f.name: getattr(config, f.name)
        for f in dataclasses.fields(config)
        if isinstance(getattr(config, f.name), float) and not f.metadata.get("static")
    }
    other = {key: 0.9 * value or 0.25 for key, value in numbers.items()}
    assert len(other) > 2
    spec, traces = SPECS[REGISTRY[name].actions[0]], []

    @eqx.filter_jit
    def counted(config, state, batch):
        traces.append(1)
        return agent.update(config, state, batch, FINISHED, jr.key(0))

    for given in (config, dataclasses.replace(config, **other)):
        resolved = agent.resolve(given, spec)
        counted(resolved, agent.init(resolved, spec, jr.key(0)), batch_of(agent.data(resolved), spec, 0))
    assert len(traces) == 1


def single_transitions(name):
    agent, config = small(name)
    return isinstance(agent.data(agent.resolve(config, SPECS[REGISTRY[name].actions[0]])), Uniform)


@pytest.mark.parametrize("name", [name for name in REGISTRY if single_transitions(name)])
def test_only_termination_cuts_off_the_successor(name):
    """Truncation does not enter the update."""
    agent, config = small(name)
    if name == "xqc":
        # Moments of a batch include every successor, and probabilities add up to 1 only up to rounding.
        config = dataclasses.replace(config, normalisation="none", atoms=1)
    spec = SPECS[REGISTRY[name].actions[0]]
    config = agent.resolve(config, spec)
    state, batch = agent.init(config, spec, jr.key(0)), batch_of(agent.data(config), spec, 0)
    moved = batch._replace(next_obs=batch.next_obs + 1.0, truncated=~batch.truncated)
    update = eqx.filter_jit(lambda batch: agent.update(config, state, batch, FINISHED, jr.key(1))[0])
    for terminated, same in ((jnp.ones_like(batch.terminated), True), (jnp.zeros_like(batch.terminated), False)):
        one, other = (update(b._replace(terminated=terminated)) for b in (batch, moved))
        assert bool(eqx.tree_equal(one.params, other.params)) is same


def test_optional_names_are_documented_and_found_by_name():
    for name, protocol in OPTIONAL.items():
        assert (vars(protocol)[name].__doc__ or "").startswith("Return")
    assert set(agents_with("with_prior")) == {"dqn", "discrete-sac", "ppo"}
    assert set(agents_with("soft_q")) == {"soft-q", "dqn", "discrete-sac"}
    assert optional(get_agent("td3"), "temperature") is None


@pytest.mark.parametrize("name", REGISTRY)
def test_carried_paths_are_parts_of_the_state(name):
    agent, config = small(name)
    config = agent.resolve(config, SPECS[REGISTRY[name].actions[0]])
    names = flatten(agent.init(config, SPECS[REGISTRY[name].actions[0]], jr.key(0)))
    transferred = optional(agent, "transferred_paths")
    for keep in (False, True):
        paths = base.TRANSFERRED[:1] if transferred is None else transferred(config, config, keep)
        assert all(any(f"{array}/".startswith(f"{path}/") for array in names) for path in paths)


class Needy(Settings):
    needed: float


class Plain(Settings):
    rate: float = field(0.1, "Learning rate.")


def agent_of(**names):
    """An agent that does nothing but what is given."""
    sac = get_agent("sac")
    config = sac.resolve(small("sac")[1], ref.SPEC)
    given = {
        "Config": Plain,
        "resolve": lambda c, spec: c,
        "init": lambda c, spec, key: sac.init(config, spec, key),
        "policy": lambda c, state: sac.policy(config, state),
        "data": lambda c: sac.data(config),
        "update": lambda c, state, batch, progress, key: sac.update(config, state, batch, progress, key),
    }
    return SimpleNamespace(**{name: it for name, it in (given | names).items() if it is not None})


class Forgetful(eqx.Module):
    """Its carry grows with every step."""

    def initial_carry(self):
        return jnp.zeros(3)

    def act(self, carry, obs, progress, key, greedy):
        return jnp.zeros(ref.SPEC.action.size), jnp.append(carry, 0.0), {}


def test_an_agent_of_anyone_that_meets_the_contract_passes():
    check_agent(agent_of(), ref.SPEC)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"policy": None, "update": None, "data": 3}, ["policy is missing", "update is missing", "data is not a fun"]),
        ({"Config": dict}, ["Config is not a dataclass"]),
        ({"init": lambda c, spec, key: 1 / 0}, ["init.. raises ZeroDivisionError"]),
        ({"init": lambda c, spec, key: {"scale": 1.0}}, ["init.. must return a pytree of arrays", "scale.*float"]),
        ({"policy": lambda c, state: state}, ["policy.. must return a Policy; State lacks"]),
        ({"policy": lambda c, state: Forgetful()}, ["act.greedy=False. must return a carry of the shapes"]),
        ({"data": lambda c: 256}, ["data.. must return a kind of data", "not int"]),
        ({"update": lambda c, s, b, p, k: s}, ["update.. must return a state and a dictionary, not State"]),
        ({"update": lambda c, s, b, p, k: (s.params, {})}, ["structure", "not Params"]),
        ({"update": lambda c, s, b, p, k: (s, {"q": b.reward})}, ["0-d arrays by name; 'q'"]),
        ({"transferred_paths": lambda c, source, keep: "params"}, ["transferred_paths.. must return a tuple of paths"]),
        ({"temperature": lambda c, s, p: jnp.ones(2)}, ["temperature.. must return a 0-d array or None"]),
        ({"continued": lambda c, p, final: {"step": 1}}, ["continued.. must return settings of Config"]),
        ({"soft_q": lambda c, s, scaling: s}, ["soft_q.. must return a TablePart or an EnergyPart"]),
        (
            {"policy": lambda c, s: s, "data": lambda c: None, "finite": 3.0},
            ["finite is not a function"],
        ),
        (
            {"policy": lambda c, s: s, "data": lambda c: "replay", "transferred_paths": lambda c, source, keep: 3},
            [r"\(1\) data", r"\(2\) policy", r"\(3\) transferred_paths"],
        ),
    ],
)
def test_everything_in_which_an_agent_departs_is_reported_at_once(names, words):
    with pytest.raises(UsageError, match=".*".join(words)):
        check_agent(agent_of(**names), ref.SPEC)


def test_a_setting_without_a_default_is_reported():
    with pytest.raises(UsageError, match=r"Config\.needed has no default"):
        check_agent(agent_of(Config=Needy), ref.SPEC)


def test_a_state_must_keep_its_shapes():
    network = MLP(3, (4,), 2, jr.key(0))

    def update(config, state, batch, progress, key):
        return eqx.tree_at(lambda s: s.layers[0].bias, state, jnp.zeros(5)), {}

    agent = agent_of(init=lambda c, spec, key: network, policy=lambda c, s: s, update=update)
    with pytest.raises(UsageError, match=r"every shape.*bias becomes float32\[5\] from float32\[4\]"):
        check_agent(agent, ref.SPEC)


def test_defaults_of_training_options_are_checked_by_name():
    agent, config = small("ppo")
    config = agent.resolve(config, ref.SPEC)
    assert loop_defaults_of(agent, config, ref.SPEC, {"envs", "normalise_obs", "normalise_rewards"})["normalise_obs"]
    assert loop_defaults_of(get_agent("sac"), None, ref.SPEC, {"envs"}) == {}
    with pytest.raises(UsageError, match=r"'normalise_obs'.*not an option that an agent may set"):
        loop_defaults_of(agent, config, ref.SPEC, {"envs", "normalise_rewards"})
    wrong = wrapping(agent, loop_defaults=lambda config, spec: ["envs"])
    with pytest.raises(UsageError, match="dictionary"):
        loop_defaults_of(wrong, config, ref.SPEC, {"envs"})


def test_an_agent_that_wraps_is_found_with_its_inner_one_only():
    outer: Any = ModuleType("outer")
    outer.wrap = lambda inner: wrapping(inner, data=lambda config: Uniform(batch_size=3, capacity=9))
    found = get_agent((outer, "sac"))
    assert found.data(None).batch_size == 3
    assert found.init is get_agent("sac").init
    assert get_agent((outer, "sac")) is found
    for agent, words in ((outer, "wraps another agent.*`inner`"), (("sac", "td3"), "takes no inner agent")):
        with pytest.raises(UsageError, match=words):
            get_agent(agent)
    with pytest.raises(UsageError, match="no losses"):
        wrapping(get_agent("sac"), losses=3)
