"""How an agent is found: by a name of the registry, a reference to code, or an object."""

import functools
import importlib
from types import ModuleType
from typing import Any

from entrax.agents.base import OPTIONAL, REQUIRED, optional
from entrax.agents.registry import REGISTRY
from entrax.errors import UsageError, closest
from entrax.references import absolute, import_named, is_file, reference_of, resolve


def get_agent(agent: str | Any) -> ModuleType:
    """Return an algorithm as a module.

    Args:
        agent: a name of the registry, `module:name`, a file (`my_sac.py`, or `my_sac.py:name`), or any object with the
            names of `Agent`, such as a module. Or a pair of these: an agent that wraps another, and that one, which has
            a default for those of the registry.

    Raises:
        EntraxError: for an unknown name, with the closest one, or for an agent that lacks a function.
    """
    if isinstance(agent, tuple):
        outer, inner = agent
        return _wrapped(_module_of(outer), get_agent(inner))
    module = _module_of(agent)
    if isinstance(agent, str) and agent in REGISTRY and REGISTRY[agent].inner:
        return _wrapped(module, get_agent(REGISTRY[agent].inner))
    if optional(module, "wrap") is not None:
        raise UsageError(
            f"Agent {agent_name(agent)!r} wraps another agent: name that one too, by `inner`, or as the second of a "
            "pair in Python."
        )
    return module


def wraps(agent: str | Any) -> bool:
    """Return whether an agent needs an inner one."""
    return optional(_module_of(agent), "wrap") is not None


def _module_of(agent: str | Any) -> ModuleType:
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
    """Return the agent as a hashable module. Raises EntraxError if it lacks a required name."""
    given = {attribute: getattr(agent, attribute, None) for attribute in (*REQUIRED, *OPTIONAL)}
    missing = [attribute for attribute in REQUIRED if given[attribute] is None]
    if missing and given["wrap"] is None:
        raise UsageError(f"Agent {name!r} lacks {', '.join(missing)}; see entrax.agents.base.Agent.")
    if isinstance(agent, ModuleType):
        return agent
    module = ModuleType(name)
    vars(module).update({attribute: value for attribute, value in given.items() if value is not None})
    return module


def agents_with(name: str) -> tuple[str, ...]:
    """Return the agents of the registry that have an optional name."""
    return tuple(agent for agent in REGISTRY if optional(get_agent(agent), name) is not None)
