"""The contract between training and an algorithm: the required names and the optional ones.

An agent is a module, or any object, with the names of `Agent`. What training can do beyond that depends on optional
names, one protocol each in `OPTIONAL`; training never looks at an agent's own name. `entrax.agents.check.check_agent`
reports everything in which an agent departs from this page.

In all of these functions `config` is what `resolve` returned and `state` what `init` or `update` returned. Two types of
configuration keep None out of formulas: `Config` is the input, in which a derived setting may be None, and the
subclass that `resolve` returns lists the derived settings again without it (`entrax.fields.DERIVED`). Settings of these
names mean the same in every agent: `discount`, without which rewards cannot be scaled; `temperature`, a number, or a
text where it is learned; `replay_size`, `batch_size` and `rollout_steps`, which messages refer to.
"""

from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any, Protocol

import equinox as eqx
from jaxtyping import PRNGKeyArray, PyTree, Scalar

from entrax.agents.registry import REGISTRY
from entrax.errors import UsageError, alternatives, closest
from entrax.policies.base import Policy
from entrax.policies.composed import SoftQ
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
        """Return settings with which a fine-tuned run continues this run's schedules.

        With a `final_temperature`, the new run anneals to it over its whole length. Return no `temperature` if
        `with_temperature` anneals it.
        """
        ...


class Transfers(Protocol):
    def transferred_paths(self, config: Any, source: Any, keep_temperature: bool) -> tuple[str, ...]:
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


class HasActionValue(Protocol):
    def action_value(self, config: Any, state: Any, obs: Any, action: Any) -> Scalar:
        """Return the Q(s, a) that the policy learns from, in units of the reward; of one continuous action."""
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

        A wrapping module needs no other name. The user names the inner agent with `--inner`; those of the registry
        have a default. Its `Config` should subclass `inner.Config`.
        """
        ...


REQUIRED = ("Config", "resolve", "init", "policy", "data", "update")
OPTIONAL: dict[str, type] = {
    "loop_defaults": HasLoopDefaults,
    "with_prior": TakesPrior,
    "temperature": HasTemperature,
    "with_temperature": SetsTemperature,
    "continued": Continues,
    "transferred_paths": Transfers,
    "soft_q": HasSoftQ,
    "action_value": HasActionValue,
    "finite": HasFinitePart,
    "wrap": Wraps,
}
TRANSFERRED = ("params", "targets")
"""What fine-tuning carries over of an agent without `transferred_paths`."""


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


def wrapping(inner: ModuleType, **names: Any) -> ModuleType:
    """Return an agent that is `inner` except for the given names."""
    unknown = names.keys() - {*REQUIRED, *OPTIONAL}
    if unknown:
        raise UsageError(f"An agent has no {', '.join(sorted(unknown))}; its names are in entrax.agents.base.")
    module = ModuleType(f"{inner.__name__}_wrapped")
    vars(module).update({name: value for name, value in vars(inner).items() if name in (*REQUIRED, *OPTIONAL)} | names)
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
