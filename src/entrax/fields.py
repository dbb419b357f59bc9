"""Settings: fields with a help text, a range and the paper's symbol, and the fields that several agents share.

The command line takes its flags and their help from the fields. Ranges are checked here, for every class of settings.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from entrax import xla as xla
from entrax.errors import UsageError, alternatives

T = TypeVar("T", bound=eqx.Module)


@dataclass(frozen=True)
class Range:
    """The values that a field takes besides None: in words that follow "must be", and as a test."""

    words: str
    contains: Callable[[Any], bool]


MOST = 3.4e38
"""The largest number of 32 bits, which agents compute with."""
POSITIVE = Range("positive", lambda value: 0 < value < float("inf"))
UNIT = Range("from 0 to 1", lambda value: 0 <= value <= 1)
UNIT_ABOVE_0 = Range("above 0 and at most 1", lambda value: 0 < value <= 1)
FROM_0_BELOW_1 = Range("at least 0 and below 1", lambda value: 0 <= value < 1)
BETWEEN_0_AND_1 = Range("between 0 and 1", lambda value: 0 < value < 1)


def at_least(least: int | float, *, word: str | None = None) -> Range:
    """Numbers from `least` on; also the text `word`, if one is given."""
    words = f"at least {least}" if word is None else f"'{word}' or a number of at least {least}"
    return Range(words, lambda value: value == word if isinstance(value, str) else value >= least)


def one_of(*names: str) -> Range:
    """One of some texts."""
    return Range(alternatives(names), lambda value: value in names)


def field(
    default: Any, help: str, range: Range | None = None, *, symbol: str = "", derived: str = "", static: bool = False
) -> Any:
    """A field of a class of settings.

    Args:
        default: its default; None for one that follows from other settings or from the environment.
        help: what it does, as a sentence.
        range: the values that it takes, besides None.
        symbol: what the paper calls it.
        derived: what None stands for, in words.
        static: of an `eqx.Module`: part of the compiled program, so that another value compiles again.
    """
    metadata = {"help": help, "range": range, "symbol": symbol, "derived": derived}
    return eqx.field(default=default, static=static, metadata=metadata)


def described(field: "dataclasses.Field[Any]", *, defaults: bool = True) -> str:
    """Help of a field, with its symbol, its default (unless `defaults` is false) and its range."""
    metadata, range, default = field.metadata, field.metadata.get("range"), default_text(field)
    notes = [
        metadata.get("symbol"),
        f"default: {default}" if defaults and default else "",
        range.words if range else "",
    ]
    shown = "; ".join(filter(None, notes))
    return " ".join(filter(None, (metadata.get("help"), f"[{shown}]" if shown else "")))


def default_text(field: "dataclasses.Field[Any]") -> str:
    """Return the default of a field, or what None stands for, in words."""
    return field.metadata.get("derived", "") if field.default is None else _shown(field.default)


def check_ranges(settings: Any) -> None:
    """Raise UsageError for the first field of a dataclass whose value is outside its range."""
    for field in dataclasses.fields(settings):
        value, range = getattr(settings, field.name), field.metadata.get("range")
        if range is None or not isinstance(value, str | Real):  # an array may be traced
            continue
        if not _within(range, value):
            raise UsageError(f"`{field.name}` must be {range.words}, got {value!r}.")


class Settings(eqx.Module):
    """Base of an agent's `Config`: ranges are checked when one is built."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        inherited = {field.name: field for field in dataclasses.fields(cls)}
        for name, value in dict(vars(cls)).items():
            if value is DERIVED:
                default, metadata = inherited[name].default, inherited[name].metadata
                setattr(cls, name, dataclasses.field(default=default, metadata=metadata))

    def __check_init__(self) -> None:
        check_ranges(self)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not field.metadata.get("static") and not abs(value) <= MOST:
                raise UsageError(f"`{field.name}` must be a number that 32 bits can hold, got {value!r}.")


DERIVED: Any = object()
"""In a subclass of `Config`, marks a field of it that `resolve` fills. The annotation then leaves out None.

    class Resolved(Config):
        target_entropy: float = DERIVED
"""


def as_arrays(config: T) -> T:
    """Return the configuration with numbers as 0-d float32 arrays, so that another value does not compile again."""
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, str) else jnp.asarray(leaf, jnp.float32), config)


def resolved(kind: type[T], config: eqx.Module, **derived: Any) -> T:
    """Return the resolved configuration: `config` with its derived fields filled, and numbers as arrays.

    Args:
        kind: the subclass of the agent's `Config` whose fields are `DERIVED`.
        config: the input; of an agent that wraps this one, with fields of its own, which are kept.
        derived: values of the derived fields.
    """
    given = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return as_arrays(_extended(kind, type(config))(**given | derived))


