"""The contract between training and an algorithm: the required names, the optional ones, and how an agent is found.

An agent is a module, or any object, with the names of `Agent`. What training can do beyond that depends on optional
names, one protocol each in `OPTIONAL`; training never looks at an agent's own name. `entrax.agents.check.check_agent`
reports everything in which an agent departs from this page.

In all of these functions `config` is what `resolve` returned and `state` what `init` or `update` returned. Two types of
configuration keep None out of formulas: `Config` is the input, in which a derived setting may be None, and the
subclass that `resolve` returns lists the derived settings again without it (`entrax.fields.DERIVED`). Settings of these
names mean the same in every agent: `discount`, without which rewards cannot be scaled; `temperature`, a number, or a
text where it is learned; `replay_size`, `batch_size` and `rollout_steps`, which messages refer to.
"""

import functools
import importlib
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any, Protocol

import equinox as eqx
from jaxtyping import PRNGKeyArray, PyTree, Scalar

from entrax.agents.registry import REGISTRY
from entrax.errors import UsageError, alternatives, closest
from entrax.policies.base import Policy
from entrax.policies.composed import SoftQ
from entrax.references import absolute, import_named, is_file, reference_of, resolve
from entrax.replay import Data
from entrax.spec import Continuous, Progress, Spec, Transition


class Agent(Protocol):
    """The names that every agent has."""

    Config: type[eqx.Module]
    """A frozen dataclass of settings, each with a default (`entrax.fields.Settings`)."""

    def resolve(self, config: Any, spec: Spec) -> Any:
        """Return the configuration with its derived settings filled and its numbers as 0-d arrays.

        Raises EntraxError for an environment that the agent does not take, or for settings that contradict each other.
        """
        ...

    def init(self, config: Any, spec: Spec, key: PRNGKeyArray) -> Any:
        """Return the initial state: a pytree of arrays, whose paths are the names of its arrays in checkpoints."""
        ...

    def policy(self, config: Any, state: Any) -> Policy:
        """Return how to act with this state."""
        ...

    def data(self, config: Any) -> Data:
        """Return the kind of batches that `update` takes: one of `entrax.replay`'s."""
        ...

    def update(
        self, config: Any, state: Any, batch: Transition, progress: Progress, key: PRNGKeyArray
    ) -> tuple[Any, dict[str, Scalar]]:
        """Return the state after one step of learning, of the same shapes, and what to report of the step, by name."""
        ...


class HasLoopDefaults(Protocol):
    def loop_defaults(self, config: Any, spec: Spec) -> dict[str, int | float | bool]:
        """Return the agent's own defaults of training options. They hold where neither user nor preset names one."""
        ...


class TakesPrior(Protocol):
    def with_prior(self, config: Any, state: Any, prior: Any) -> Any:
        """Return the state with a reference policy π₀ as its `prior`, which no update changes.

        Raises EntraxError where the prior would not count, or is not over the same actions.
        """
        ...


class HasTemperature(Protocol):
    def temperature(self, config: Any, state: Any | None, progress: Progress) -> Scalar | None:
        """Return α at this point of the run, in units of the reward; by default the setting `temperature`.

        `state` is None where a checkpoint holds only a policy. Return None where α cannot be known then.
        """
        ...


class SetsTemperature(Protocol):
    def with_temperature(self, config: Any, state: Any, temperature: Scalar) -> tuple[Any, Any]:
        """Return configuration and state at another temperature, so that fine-tuning can anneal it.

        By default the setting `temperature` is replaced.
        """
        ...


class Continues(Protocol):
    def continued(self, config: Any, progress: Progress, final_temperature: float | None) -> dict[str, Any]:
        """Return the settings with which a fine-tuned run goes on where the schedules of this one stand.

        With a `final_temperature`, the new run anneals to it over its whole length. Leave `temperature` out to have
        that done by `with_temperature`.
        """
        ...


class CarriesOver(Protocol):
    def carried(self, config: Any, source: Any, keep_temperature: bool) -> tuple[str, ...]:
        """Return the paths of the state that fine-tuning carries over; by default `params` and `targets`.

        Args:
            config: of the new run.
            source: the resolved configuration of the run that the arrays come from.
            keep_temperature: whether a learned temperature is carried over as well.

        Raises EntraxError where the arrays mean something else under `config`.
        """
        ...


class HasSoftQ(Protocol):
    def soft_q(self, config: Any, state: Any, scaling: Any) -> SoftQ:
        """Return the learned soft Q-function, for composing. `scaling` is the run's own, of observations."""
        ...


