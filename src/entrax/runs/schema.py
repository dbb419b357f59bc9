"""The form of each file of a run, by field: checked once, where the file is read.

A form says which values a field takes; a field that is missing is named when it is looked up. Fields that no form
mentions are left alone: a newer version may have written them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from entrax.errors import EntraxError


@dataclass(frozen=True)
class Kind:
    """The values for which `holds`; `words` follow "should be"."""

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Maybe:
    """Values of a form, or null."""

    form: Any


Form = Any
"""A Kind, a Maybe, a list of one form for all items, or a dictionary with the forms of an object's fields."""


class Record(dict[str, Any]):
    """An object of a file, which names the file and the field when one is missing that is looked up."""

    def __init__(self, fields: Mapping[str, Any], file: str, place: str):
        super().__init__(fields)
        self._file, self._place = file, place

    def __missing__(self, field: str) -> Any:
        raise EntraxError(f"{self._file} is damaged: it lacks {f'{self._place}.{field}'.lstrip('.')!r}.")


def checked(value: Any, form: Form, file: object, place: str = "") -> Any:
    """Return `value` with its objects as Records. Raises EntraxError naming `file` and the first field that is wrong.

    `place` leads to the value within the file, such as "training.steps".
    """
    if isinstance(form, Maybe):
        return None if value is None else checked(value, form.form, file, place)
    if isinstance(form, list):
        _require(isinstance(value, list), "a list", value, file, place)
        return [checked(item, form[0], file, f"{place}[{i}]") for i, item in enumerate(value)]
    if isinstance(form, dict):
        _require(isinstance(value, dict), "an object", value, file, place)
        fields = {
            name: checked(item, form[name], file, f"{place}.{name}".lstrip(".")) if name in form else item
            for name, item in value.items()
        }
        return Record(fields, str(file), place)
    _require(form.holds(value), form.words, value, file, place)
    return value


def _require(holds: bool, words: str, value: Any, file: object, place: str) -> None:
    if not holds:
        shown = ascii(value)
        shown = shown if len(shown) <= 80 else f"{shown[:80]}…"
        raise EntraxError(f"{file} is damaged: {place or 'it'} should be {words}, not {shown}.")


def _whole(least: int, most: int) -> Kind:
    words = f"an integer of at least {least}" if most >= MOST else f"an integer from {least} to {most:,}"
    return Kind(words, lambda value: type(value) is int and least <= value <= most)


