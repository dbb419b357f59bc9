"""What training asks of an algorithm."""

import importlib
from types import ModuleType
from typing import Any, Protocol

import equinox as eqx
from jaxtyping import PRNGKeyArray, Scalar

from entrax.agents.registry import REGISTRY
from entrax.errors import UsageError, closest
from entrax.policies.base import HistoryPolicy, Policy
from entrax.references import absolute, import_named, is_file, reference_of, resolve
from entrax.replay import Data
from entrax.spec import Continuous, Progress, Spec, Transition


class Agent(Protocol):
    """An algorithm is a module with these names; `config` is what `resolve` returned.

    It may also have `loop_defaults(config, spec) → dict`: its own defaults for options of the training loop, by name,
    which hold where neither the user nor the preset names one.
    """

    Config: type[eqx.Module]

    def resolve(self, config: Any, spec: Spec) -> Any:
        """The configuration with everything filled in that depends on `spec`, and numbers as 0-d arrays."""
        ...

    def init(self, config: Any, spec: Spec, key: PRNGKeyArray) -> Any: ...

    def policy(self, config: Any, state: Any) -> Policy | HistoryPolicy: ...

    def data(self, config: Any) -> Data: ...

    def update(
        self, config: Any, state: Any, batch: Transition, progress: Progress, key: PRNGKeyArray
    ) -> tuple[Any, dict[str, Scalar]]:
        """One step of learning from one batch, and what is worth reporting of it."""
        ...


NAMES = ("Config", "resolve", "init", "policy", "data", "update")
OPTIONAL_NAMES = ("with_prior", "loop_defaults")


def get_agent(agent: str | Any) -> ModuleType:
    """Return an algorithm as a module.

    Args:
        agent: a name of the registry, `module:name`, a file (`my_sac.py`, or `my_sac.py:name`), or any object with the
            names of `Agent`, such as a module.

    Raises:
        EntraxError: for an unknown name, with the closest one, or for an agent that lacks a function.
    """
    if not isinstance(agent, str):
        return _as_module(agent, agent_name(agent))
    if agent in REGISTRY:
        return importlib.import_module(REGISTRY[agent].module)
    if is_file(agent):
        return _as_module(import_named(agent), agent)
    if ":" not in agent:
        raise UsageError(f"`entrax agents` lists no agent called {agent!r}{closest(agent, REGISTRY)}")
    path, attribute = agent.rsplit(":", 1)
    module = import_named(path)
    submodule = attribute not in vars(module) and not is_file(path)
    return _as_module(import_named(f"{path}.{attribute}") if submodule else resolve(agent), agent)


def agent_name(agent: str | Any) -> str:
    """Return what a run's config.json calls an agent: what `get_agent` takes, as far as a name can say it."""
    if isinstance(agent, str):
        return absolute(agent)
    if isinstance(agent, ModuleType):
        name, reference = agent.__name__, _module_reference(agent)
    else:
        name, reference = getattr(agent, "__qualname__", type(agent).__qualname__), reference_of(agent)
    return reference or f"{name}-object"  # which is no name of the registry, whatever the object is called


def _module_reference(module: ModuleType) -> str | None:
    for name, known in REGISTRY.items():
        if known.module == module.__name__:
            return name
    package, _, name = module.__name__.rpartition(".")
    file = vars(module).get("__file__")
    return f"{package}:{name}" if package and file else file


def _as_module(agent: Any, name: str) -> ModuleType:
    """Return the agent as a module, which JAX can tell from others. Raises EntraxError if it lacks something."""
    given = {attribute: getattr(agent, attribute, None) for attribute in NAMES + OPTIONAL_NAMES}
    missing = [attribute for attribute in NAMES if given[attribute] is None]
    if missing:
        raise UsageError(f"Agent {name!r} lacks {', '.join(missing)}; see entrax.agents.base.Agent.")
    if isinstance(agent, ModuleType):
        return agent
    module = ModuleType(name)
    vars(module).update({attribute: value for attribute, value in given.items() if value is not None})
    return module


def continuous_size(spec: Spec, agent: str) -> int:
    """Return the entries of a continuous action. Raises EntraxError for discrete actions."""
    if not isinstance(spec.action, Continuous):
        raise UsageError(f"Agent {agent!r} needs continuous actions (a Box), and this environment's are discrete.")
    return spec.action.size


def vectors_only(spec: Spec, agent: str) -> None:
    """Raises EntraxError if the environment observes an image, which `agent` does not take."""
    if spec.image is not None:
        able = ", ".join(name for name, entry in REGISTRY.items() if entry.images)
        size = "×".join(map(str, spec.image.shape))
        raise UsageError(f"Agent {agent!r} takes no images, and this environment observes one of {size}; {able} do.")
