"""A report of everything in which an agent departs from the contract of `entrax.agents.base`.

Only shapes are computed, so a mistake shows before a run has a directory.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import tree_util

from entrax.agents.base import OPTIONAL, REQUIRED
from entrax.agents.lookup import agent_name
from entrax.errors import EntraxError, UsageError
from entrax.policies.base import Policy
from entrax.policies.composed import EnergyPart, TablePart
from entrax.policies.controller import FINISHED, identity_scaling
from entrax.replay import Data, Rollout, UniformReplay
from entrax.spec import Continuous, Spec, Transition

Array = jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct


def check_agent(agent: Any, spec: Spec, config: Any = None) -> None:
    """Check an agent against the contract.

    Args:
        agent: a module, or another object with the names of `entrax.agents.base.Agent`.
        spec: an environment that the agent takes.
        config: a resolved configuration; by default that of `Config()`.

    Raises:
        EntraxError: with everything that is missing, or is not as the contract says. Also what `resolve` itself raises
            for an environment that the agent does not take.
    """
    problems = _names(agent)
    if not problems:
        problems = _Check(agent, spec).problems(config)
    if problems:
        found = " ".join(f"({i}) {problem}." for i, problem in enumerate(problems, 1))
        raise UsageError(f"Agent {agent_name(agent)!r} does not meet the contract of entrax.agents.base: {found}")


def _names(agent: Any) -> list[str]:
    """What is missing, not callable, or no configuration."""
    given = {name: getattr(agent, name, None) for name in (*REQUIRED, *OPTIONAL)}
    problems = [f"{name} is missing" for name in REQUIRED if given[name] is None]
    problems += [f"{name} is not a function" for name, it in given.items() if it is not None and not callable(it)]
    config = given["Config"]
    if config is None:
        return problems
    if not (isinstance(config, type) and issubclass(config, eqx.Module)):
        return [*problems, "Config is not a dataclass: subclass entrax.fields.Settings"]
    for field in dataclasses.fields(config):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"Config.{field.name} has no default")
    return problems


class _Check:
    """The shapes of what an agent's functions return, and what is wrong with them."""

    def __init__(self, agent: Any, spec: Spec):
        self.agent, self.spec = agent, spec
        self.found: list[str] = []

    def problems(self, config: Any) -> list[str]:
        if config is None:
            config = self.returned("resolve", lambda: self.agent.resolve(self.agent.Config(), self.spec))
        state = self.shapes("init", lambda: self.agent.init(config, self.spec, jr.key(0)))
        data = self.returned("data", lambda: self.agent.data(config))
        if data is not None and not isinstance(data, Data):
            self.found.append(f"data() must return a kind of data of entrax.replay, such as Uniform, not {_kind(data)}")
            data = None
        if state is not None:
            others = [f"{name} is a {_kind(leaf)}" for name, leaf in _leaves(state) if not isinstance(leaf, Array)]
            if others:
                self.found.append(f"init() must return a pytree of arrays only; {_few(others)}")
            self.policy(config, state)
            if data is not None and not others:
                self.update(config, state, data)
            self.optional(config, state)
        return self.found

    def returned(self, name: str, call: Callable[[], Any]) -> Any:
        """What a function returns; None, with a problem, if it raises."""
        try:
            result = call()
        except EntraxError:
            raise
        except Exception as error:  # a third party's code may raise anything
            first = next(iter(str(error).strip().splitlines()), "")
            self.found.append(f"{name}() raises {type(error).__name__}: {first[:200]}")
            return None
        if result is None:
            self.found.append(f"{name}() returns nothing")
        return result

    def shapes(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """As `returned`, with shapes in place of arrays."""
        return self.returned(name, lambda: eqx.filter_eval_shape(function, *arguments))

    def policy(self, config: Any, state: Any) -> None:
        policy = self.shapes("policy", self.agent.policy, config, state)
        if policy is None:
            return
        if not isinstance(policy, Policy):
            lacks = [n for n in dir(Policy) if not n.startswith("_") and getattr(policy, n, None) is None]
            self.found.append(f"policy() must return a Policy; {_kind(policy)} lacks {', '.join(lacks)}")
            return
        obs = jnp.zeros(self.spec.obs_size, self.spec.obs_dtype)
        carry = self.shapes("policy().initial_carry", lambda policy: policy.initial_carry(), policy)
        if carry is None:
            return
        for greedy in (False, True):
            name = f"policy().act(greedy={greedy})"

            def act(policy: Any, carry: Any, greedy: bool = greedy) -> Any:
                return policy.act(carry, obs, FINISHED, None if greedy else jr.key(0), greedy)

            result = self.shapes("policy().act", act, policy, carry)
            if result is None:
                continue
            if not (isinstance(result, tuple) and len(result) == 3):
                self.found.append(f"{name} must return an action, a carry and a dictionary, not {_kind(result)}")
                continue
            action, after, info = result
            self.action(name, action)
            self.info(name, info)
            if [(n, _kind(x)) for n, x in _leaves(after)] != [(n, _kind(x)) for n, x in _leaves(carry)]:
                self.found.append(f"{name} must return a carry of the shapes and dtypes of initial_carry()")

    def action(self, name: str, action: Any) -> None:
        kind = jnp.floating if isinstance(self.spec.action, Continuous) else jnp.integer
        shape = (self.spec.action.size,)
        if not isinstance(action, Array) or action.shape != shape or not jnp.issubdtype(action.dtype, kind):
            wanted = f"{'floats' if kind is jnp.floating else 'integers'} of shape {shape}"
            self.found.append(f"actions of {name} must be {wanted}, not {_kind(action)}")

    def info(self, name: str, info: Any) -> None:
        if not isinstance(info, dict):
            self.found.append(f"{name} must report a dictionary, not {_kind(info)}")
            return
        for key, value in info.items():
            if not isinstance(key, str) or not isinstance(value, Array) or value.shape != ():
                self.found.append(f"{name} must report 0-d arrays by name; {key!r} is {_kind(value)}")

    def update(self, config: Any, state: Any, data: Data) -> None:
        batch = self.returned("data().draw", lambda: _batch(data, self.spec))
        if batch is None:
            return
        result = self.shapes("update", self.agent.update, config, state, batch, FINISHED, jr.key(0))
        if result is None:
            return
        if not (isinstance(result, tuple) and len(result) == 2):
            self.found.append(f"update() must return a state and a dictionary, not {_kind(result)}")
            return
        new, info = result
        self.info("update()", info)
        if not eqx.tree_equal(jax.tree.map(lambda _: 0, new), jax.tree.map(lambda _: 0, state)):
            self.found.append(f"update() must return a state of the structure that init() returns, not {_kind(new)}")
            return
        pairs = zip(_leaves(state), _leaves(new), strict=True)
        changed = [f"{name} becomes {_kind(y)} from {_kind(x)}" for (name, x), (_, y) in pairs if _kind(x) != _kind(y)]
        if changed:
            self.found.append(f"update() must keep every shape and dtype of the state; {_few(changed)}")

    def optional(self, config: Any, state: Any) -> None:
        """The optional names, but for those that need a prior or an inner agent."""
        given = {name: it for name in OPTIONAL if (it := getattr(self.agent, name, None)) is not None}
        alpha = jnp.ones(())
        calls: dict[str, tuple[Callable[[], Any], Callable[[Any], bool], str]] = {
            "loop_defaults": (lambda: given["loop_defaults"](config, self.spec), _is_settings, "options by name"),
            "temperature": (lambda: _temperatures(given["temperature"], config, state), bool, "a 0-d array or None"),
            "with_temperature": (
                lambda: eqx.filter_eval_shape(given["with_temperature"], config, state, alpha),
                lambda pair: isinstance(pair, tuple) and len(pair) == 2,
                "a configuration and a state",
            ),
            "continued": (
                lambda: given["continued"](config, FINISHED, None),
                lambda settings: _is_settings(settings) and settings.keys() <= _settings_of(self.agent),
                "settings of Config by name",
            ),
            "transferred_paths": (
                lambda: given["transferred_paths"](config, config, True),
                lambda paths: isinstance(paths, tuple) and all(isinstance(path, str) for path in paths),
                "a tuple of paths",
            ),
            "finite": (lambda: eqx.filter_eval_shape(given["finite"], state), lambda part: True, ""),
            "soft_q": (
                lambda: eqx.filter_eval_shape(given["soft_q"], config, state, identity_scaling(self.spec)),
                lambda part: isinstance(part, TablePart | EnergyPart),
                "a TablePart or an EnergyPart of entrax.policies.composed",
            ),
        }
        for name in given.keys() & calls.keys():
            call, is_right, wanted = calls[name]
            result = self.returned(name, call)
            if result is not None and not is_right(result):
                self.found.append(f"{name}() must return {wanted}, not {_kind(result)}")


def _batch(data: Data, spec: Spec) -> Transition:
    """One batch of the shapes that training draws."""
    envs = data.least_envs if isinstance(data, Rollout) else 1
    needed = max(data.steps_needed(envs), envs)
    replay = UniformReplay(spec, needed, envs, data.carry)
    replay.rows.terminated[:] = replay.rows.truncated[:] = False
    replay.appended = replay.times  # as if it were full: only shapes count
    return jax.tree.map(lambda rows: rows[0], data.draw(replay, np.random.default_rng(0), 1))


def _temperatures(function: Callable[..., Any], config: Any, state: Any) -> bool:
    """Whether α is a 0-d array or None, with and without a state."""
    found = [eqx.filter_eval_shape(function, config, known, FINISHED) for known in (state, None)]
    return all(alpha is None or (isinstance(alpha, Array) and alpha.shape == ()) for alpha in found)


def _is_settings(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def _settings_of(agent: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(agent.Config)}


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    return [(tree_util.keystr(path), leaf) for path, leaf in tree_util.tree_flatten_with_path(tree)[0]]


def _kind(value: Any) -> str:
    """A value in words: an array by dtype and shape, anything else by type."""
    return f"{value.dtype}{list(value.shape)}" if isinstance(value, Array) else type(value).__name__


def _few(clauses: list[str]) -> str:
    return ", ".join(clauses[:3]) + (f" and {len(clauses) - 3} more" if len(clauses) > 3 else "")