class HasFinitePart(Protocol):
    def finite(self, state: Any) -> PyTree:
        """Return the state with None in place of the arrays that may hold infinities or NaN.

        Any other number that is not finite ends the run as diverged, and so does one in the policy. By default the
        whole state must be finite.
        """
        ...


class Wraps(Protocol):
    def wrap(self, inner: ModuleType) -> Any:
        """Return an agent that contains another one, such as `wrapping(inner, update=…)`.

        A module with this name needs none of the others. Its user names the inner agent beside it (`--inner`). What
        `Config` it returns should subclass `inner.Config`, so that the inner agent's settings are settings of it.
        """
        ...


REQUIRED = ("Config", "resolve", "init", "policy", "data", "update")
OPTIONAL: dict[str, type] = {
    "loop_defaults": HasLoopDefaults,
    "with_prior": TakesPrior,
    "temperature": HasTemperature,
    "with_temperature": SetsTemperature,
    "continued": Continues,
    "carried": CarriesOver,
    "soft_q": HasSoftQ,
    "finite": HasFinitePart,
    "wrap": Wraps,
}
CARRIED = ("params", "targets")
"""What fine-tuning carries over of an agent without `carried`."""


def optional(agent: ModuleType, name: str) -> Any | None:
    """Return an agent's function of one of the `OPTIONAL` names; None if it has none."""
    assert name in OPTIONAL
    return vars(agent).get(name)


def temperature_of(agent: ModuleType, config: Any, state: Any | None, progress: Progress) -> float | None:
    """Return α at a point of a run; None for an agent without a temperature, or where it cannot be known."""
    own, setting = optional(agent, "temperature"), getattr(config, "temperature", None)
    alpha = setting if own is None else own(config, state, progress)
    return None if alpha is None or isinstance(alpha, str) else float(alpha)


def at_temperature(agent: ModuleType, config: Any, state: Any, temperature: Scalar) -> tuple[Any, Any]:
    """Return configuration and state of an agent at another temperature."""
    own = optional(agent, "with_temperature")
    if own is not None:
        config, state = own(config, state, temperature)
        return config, state
    return eqx.tree_at(lambda c: c.temperature, config, temperature), state


def loop_defaults_of(agent: ModuleType, config: Any, spec: Spec, options: Collection[str]) -> dict[str, Any]:
    """Return an agent's own defaults of training options, by name; empty for an agent without any.

    Args:
        agent: the algorithm.
        config: its resolved configuration.
        spec: of the environment.
        options: the names of those options that an agent may set: the ones used only after `config` was resolved.

    Raises:
        EntraxError: for a default of anything else.
    """
    own = optional(agent, "loop_defaults")
    defaults = {} if own is None else own(config, spec)
    if not isinstance(defaults, Mapping):
        raise UsageError(f"loop_defaults of {agent.__name__} must return a dictionary, got {defaults!r}.")
    for name in defaults:
        if name not in options:
            raise UsageError(
                f"loop_defaults of {agent.__name__} names {name!r}, which is not an option that an agent may set"
                f"{closest(str(name), options)}"
            )
    return dict(defaults)


def finite_part(agent: ModuleType, state: Any) -> PyTree:
    """Return the state without the arrays of an agent that may hold infinities or NaN."""
    own = optional(agent, "finite")
    return state if own is None else own(state)


def agents_with(name: str) -> tuple[str, ...]:
    """Return the agents of the registry that have an optional name."""
    return tuple(agent for agent in REGISTRY if optional(get_agent(agent), name) is not None)


def wrapping(inner: ModuleType, **names: Any) -> ModuleType:
    """Return an agent that is `inner` except for the given names."""
    unknown = names.keys() - {*REQUIRED, *OPTIONAL}
    if unknown:
        raise UsageError(f"An agent has no {', '.join(sorted(unknown))}; its names are in entrax.agents.base.")
    module = ModuleType(f"{inner.__name__}_wrapped")
    vars(module).update({name: value for name, value in vars(inner).items() if name in (*REQUIRED, *OPTIONAL)} | names)
    return module


