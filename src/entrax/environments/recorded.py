"""Environments described by a run's config.json, which may come from a stranger.

Such a description can make environments of entrax and Gymnasium only, with arguments that are numbers and plain words.
Other environments, modules and files are used only if the user names them again.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any

import gymnasium
import numpy as np

from entrax.environments.arguments import decode
from entrax.environments.source import NESTED, EnvSource, as_source, registered
from entrax.errors import EntraxError, UsageError
from entrax.references import from_anywhere

Given = str | EnvSource | Callable[..., gymnasium.Env]

HARMLESS = ("entrax.environments.", "gymnasium.envs.", "ale_py.")
"""The packages whose environments may be made because a file names their id."""
DEEPEST = 16
LONGEST = 200


def recorded_source(
    record: Any, env: Given | None = None, env_args: Mapping[str, Any] | None = None, *, file: object = "config.json"
) -> EnvSource:
    """Return the source of a recorded environment.

    Args:
        record: the result of `EnvSource.to_json`, not trusted.
        env: the environment, named by the user; replaces that of the record.
        env_args: arguments given by the user; each replaces that of the record.
        file: the file of the record, for messages.

    Raises:
        UsageError: if the user must name the environment or one of its arguments again.
        EntraxError: if the record is damaged.
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
            raise UsageError(
                f"The environment of this run was made by {shown(record['id'])} in the training process; give the "
                "environment again."
            )
        if not _is_known(record["id"]):
            raise UsageError(
                f"This run's environment is {shown(record['id'])}, which is neither entrax's nor Gymnasium's; to "
                f"use it, name it again (--env {quoted(record['id'])})."
            )
        env = record["id"]
    source = as_source(env, env_args or {})
    given = source.kwargs
    kwargs = {name: _decoded(name, value, damaged) for name, value in record["kwargs"].items() if name not in given}
    for name, value in kwargs.items():
        if not _is_harmless_argument(source.id, name, value, given | kwargs):
            raise UsageError(
                f"The environment's argument {shown(name)} is {shown(value)} in config.json. A run must not choose "
                "files, modules or other environments; to use it, give it again "
                f"(--env-arg {quoted(_typed(name, record['kwargs'][name]))})."
            )
    return replace(source, kwargs={name: given.get(name, kwargs.get(name)) for name in record["kwargs"]} | given)


def check_same_environment(record: Mapping[str, Any], source: EnvSource, run: str) -> None:
    """Raise UsageError if `source` differs from the environment in `record`.

    Files and modules may have moved.
    """
    current = source.to_json()
    if _is_known(record["id"]) and record["travels"] and current["id"] != record["id"]:
        raise UsageError(f"{run} was trained in {record['id']}, not in {shown(current['id'])}: fine-tune it instead.")
    for name, value in current["kwargs"].items():
        before = record["kwargs"].get(name)
        if before == value or "$lost" in str(before):
            continue
        if name not in record["kwargs"] or _is_harmless_argument(
            record["id"], name, decode(before, _Reference), record["kwargs"]
        ):
            raise UsageError(
                f"The environment of {run} had {shown(before)} as its argument {name!r}, not {shown(value)}: fine-tune "
                "the run instead."
            )


def flags_again(record: Mapping[str, Any]) -> list[str] | None:
    """Return the flags that name again what `recorded_source` refuses.

    Returns None if no flags can.
    """
    id, kwargs = record["id"], record["kwargs"]
    flags: list[str] = []
    if not record["travels"] or any(isinstance(value, dict) and "$lost" in value for value in kwargs.values()):
        return None
    if not _is_known(id):
        if ":" not in id and not _is_plugin(id):
            return None  # the module that registered the id is not known
        flags += ["--env", from_anywhere(id)]
    for name, value in kwargs.items():
        if not _is_harmless_argument(id, name, decode(value, _Reference), kwargs):
            flags += ["--env-arg", _typed(name, value)]
    return flags


def arguments_again(record: Any) -> str:
    """Return the flags that give all arguments of a record, for a message."""
    kwargs = record.get("kwargs") if isinstance(record, Mapping) else None
    pairs = kwargs.items() if isinstance(kwargs, Mapping) else ()
    return " ".join(f"--env-arg {quoted(_typed(str(name), value))}" for name, value in pairs)


class _Reference(str):
    """The name of a function or class in a file, which is not imported."""


def _decoded(name: str, value: Any, damaged: EntraxError) -> Any:
    """Return an argument as it was given, without importing anything."""
    if isinstance(value, Mapping) and value.keys() == {"$lost"}:
        raise UsageError(
            f"The environment's argument {shown(name)} was {shown(value['$lost'])}, which config.json cannot hold; "
            "give it again in Python, by `env_args`."
        )
    try:
        return decode(value, _Reference)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged from error


def _is_known(id: str) -> bool:
    """Return whether an environment of that id may be made because a file names it."""
    spec = registered(id)
    return spec is not None and isinstance(spec.entry_point, str) and spec.entry_point.startswith(HARMLESS)


def _is_plugin(id: str) -> bool:
    """Return whether an installed package registers the id with Gymnasium, in every process."""
    packages = {plugin.value.partition(":")[0].split(".")[0] for plugin in entry_points(group="gymnasium.envs")}
    spec = registered(id)
    return spec is not None and str(spec.entry_point).partition(":")[0].split(".")[0] in packages


def _is_harmless_argument(id: str, name: str, value: Any, beside: Mapping[str, Any], depth: int = 0) -> bool:
    """Return whether an argument of environment `id` names no module, file or environment that a file must not name.

    `beside` holds all arguments of the environment.
    """
    env_name, args_name = NESTED.get(id, ("", ""))
    if name == env_name and type(value) is str:
        return _is_known(value)
    if name == args_name and isinstance(value, Mapping) and depth < DEEPEST:
        inside = str(beside.get(env_name))
        return all(_is_harmless_argument(inside, str(key), part, value, depth + 1) for key, part in value.items())
    return name.isidentifier() and harmless(value)


def harmless(value: Any, depth: int = 0) -> bool:
    """Return whether a value holds only numbers and harmless words.

    A harmless word names no environment, module or file.
    """
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


def _typed(name: str, value: Any) -> str:
    """Return an argument of a record in the form of `parse_env_args`, without control characters."""
    plain = isinstance(value, str) and value.isprintable() and not _is_json(value)
    return f"{name}={value if plain else json.dumps(value)}"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    except (ValueError, RecursionError):  # an integer or a nesting too large to read
        return True
    return True


def quoted(text: Any) -> str:
    """Return a text quoted for a shell, for a message.

    Returns an ellipsis if it is long or has control characters.
    """
    text = str(text)
    return shlex.quote(text) if text.isprintable() and len(text) <= LONGEST else "…"


def shown(value: Any) -> str:
    """Return a value for a message, short and without control characters."""
    text = ascii(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