MOST = 2**62
LARGEST_STEP = 2**31 - 1  # what the schedules' integers hold
TEXT = Kind("a text", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
NUMBER = Kind("a number", lambda value: type(value) in (int, float) and abs(value) < 1e300)
NOT_NEGATIVE = Kind("a number of at least 0", lambda value: NUMBER.holds(value) and value >= 0)
ABOVE_0 = Kind("a number above 0", lambda value: NUMBER.holds(value) and value > 0)
DIGEST = Kind("a SHA-256", lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None)
COUNT, POSITIVE, INTEGER = _whole(0, MOST), _whole(1, MOST), _whole(-MOST, MOST)
STEP, STEPS = _whole(0, LARGEST_STEP), _whole(1, LARGEST_STEP)
SEVERAL = _whole(1, 1_000_000)
DTYPE = Kind(
    "a type of numbers",
    lambda value: isinstance(value, str) and re.fullmatch(r"bool|u?int(8|16|32|64)|float(16|32|64)", value) is not None,
)
PLACE = Kind(
    "a list of two, a kind and a key",
    lambda value: isinstance(value, list) and len(value) == 2 and isinstance(value[1], str | int),
)

TRAINING: dict[str, Form] = {
    "steps": STEPS,
    "horizon": Maybe(STEPS),
    "envs": SEVERAL,
    "workers": Maybe(_whole(0, 10_000)),
    "updates_per_step": ABOVE_0,
    "learning_starts": Maybe(COUNT),
    "chunk": STEPS,
    "normalise_obs": FLAG,
    "normalise_rewards": FLAG,
    "log_every": Maybe(POSITIVE),
    "eval_every": Maybe(COUNT),
    "eval_episodes": STEPS,
    "eval_envs": Maybe(SEVERAL),
    "checkpoint_every": COUNT,
    "checkpoint_seconds": NOT_NEGATIVE,
    "restart_envs": COUNT,
    "step_timeout": Maybe(ABOVE_0),
    "max_episode_steps": Maybe(POSITIVE),
    "device": Maybe(TEXT),
    "threads": Maybe(_whole(1, 1_000_000)),
}
ENVIRONMENT: dict[str, Form] = {"id": TEXT, "kwargs": OBJECT, "travels": FLAG}
LEAF: dict[str, Form] = {
    "name": TEXT,
    "shape": [COUNT],
    "dtype": DTYPE,
    "size": COUNT,
    "low": [Maybe(NUMBER)],
    "high": [Maybe(NUMBER)],
    "path": Maybe([PLACE]),
    "options": [POSITIVE],
    "start": [INTEGER],
}
ACTION: dict[str, Form] = {
    "shape": [COUNT],
    "dtype": DTYPE,
    "low": [Maybe(NUMBER)],
    "high": [Maybe(NUMBER)],
    "n": POSITIVE,
    "nvec": [POSITIVE],
}
SOURCE: dict[str, Form] = {
    "path": TEXT,
    "checkpoint": TEXT,
    "step": COUNT,
    "sha256": DIGEST,
    "environment": ENVIRONMENT,
    "agent": TEXT,
    "agent_config": OBJECT,
}
ANNEAL: dict[str, Form] = {"start": ABOVE_0, "end": ABOVE_0, "in_state": FLAG}
START: dict[str, Form] = {
    "start": DIGEST,
    "carried": [TEXT],
    "reset": [TEXT],
    "replay": COUNT,
    "temperature": {"start": TEXT, "ancestor": Maybe(NUMBER), "learned": FLAG, "anneal": Maybe(ANNEAL)},
}
CONFIG: dict[str, Form] = {
    "versions": OBJECT,
    "environment": ENVIRONMENT,
    "agent": TEXT,
    "inner": TEXT,
    "agent_config": OBJECT,
    "training": TRAINING,
    "preset": TEXT,
    "seed": COUNT,
    "spec": {"observation": [LEAF], "action": ACTION},
    "start": START,
    "ancestor": SOURCE | START,
    "prior": SOURCE,
    "data": {"path": TEXT, "transitions": COUNT, "sha256": DIGEST},
}
"""Of config.json. Sizes that many things are made of have a limit besides their type."""

REPLAY: dict[str, Form] = {
    "row_bytes": POSITIVE,
    "segment_rows": POSITIVE,
    "rows": COUNT,
    "window": COUNT,
    "sealed": [DIGEST],
    "open": DIGEST,
}
META: dict[str, Form] = {
    "step": STEP,
    "unchecked": [TEXT],
    "updates": COUNT,
    "agent": TEXT,
    "config": DIGEST,
    "chunk": COUNT,
    "info_updates": [COUNT],
    "last_row": [NUMBER],
    "best": Maybe(NUMBER),
    "seconds": NOT_NEGATIVE,
    "exact": FLAG,
    "replay": REPLAY,
    "appended": COUNT,
    "metrics": {"bytes": COUNT, "sha256": DIGEST},
    "collector": {"episode": [COUNT], "ended": [[NUMBER]], "restarts": COUNT, "rewards": [Maybe(TEXT)]},
}
"""Of a checkpoint's meta.json, under `meta`."""

EVALUATION: dict[str, Form] = {
    "mean": Maybe(NUMBER),
    "std": Maybe(NUMBER),
    "returns": [Maybe(NUMBER)],
    "lengths": [COUNT],
    "episodes": COUNT,
    "policy": Kind("mode or sampled", lambda value: value in ("mode", "sampled")),
    "success_rate": NUMBER,
}
METRICS: dict[str, Form] = {
    "step": COUNT,
    "updates": COUNT,
    "episodes": COUNT,
    "evaluation": EVALUATION,
    "time": {"seconds": NOT_NEGATIVE, "steps_per_second": NOT_NEGATIVE},
    **dict.fromkeys(("return", "length", "entropy", "temperature", "critic_loss", "q"), Maybe(NUMBER)),
}
"""Of a line of metrics.jsonl."""

EVENT: dict[str, Form] = EVALUATION | {
    "kind": TEXT,
    "step": Maybe(COUNT),
    "message": TEXT,
    "command": TEXT,
    "time": {"date": TEXT},
    "which": Kind("mode, sampled or best", lambda value: value in ("mode", "sampled", "best")),
}
"""Of a line of events.jsonl."""
