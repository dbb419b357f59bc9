"""Fields of settings: help, ranges, and that every agent's are checked."""

import dataclasses
from typing import get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from entrax.agents.lookup import get_agent
from entrax.agents.registry import REGISTRY
from entrax.errors import EntraxError
from entrax.fields import DERIVED, UNIT, Settings, at_least, described, field, resolved
from entrax.training.options import TrainingOptions

NAN, INF = float("nan"), float("inf")
NO_WORD = {"temperature": "learnt", **dict.fromkeys(("proposal", "objective", "baseline", "features"), "neither")}
OUTSIDE = {
    "positive": (0.0, -1.0, NAN, INF),
    "from 0 to 1": (-0.1, 1.1, NAN),
    "above 0 and at most 1": (0.0, 1.1, NAN),
    "between 0 and 1": (0.0, 1.0, NAN),
    "at least 0 and below 1": (-0.1, 1.0, NAN),
    "at least 0": (-1, -0.1, NAN),
    "at least 1": (0, -1, -0.1, NAN),
    "at least 2": (1, 0),
}
"""Values outside each range, by its words; texts that are no name are tried where names are taken."""
SETTINGS = {name: get_agent(name).Config for name in REGISTRY} | {"options": TrainingOptions}
RANGED = [(n, f.name) for n, kind in SETTINGS.items() for f in dataclasses.fields(kind) if f.metadata.get("range")]


@pytest.mark.parametrize(("settings", "name"), RANGED)
def test_values_outside_their_range_are_refused(settings, name):
    kind = SETTINGS[settings]
    words = next(f for f in dataclasses.fields(kind) if f.name == name).metadata["range"].words
    least = words.removeprefix("'learned' or a number of ").removeprefix("'points' or a number of ")
    hint, tried = str(get_type_hints(kind)[name]), 0
    for value in (*OUTSIDE.get(least, ()), NO_WORD.get(name, "neither")):
        if type(value).__name__ in hint:  # a value of another type is refused before
            tried += 1
            with pytest.raises(EntraxError, match=f"^`{name}` must be .*, got {value!r}"):
                kind(**{name: value})
    assert tried


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_field_says_what_it_does_and_its_default(settings):
    for each in dataclasses.fields(SETTINGS[settings]):
        text = described(each)
        assert text[0].isupper()
        assert "default: " in text, each.name


def test_the_texts_of_a_field_are_help_symbol_default_and_range():
    class Config(Settings):
        discount: float = field(0.9, "Weight.", UNIT, symbol="γ")
        steps: int | None = field(None, "Steps.", at_least(1), derived="all")
        plain: float = 1.0

    discount, steps, plain = dataclasses.fields(Config)
    assert described(discount) == "Weight. [γ; default: 0.9; from 0 to 1]"
    assert described(steps) == "Steps. [default: all; at least 1]"
    assert described(steps, defaults=False) == "Steps. [at least 1]"
    assert described(plain) == "[default: 1.0]"


def test_numpy_numbers_are_checked_and_traced_ones_are_not():
    class Config(Settings):
        discount: float = field(0.9, "Weight.", UNIT)

    with pytest.raises(EntraxError, match="`discount`"):
        Config(discount=np.float32(1.5))  # type: ignore[arg-type]
    assert jnp.asarray(jax.vmap(lambda d: Config(discount=d).discount)(jnp.array([0.5, 1.0]))).tolist() == [0.5, 1.0]


class Config(Settings):
    rate: float = field(0.5, "Rate.", UNIT, symbol="λ")
    count: int | None = field(None, "Count.", at_least(1), derived="three", static=True)


class Resolved(Config):
    count: int = DERIVED


def test_a_derived_field_keeps_its_help_its_range_and_its_place():
    given, derived = dataclasses.fields(Config), dataclasses.fields(Resolved)
    assert [described(f) for f in given] == [described(f) for f in derived]
    config = resolved(Resolved, Config(rate=0.25), count=3)
    assert isinstance(config, Resolved)
    assert (jnp.asarray(config.rate).dtype, config.count) == (jnp.float32, 3)
    assert jax.tree.leaves(config) == [config.rate]  # the count is static
    with pytest.raises(EntraxError, match="`count`"):
        resolved(Resolved, Config(), count=0)


def test_a_resolved_configuration_keeps_the_settings_of_a_wrapping_agent():
    class Wider(Config):
        limit: float = field(1.0, "Limit.")

    config = resolved(Resolved, Wider(limit=2.0), count=3)
    assert isinstance(config, Resolved)
    assert isinstance(config, Wider)
    assert (float(config.limit), config.count) == (2.0, 3)
    assert type(resolved(Resolved, Wider(), count=4)) is type(config)  # or every run would compile anew
