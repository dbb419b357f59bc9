"""Environments described by a run's config.json, which a stranger may have written.

Only what is known to do no harm is made of such a description: environments of entrax and Gymnasium, with arguments
that are numbers and plain words. A module, another environment or a file is used only if the user names it again.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, find_highest_version, get_env_id, parse_env_id

from entrax.environments.source import EnvSource, as_source, parse_env_args
from entrax.errors import EntraxError

Given = str | EnvSource | Callable[..., gymnasium.Env]

HARMLESS = ("entrax.environments.", "gymnasium.envs.", "ale_py.")
"""Where the code of an environment lies that may be made because a file names its id."""
NESTED = {"entrax/Perturbed-v0": ("env", "env_args")}
"""Ids whose arguments describe another environment: the argument with its id, and the one with its arguments."""
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
    kwargs = {name: value for name, value in record["kwargs"].items() if name not in given}
    _check_arguments(source.id, kwargs, given)
    return replace(source, kwargs=kwargs | given)


def registered(id: str) -> EnvSpec | None:
    """Return Gymnasium's registration of an id, of its newest version if the id names none."""
    if id in gymnasium.registry:
        return gymnasium.registry[id]
    try:
        space, name, version = parse_env_id(id)
    except gymnasium.error.Error:
        return None
    newest = find_highest_version(space, name) if version is None else None
    return None if newest is None else gymnasium.registry.get(get_env_id(space, name, newest))


def _check_id(id: str, flag: str) -> None:
    """Raise EntraxError unless the id alone is enough to make the environment."""
    found = registered(id)
    if found is None or not isinstance(found.entry_point, str) or not found.entry_point.startswith(HARMLESS):
        raise EntraxError(
            f"This run's environment is {shown(id)}, which is neither entrax's nor Gymnasium's; name it again "
            f"({flag}) to use it."
        )


def _check_arguments(
    id: str, kwargs: Mapping[str, Any], given: Mapping[str, Any], top: str = "", depth: int = 0
) -> None:
    """Raise EntraxError for the first argument that names a module, another environment or a file.

    `given` are the user's own arguments beside `kwargs`. `top` is the argument that these are part of.
    """
    env_name, args_name = NESTED.get(id, ("", ""))
    for name, value in kwargs.items():
        flag = top or _flag(name, value)
        if not name.isidentifier():
            raise EntraxError(f"The environment's argument {shown(name)} in config.json is not a name.")
        if name == env_name and isinstance(value, str):
            _check_id(value, flag)
        elif name == args_name and isinstance(value, Mapping) and depth < DEEPEST:
            inner = given.get(env_name, kwargs.get(env_name))
            _check_arguments(str(inner), value, {}, flag, depth + 1)
        elif not harmless(value):
            raise EntraxError(
                f"The environment's argument {name} is {shown(value)} in config.json. A run must not choose files, "
                f"modules or other environments; give it again ({flag}) to use it."
            )


def harmless(value: Any, depth: int = 0) -> bool:
    """Return whether JSON data consists of numbers and words that name no environment, module or file."""
    match value:
        case None | bool() | int() | float():
            return True
        case str():
            plain = all(letter.isalnum() or letter in " _-+" for letter in value)
            return plain and value not in gymnasium.registry
        case list():
            return depth < DEEPEST and all(harmless(item, depth + 1) for item in value)
        case Mapping():
            return depth < DEEPEST and all(harmless(part, depth + 1) for item in value.items() for part in item)
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
