"""Environments described by a run's config.json, which a stranger may have written.

Only what is known to do no harm is made of such a description: environments of entrax and Gymnasium, with arguments
that are numbers and plain words. A module, another environment or a file is used only if the user names it again.
"""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from entrax.environments.arguments import decode
from entrax.environments.source import NESTED, EnvSource, as_source, parse_env_args, registered
from entrax.errors import EntraxError

Given = str | EnvSource | Callable[..., gymnasium.Env]

HARMLESS = ("entrax.environments.", "gymnasium.envs.", "ale_py.")
"""Where the code of an environment lies that may be made because a file names its id."""
DEEPEST = 16
LONGEST = 200


def recorded_source(
    record: Any, env: Given | None = None, env_args: Mapping[str, Any] | None = None, *, file: object = "config.json"
) -> EnvSource:
    """Return how to make the environment that `record` describes, or `env` with the arguments in `record`.

    Args:
        record: what `EnvSource.to_json` returned, perhaps changed by a stranger.
        env: the environment, named by the user. It takes the place of the record's.
        env_args: arguments given by the user. Each takes the place of the record's.
        file: where the record comes from, for messages.

    Raises:
        EntraxError: if the user must name the environment or one of its arguments again.
    """
    if isinstance(env, EnvSource):
        return env if not env_args else replace(env, kwargs={**env.kwargs, **env_args})
    damaged = EntraxError(f"{file} is damaged: its environment is not described by an id and its arguments.")
    if not isinstance(record, Mapping) or not isinstance(record.get("kwargs"), Mapping):
        raise damaged
    if env is None:
        if not isinstance(record.get("id"), str):
            raise damaged
        if record.get("travels") is not True:
            raise EntraxError(
                f"The environment of this run was made by {shown(record['id'])}, in the process that trained it; give "
                "the environment again."
            )
        _check_id(record["id"], f"--env {quoted(record['id'])}")
        env = record["id"]
    source, given = as_source(env, {}), dict(env_args or {})
    kwargs = {name: _decoded(name, value, damaged) for name, value in record["kwargs"].items() if name not in given}
    for name, value in kwargs.items():
        _check_argument(source.id, name, value, given | kwargs, _flag(name, record["kwargs"][name]))
    return replace(source, kwargs={name: given.get(name, kwargs.get(name)) for name in record["kwargs"]} | given)


@contextmanager
def _noted(flags: list[str], flag: str) -> Iterator[None]:
    """Note the flag in place of raising EntraxError."""
    try:
        yield
    except EntraxError:
        flags.append(flag)


def flags_again(record: Mapping[str, Any]) -> list[str] | None:
    """Return the flags that name again what `recorded_source` refuses; None if a flag cannot say it."""
    named = record["travels"] and not any(isinstance(v, dict) and "$lost" in v for v in record["kwargs"].values())
    if not named:
        return None
    flags: list[str] = []
    with _noted(flags, f"--env {quoted(record['id'])}"):
        _check_id(record["id"], "")
    for name, value in record["kwargs"].items():
        with _noted(flags, _flag(name, value)):
            _check_argument(record["id"], name, decode(value, _Reference), record["kwargs"], "")
    return flags


class _Reference(str):
    """A function or class that a file names, and that is not imported."""


def _decoded(name: str, value: Any, damaged: EntraxError) -> Any:
    """Return an argument as it was given, without importing anything."""
    if isinstance(value, Mapping) and value.keys() == {"$lost"}:
        raise EntraxError(
            f"The environment's argument {shown(name)} was {shown(value['$lost'])}, which config.json cannot hold; "
            "give it again in Python, by env_args."
        )
    try:
        return decode(value, _Reference)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged from error


def _check_id(id: str, flag: str) -> None:
    """Raise EntraxError unless the id alone is enough to make the environment."""
    found = registered(id)
    if found is None or not isinstance(found.entry_point, str) or not found.entry_point.startswith(HARMLESS):
        raise EntraxError(
            f"This run's environment is {shown(id)}, which is neither entrax's nor Gymnasium's; name it again "
            f"({flag}) to use it."
        )


def _check_argument(id: str, name: str, value: Any, beside: Mapping[str, Any], flag: str, depth: int = 0) -> None:
    """Raise EntraxError for an argument of environment `id` that names a module, another environment or a file.

    `beside` are all arguments. `flag` gives the argument again.
    """
    env_name, args_name = NESTED.get(id, ("", ""))
    if not name.isidentifier():
        raise EntraxError(f"The environment's argument {shown(name)} in config.json is not a name.")
    if name == env_name and type(value) is str:
        _check_id(value, flag)
    elif name == args_name and isinstance(value, Mapping) and depth < DEEPEST:
        for inner, part in value.items():
            _check_argument(str(beside.get(env_name)), str(inner), part, value, flag, depth + 1)
    elif not harmless(value):
        raise EntraxError(
            f"The environment's argument {name} is {shown(value)} in config.json. A run must not choose files, "
            f"modules or other environments; give it again ({flag}) to use it."
        )


def harmless(value: Any, depth: int = 0) -> bool:
    """Return whether a value consists of numbers and words that name no environment, module or file."""
    if depth > DEEPEST:
        return False
    match value:
        case None | bool() | int() | float() | np.dtype():
            return True
        case _Reference():
            return False
        case str():
            plain = all(letter.isalnum() or letter in " _-+" for letter in value)
            return plain and value not in gymnasium.registry
        case np.ndarray() | np.generic():
            return value.dtype.kind != "U" or harmless(value.tolist(), depth + 1)
        case list() | tuple() | set() | frozenset():
            return all(harmless(item, depth + 1) for item in value)
        case Mapping():
            return all(harmless(part, depth + 1) for item in value.items() for part in item)
    return False


def _flag(name: str, value: Any) -> str:
    """Return the flag that gives an argument again, as one would type it."""
    text = value if isinstance(value, str) and parse_env_args([f"_={value}"])["_"] == value else json.dumps(value)
    return f"--env-arg {quoted(f'{name}={text}')}"


def quoted(text: Any) -> str:
    """Return a text as one types it in a shell; an ellipsis if it is long or has control characters."""
    text = str(text)
    return shlex.quote(text) if text.isprintable() and len(text) <= LONGEST else "…"


def shown(value: Any) -> str:
    """Return a value for a message, short and without control characters."""
    text = ascii(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