@functools.cache
def _extended(resolved: Any, given: type) -> Any:
    """The resolved type with the fields that `given` adds to the agent's `Config`."""
    return resolved if issubclass(resolved, given) else type(given)(given.__name__, (given, resolved), {})


def _within(range: Range, value: Any) -> bool:
    try:
        return bool(range.contains(value))
    except TypeError:
        return False


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


# Fields that several agents have. Each agent sets its own default.


def learning_rate(default: float | None, of: str, *, symbol: str = "", derived: str = "") -> Any:
    """A learning rate; `of` says of what, or when."""
    return field(default, f"Adam's learning rate {of}.", POSITIVE, symbol=symbol, derived=derived)


def final_learning_rate(default: float | None, of: str, *, derived: str = "") -> Any:
    """The learning rate at the end of the run; 0 is allowed."""
    return field(default, f"Adam's learning rate {of}.", at_least(0), derived=derived)


def discount(default: float | None, *, derived: str = "") -> Any:
    """γ."""
    return field(default, "Weight of a reward for every step that it lies ahead.", UNIT, symbol="γ", derived=derived)


def gae_lambda(default: float | None, *, derived: str = "") -> Any:
    """λ of generalised advantage estimation."""
    text = "Generalised advantage estimation: 0 trusts the value, 1 the rewards."
    return field(default, text, UNIT, symbol="λ", derived=derived)


def target_rate(default: float) -> Any:
    """τ."""
    text = "Step of the target networks towards the networks, at each update."
    return field(default, text, UNIT_ABOVE_0, symbol="τ")


def learned_temperature() -> Any:
    """A temperature that is learned unless it is a number."""
    text = "Weight of the entropy in the objective; a number holds it fixed."
    return field("learned", text, at_least(0, word="learned"), symbol="α")


def initial_temperature(default: float) -> Any:
    """The temperature that learning starts from."""
    return field(default, "Temperature at the start, where it is learned.", POSITIVE)


def noise(default: float) -> Any:
    """σ of a deterministic policy's exploration."""
    text = "Standard deviation of the exploration noise, in halves of an action's range."
    return field(default, text, at_least(0), symbol="σ")


def noise_correlation() -> Any:
    """ρ of a deterministic policy's exploration."""
    text = "Correlation of the exploration noise between successive steps (Ornstein-Uhlenbeck)."
    return field(None, text, FROM_0_BELOW_1, symbol="ρ", derived="independent noise")


def initial_log_std(default: float) -> Any:
    """log σ of a Gaussian policy at the start."""
    text = "Initial log standard deviation of continuous actions, in halves of their range."
    return field(default, text, symbol="log σ")


def batch_size(default: int, *, of: str = "transitions") -> Any:
    """The size of a batch from replay."""
    return field(default, f"Number of {of} in an update.", at_least(1), static=True)


def replay_size(default: int) -> Any:
    """The capacity of the replay."""
    return field(default, "Number of transitions kept; the oldest are dropped.", at_least(1), static=True)


def members(default: int, *, symbol: str = "") -> Any:
    """The size of an ensemble that models the environment."""
    return field(default, "Networks that model the environment.", at_least(1), symbol=symbol, static=True)


def held_out(default: int) -> Any:
    """The batch that an ensemble is judged by."""
    text = "Transitions, of the tenth that the model does not learn from, to judge it by at each fit."
    return field(default, text, at_least(1), static=True)


def bootstrap(default: bool) -> Any:
    """Whether the networks of an ensemble have data of their own."""
    return field(default, "Give each network of the model a resample of the transitions.", static=True)


def termination(choices: Sequence[str]) -> Any:
    """How a model knows where episodes end."""
    text = "Where episodes end: learned, never, or by the known formula of a Gymnasium task."
    return field("learned", text, one_of(*choices), static=True)


def rollout_steps(default: int | None, *, derived: str = "") -> Any:
    """The length of a rollout."""
    text = "Steps between two updates, over all environments."
    return field(default, text, at_least(1), derived=derived, static=True)


def hidden(default: tuple[int, ...], *, note: str = "") -> Any:
    """Widths of hidden layers."""
    return field(default, f"Widths of the hidden layers{note}.", static=True)


def joint_limit(default: int) -> Any:
    """The limit up to which a MultiDiscrete action is one choice; see `entrax.policies.choices`."""
    text = "Most combinations of a MultiDiscrete action that are chosen among at once."
    return field(default, text, static=True)


def augment(default: int) -> Any:
    """The random shift of images."""
    return field(
        default, "Largest random shift of an observed image, in pixels; 0 disables it.", at_least(0), static=True
    )
