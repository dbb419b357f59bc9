"""The schema of each file of a run, checked once, when the file is read.

A schema gives the valid values of each field. A missing field is reported when it is looked up. Unknown fields are
ignored: a newer version may have written them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from entrax.errors import EntraxError


@dataclass(frozen=True)
class Value:
    """The values for which `holds` is true; `words` follow "must be"."""

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Nullable:
    """The values of a schema, or null."""

    schema: Any


Schema = Any
"""A Value, a Nullable, a list of one schema for all items, or a dictionary with the schemas of an object's fields."""


class Record(dict[str, Any]):
    """An object of a file.

    Looking up a missing field raises EntraxError with the names of file and field.
    """

    def __init__(self, fields: Mapping[str, Any], file: str, place: str):
        super().__init__(fields)
        self._file, self._place = file, place

    def __missing__(self, field: str) -> Any:
        raise EntraxError(f"{self._file} is damaged: it has no {f'{self._place}.{field}'.lstrip('.')!r}.")


def checked(value: Any, schema: Schema, file: object, place: str = "") -> Any:
    """Check a value and return it with its objects as Records.

    Args:
        value: JSON data.
        schema: the schema.
        file: the file, for messages.
        place: the path of the value in the file, such as "training.steps".

    Raises:
        EntraxError: if a value does not fit the schema; names the file and the first such field.
    """
    if isinstance(schema, Nullable):
        return None if value is None else checked(value, schema.schema, file, place)
    if isinstance(schema, list):
        _require(isinstance(value, list), "a list", value, file, place)
        return [checked(item, schema[0], file, f"{place}[{i}]") for i, item in enumerate(value)]
    if isinstance(schema, dict):
        _require(isinstance(value, dict), "an object", value, file, place)
        fields = {
            name: checked(item, schema[name], file, f"{place}.{name}".lstrip(".")) if name in schema else item
            for name, item in value.items()
        }
        return Record(fields, str(file), place)
    _require(schema.holds(value), schema.words, value, file, place)
    return value


def _require(holds: bool, words: str, value: Any, file: object, place: str) -> None:
    if not holds:
        shown = ascii(value)
        shown = shown if len(shown) <= 80 else f"{shown[:80]}…"
        raise EntraxError(f"{file} is damaged: {place or 'it'} must be {words}, got {shown}.")


def _whole(least: int, most: int) -> Value:
    words = f"an integer of at least {least}" if most >= MOST else f"an integer from {least} to {most:,}"
    return Value(words, lambda value: type(value) is int and least <= value <= most)


MOST = 2**62
LARGEST_STEP = 2**31 - 1  # the largest integer of the schedules
TEXT = Value("a text", lambda value: isinstance(value, str))
FLAG = Value("true or false", lambda value: isinstance(value, bool))
OBJECT = Value("an object", lambda value: isinstance(value, dict))
NUMBER = Value("a number", lambda value: type(value) in (int, float) and abs(value) < 1e300)
SHARE = Value("a number from 0 to 1", lambda value: NUMBER.holds(value) and 0 <= value <= 1)
NOT_NEGATIVE = Value("a number of at least 0", lambda value: NUMBER.holds(value) and value >= 0)
ABOVE_0 = Value("a number above 0", lambda value: NUMBER.holds(value) and value > 0)
DIGEST = Value("a SHA-256", lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None)
COUNT, POSITIVE, INTEGER = _whole(0, MOST), _whole(1, MOST), _whole(-MOST, MOST)
STEP, STEPS = _whole(0, LARGEST_STEP), _whole(1, LARGEST_STEP)
SEVERAL = _whole(1, 1_000_000)
DTYPE = Value(
    "a type of numbers",
    lambda value: isinstance(value, str) and re.fullmatch(r"bool|u?int(8|16|32|64)|float(16|32|64)", value) is not None,
)
PLACE = Value(
    "a list of two, a kind and a key",
    lambda value: isinstance(value, list) and len(value) == 2 and isinstance(value[1], str | int),
)