def get_agent(agent: str | Any) -> ModuleType:
    """Return an algorithm as a module.

    Args:
        agent: a name of the registry, `module:name`, a file (`my_sac.py`, or `my_sac.py:name`), or any object with the
            names of `Agent`, such as a module. Or a pair of these: an agent that wraps another, and that one.

    Raises:
        EntraxError: for an unknown name, with the closest one, or for an agent that lacks a function.
    """
    if isinstance(agent, tuple):
        outer, inner = agent
        return _wrapped(_found(outer), get_agent(inner))
    found = _found(agent)
    if optional(found, "wrap") is not None:
        raise UsageError(
            f"Agent {agent_name(agent)!r} wraps another agent: name that one too, by `inner`, or as the second of a "
            "pair in Python."
        )
    return found


def wraps(agent: str | Any) -> bool:
    """Return whether an agent needs an inner one."""
    return optional(_found(agent), "wrap") is not None


def _found(agent: str | Any) -> ModuleType:
    if not isinstance(agent, str):
        return _as_module(agent, agent_name(agent))
    if agent in REGISTRY:
        return importlib.import_module(REGISTRY[agent].module)
    if is_file(agent):
        return _as_module(import_named(agent), agent)
    if ":" not in agent:
        raise UsageError(
            f"`agent` must be a name of `entrax agents`, module:name or a file, got {agent!r}{closest(agent, REGISTRY)}"
        )
    path, attribute = agent.rsplit(":", 1)
    module = import_named(path)
    submodule = attribute not in vars(module) and not is_file(path)
    return _as_module(import_named(f"{path}.{attribute}") if submodule else resolve(agent), agent)


@functools.cache  # one module for a pair, so that its programs are compiled once
def _wrapped(outer: ModuleType, inner: ModuleType) -> ModuleType:
    wrap = optional(outer, "wrap")
    if wrap is None:
        raise UsageError(f"Agent {outer.__name__!r} has no `wrap`: it takes no inner agent.")
    return _as_module(wrap(inner), f"{outer.__name__} around {inner.__name__}")


def agent_name(agent: str | Any) -> str:
    """Return what a run's config.json calls an agent: what `get_agent` takes, as far as a name can say it."""
    if isinstance(agent, str):
        return absolute(agent)
    if isinstance(agent, ModuleType):
        name, reference = agent.__name__, _module_reference(agent)
    else:
        name, reference = getattr(agent, "__qualname__", type(agent).__qualname__), reference_of(agent)
    return reference or f"{name}-object"  # which is no name of the registry, whatever the object is called


def agent_names(agent: str | Any) -> dict[str, str]:
    """Return what config.json holds of an agent: its name under `agent` and, of a pair, that of the `inner` one."""
    if isinstance(agent, tuple):
        return {"agent": agent_name(agent[0]), "inner": agent_name(agent[1])}
    return {"agent": agent_name(agent)}


def _module_reference(module: ModuleType) -> str | None:
    for name, known in REGISTRY.items():
        if known.module == module.__name__:
            return name
    package, _, name = module.__name__.rpartition(".")
    file = vars(module).get("__file__")
    return f"{package}:{name}" if package and file else file


def _as_module(agent: Any, name: str) -> ModuleType:
    """Return the agent as a module, which JAX can tell from others. Raises EntraxError if it lacks something."""
    given = {attribute: getattr(agent, attribute, None) for attribute in (*REQUIRED, *OPTIONAL)}
    missing = [attribute for attribute in REQUIRED if given[attribute] is None]
    if missing and given["wrap"] is None:
        raise UsageError(f"Agent {name!r} lacks {', '.join(missing)}; see entrax.agents.base.Agent.")
    if isinstance(agent, ModuleType):
        return agent
    module = ModuleType(name)
    vars(module).update({attribute: value for attribute, value in given.items() if value is not None})
    return module


def continuous_size(spec: Spec, agent: str) -> int:
    """Return the entries of a continuous action. Raises EntraxError for discrete actions."""
    if not isinstance(spec.action, Continuous):
        space = type(spec.action).__name__
        able = alternatives(name for name, entry in REGISTRY.items() if space in entry.actions)
        raise UsageError(
            f"Agent {agent!r} needs continuous actions (a Box). For this environment's {space} use {able}."
        )
    return spec.action.size


def vectors_only(spec: Spec, agent: str) -> None:
    """Raise EntraxError if the environment observes an image, which `agent` does not take."""
    if spec.image is not None:
        able = alternatives(name for name, entry in REGISTRY.items() if entry.images)
        size = "×".join(map(str, spec.image.shape))
        raise UsageError(f"Agent {agent!r} takes no images. For this environment's, of {size}, use {able}.")