TRAINING: dict[str, Schema] = {
    "steps": STEPS,
    "horizon": Nullable(STEPS),
    "envs": SEVERAL,
    "workers": Nullable(_whole(0, 10_000)),
    "updates_per_step": ABOVE_0,
    "learning_starts": Nullable(COUNT),
    "chunk": STEPS,
    "hindsight": SHARE,
    "normalise_obs": FLAG,
    "normalise_rewards": FLAG,
    "log_every": Nullable(POSITIVE),
    "eval_every": Nullable(COUNT),
    "eval_episodes": STEPS,
    "eval_envs": Nullable(SEVERAL),
    "checkpoint_every": COUNT,
    "checkpoint_seconds": NOT_NEGATIVE,
    "restart_envs": COUNT,
    "step_timeout": Nullable(ABOVE_0),
    "max_episode_steps": Nullable(POSITIVE),
    "device": Nullable(TEXT),
    "threads": Nullable(_whole(1, 1_000_000)),
}
ENVIRONMENT: dict[str, Schema] = {"id": TEXT, "kwargs": OBJECT, "travels": FLAG}
LEAF: dict[str, Schema] = {
    "name": TEXT,
    "shape": [COUNT],
    "dtype": DTYPE,
    "size": COUNT,
    "low": [Nullable(NUMBER)],
    "high": [Nullable(NUMBER)],
    "path": Nullable([PLACE]),
    "options": [POSITIVE],
    "start": [INTEGER],
}
ACTION: dict[str, Schema] = {
    "shape": [COUNT],
    "dtype": DTYPE,
    "low": [Nullable(NUMBER)],
    "high": [Nullable(NUMBER)],
    "n": POSITIVE,
    "nvec": [POSITIVE],
}
SOURCE: dict[str, Schema] = {
    "path": TEXT,
    "checkpoint": TEXT,
    "step": COUNT,
    "sha256": DIGEST,
    "environment": ENVIRONMENT,
    "agent": TEXT,
    "agent_config": OBJECT,
}
ANNEAL: dict[str, Schema] = {"start": ABOVE_0, "end": ABOVE_0, "in_state": FLAG}
START: dict[str, Schema] = {
    "start": DIGEST,
    "carried": [TEXT],
    "reset": [TEXT],
    "replay": COUNT,
    "keep_optimiser": FLAG,
    "temperature": {"start": TEXT, "ancestor": Nullable(NUMBER), "learned": FLAG, "anneal": Nullable(ANNEAL)},
}
CONTROL: dict[str, Schema] = {
    "simulator": TEXT,
    "reward": Nullable(TEXT),
    "sample": FLAG,
    "max_episode_steps": Nullable(POSITIVE),
}
CONFIG: dict[str, Schema] = {
    "versions": OBJECT,
    "environment": ENVIRONMENT,
    "agent": TEXT,
    "inner": TEXT,
    "agent_config": OBJECT,
    "training": TRAINING,
    "control": CONTROL,
    "preset": TEXT,
    "seed": COUNT,
    "spec": {"observation": [LEAF], "action": ACTION, "time_limit": Nullable(POSITIVE)},
    "start": START,
    "ancestor": SOURCE | START,
    "prior": SOURCE,
    "data": {"path": TEXT, "transitions": COUNT, "sha256": DIGEST},
}
"""The schema of config.json. Sizes that memory depends on are limited."""

REPLAY: dict[str, Schema] = {
    "row_bytes": POSITIVE,
    "segment_rows": POSITIVE,
    "rows": COUNT,
    "window": COUNT,
    "sealed": [DIGEST],
    "open": DIGEST,
}
META: dict[str, Schema] = {
    "step": STEP,
    "unchecked": [TEXT],
    "updates": COUNT,
    "agent": TEXT,
    "config": DIGEST,
    "chunk": COUNT,
    "info_updates": [COUNT],
    "last_row": [NUMBER],
    "best": Nullable(NUMBER),
    "seconds": NOT_NEGATIVE,
    "exact": FLAG,
    "replay": REPLAY,
    "appended": COUNT,
    "metrics": {"bytes": COUNT, "sha256": DIGEST},
    "collector": {"episode": [COUNT], "ended": [[NUMBER]], "restarts": COUNT, "rewards": [Nullable(TEXT)]},
}
"""The schema of `meta` in a checkpoint's meta.json."""

EVALUATION: dict[str, Schema] = {
    "mean": Nullable(NUMBER),
    "std": Nullable(NUMBER),
    "returns": [Nullable(NUMBER)],
    "lengths": [COUNT],
    "episodes": COUNT,
    "policy": Value("mode or sampled", lambda value: value in ("mode", "sampled")),
    "success_rate": NUMBER,
}
METRICS: dict[str, Schema] = {
    "step": COUNT,
    "updates": COUNT,
    "episodes": COUNT,
    "evaluation": EVALUATION,
    "time": {"seconds": NOT_NEGATIVE, "steps_per_second": NOT_NEGATIVE},
    **dict.fromkeys(("return", "length", "entropy", "temperature", "critic_loss", "q"), Nullable(NUMBER)),
}
"""The schema of a line of metrics.jsonl."""

EVENT: dict[str, Schema] = EVALUATION | {
    "kind": TEXT,
    "step": Nullable(COUNT),
    "message": TEXT,
    "command": TEXT,
    "time": {"date": TEXT},
    "which": Value("mode, sampled or best", lambda value: value in ("mode", "sampled", "best")),
}
"""The schema of a line of events.jsonl."""
