"""The source of an environment: how to make it, in a form for worker processes and for config.json."""

import functools
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, WrapperSpec, find_highest_version, get_env_id, parse_env_id

from entrax.environments.arguments import NotRecordable, decode, encode, own_copy, record
from entrax.environments.faults import exit_cause, exits_caught
from entrax.errors import EntraxError, UsageError, closest
from entrax.references import absolute, import_named, is_file, reference_of

Factory = Callable[..., gymnasium.Env]


NESTED = dict.fromkeys(("entrax/Perturbed-v0", "entrax/ActionMask-v0"), ("env", "env_args"))
"""Ids whose arguments describe an inner environment: the names of the arguments for its id and its arguments."""


@dataclass(frozen=True)
class EnvSource:
    """How to make an environment.

    The environment has an `id` (Gymnasium's, `module:EnvId` or `module:function`) or a `factory` of this process. A
    file can take the place of a module, as in `cart.py:Cart`.
    """

    id: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    factory: Factory | None = None
    max_episode_steps: int | None = None
    """Steps after which episodes are truncated, in addition to the environment's own limit."""
    local_only: str | None = None
    """The reason why only this process can make it, if a worker process has tried or the user was warned."""

    @property
    def importable(self) -> bool:
        """Whether another process can make the environment.

        It cannot make a lambda, a closure or a function of the user's script.
        """
        return self.local_reason is None

    def step_limit(self, seconds: float | None, workers: int | None) -> float | None:
        """Return the time limit for a step: none in this process, which cannot be killed."""
        return seconds if self.importable and workers != 0 else None

    @property
    def local_reason(self) -> str | None:
        """The reason why only this process can make it; None if others can."""
        if self.local_only is not None:
            return self.local_only
        try:
            self.to_process()
        except NotRecordable as error:
            return f"a worker process cannot receive {error}"
        return None

    @property
    def stem(self) -> str:
        """A short name, for the directory of a run."""
        module, _, name = self.id.rpartition(":")
        return f"{Path(module).stem}:{name}" if is_file(module) else self.id

    def make(self, render_mode: str | None = None) -> gymnasium.Env:
        """Make a new environment.

        A function that takes no `render_mode` is called without; the attribute of its environment is set instead.

        Raises:
            UsageError: for an unknown name.
            EntraxError: if the constructor fails.
        """
        if render_mode is None:
            return self._make({})
        try:
            return self._make({"render_mode": render_mode})
        except EntraxError as error:
            if not isinstance(error.__cause__, TypeError) or "render_mode" not in str(error):
                raise
        env = self._make({})
        if env.render_mode is None:
            env.unwrapped.render_mode = render_mode
        return env

    def _make(self, rendering: dict[str, Any]) -> gymnasium.Env:
        try:
            with quiet(), exits_caught():
                env = _call(self.id, self._maker(), own_copy(self.kwargs) | rendering)
        except SystemExit as error:
            raise EntraxError(f"Environment {self.id!r} {exit_cause(error)} while it was made.") from error
        if not isinstance(env, gymnasium.Env):
            raise UsageError(f"{self.id!r} made a {type(env).__name__}, not a gymnasium.Env.")
        limit = self.max_episode_steps
        return env if limit is None else gymnasium.wrappers.TimeLimit(env, limit)

    def _maker(self) -> Factory:
        """Return the function that makes the environment from its arguments."""
        if self.factory is not None:
            return self.factory
        module, _, name = self.id.rpartition(":")
        if is_file(name):
            raise UsageError(f"{name} can define several environments; name one, as in {Path(name).name}:Cart.")
        imported = import_named(module) if module else None
        if imported is None or name in gymnasium.registry:
            return _gymnasium_make(name)
        function = vars(imported).get(name)
        if not callable(function):
            raise UsageError(f"{module} neither registers nor defines an environment {name!r}{_environments(imported)}")
        return function

    def to_json(self) -> dict[str, Any]:
        """Return the record for config.json, which `entrax.environments.recorded` reads."""
        try:
            self._registrations()
            importable = True
        except NotRecordable:
            importable = False
        return {"id": self.id, "kwargs": record(self.kwargs), "travels": importable}

    def to_process(self) -> dict[str, Any]:
        """Return the description for a worker process.

        Raises NotRecordable if only this process can make it.
        """
        needed = self._registrations()
        # A function may make any registered environment. Registrations that need an import are left to that function.
        others = [record(fields_of(spec)) for spec in gymnasium.registry.values() if isinstance(spec.entry_point, str)]
        more = [spec for spec in others if not any(mark in json.dumps(spec) for mark in ("$name", "$lost"))]
        sent = {"id": self.id, "kwargs": encode(self.kwargs), "registrations": more + needed}
        return sent | {"max_episode_steps": self.max_episode_steps}

    @classmethod
    def from_process(cls, sent: Mapping[str, Any]) -> "EnvSource":
        """Return the source that `to_process` described.

        It can import anything: never call it on data of a file.
        """
        for spec in sent["registrations"]:
            register(decode(spec))
        return cls(id=sent["id"], kwargs=decode(sent["kwargs"]), max_episode_steps=sent["max_episode_steps"])

    def _ids(self) -> list[str]:
        """Return the ids of this environment and of those inside it."""
        id, kwargs = self.id, self.kwargs
        ids: list[str] = [id]
        while id in NESTED and isinstance(kwargs, Mapping):
            env_name, args_name = NESTED[id]
            id, kwargs = str(kwargs.get(env_name)), kwargs.get(args_name, {})
            ids.append(id)
        return ids

    def _registrations(self) -> list[dict[str, Any]]:
        """Return what another process must register. Raises NotRecordable if only this process has the code."""
        if self.factory is not None:
            raise NotRecordable(self.id)
        specs = [registered(id) for id in self._ids()]
        codes = self._ids() + [spec.entry_point for spec in specs if spec is not None]
        for code in codes:
            if isinstance(code, str) and not _is_importable(code):
                raise NotRecordable(code)
        return [encode(fields_of(spec)) for spec in specs if spec is not None]


def registered(id: str) -> EnvSpec | None:
    """Return Gymnasium's registration of an id, by default of its newest version.

    Returns None if it is not registered.
    """
    if id in gymnasium.registry:
        return gymnasium.registry[id]
    try:
        space, name, version = parse_env_id(id)
    except gymnasium.error.Error:
        return None
    newest = find_highest_version(space, name) if version is None else None
    return None if newest is None else gymnasium.registry.get(get_env_id(space, name, newest))


def fields_of(spec: EnvSpec) -> dict[str, Any]:
    """Return a registration as plain data."""
    given = {f.name: vars(spec)[f.name] for f in fields(spec) if f.init}
    return given | {"additional_wrappers": [vars(wrapper) for wrapper in spec.additional_wrappers]}


def register(given: Mapping[str, Any]) -> None:
    """Register an id from what `fields_of` returned in another process."""
    wrappers = tuple(WrapperSpec(**wrapper) for wrapper in given["additional_wrappers"])
    gymnasium.registry[given["id"]] = EnvSpec(**{**given, "additional_wrappers": wrappers})


def as_source(env: "str | EnvSource | Factory", kwargs: Mapping[str, Any]) -> EnvSource:
    """Return the source for an id, or for a callable that makes the environment."""
    if isinstance(env, EnvSource):
        return env
    given = own_copy(kwargs)
    if isinstance(env, str):
        return EnvSource(id=absolute(env), kwargs=_with_absolute_files(env, given))
    if not callable(env):
        raise UsageError(f"`env` must be an id or a function that makes the environment, got a {type(env).__name__}.")
    if isinstance(env, functools.partial) and not env.args:
        return as_source(env.func, env.keywords | given)
    reference = reference_of(env)
    if reference is not None and "." not in reference.rpartition(":")[2]:
        return EnvSource(id=reference, kwargs=given)
    name = getattr(env, "__qualname__", type(env).__qualname__)
    return EnvSource(id=name.replace("<", "").replace(">", ""), kwargs=given, factory=env)


def _with_absolute_files(id: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an environment, with the file of an inner environment made absolute."""
    env_name, args_name = NESTED.get(id, ("", ""))
    inside, nested = kwargs.get(env_name), kwargs.get(args_name)
    if isinstance(inside, str):
        kwargs |= {env_name: absolute(inside)}
        if isinstance(nested, dict):
            kwargs |= {args_name: _with_absolute_files(inside, nested)}
    return kwargs


def parse_env_args(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse `key=value` texts into a dictionary.

    A value is JSON, as `encode` writes it, or else a text.
    """
    parsed: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--env-arg must be key=value, got {pair!r}.")
        try:
            parsed[key] = decode(json.loads(value))
        except json.JSONDecodeError:
            parsed[key] = value
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise UsageError(f"The value of --env-arg {key} cannot be read: {error}.") from error
    return parsed


@contextmanager
def quiet() -> Iterator[None]:
    """Hide warnings that a user cannot act on.

    These are Gymnasium's about versions and precision, and MuJoCo's about its models.
    """
    _silence_mujoco()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", module="gymnasium")
        yield


def _silence_mujoco() -> None:
    """Turn MuJoCo's warnings into Python's, except that HalfCheetah's model uses a deprecated attribute."""
    try:
        import mujoco
    except ImportError:
        return
    mujoco.set_mju_user_warning(_mujoco_warning)


def _mujoco_warning(message: str) -> None:
    if "settotalmass" not in message:
        warnings.warn(f"MuJoCo: {message}", stacklevel=2)


def _gymnasium_make(name: str) -> Factory:
    def make(**kwargs: Any) -> gymnasium.Env:
        return gymnasium.make(name, disable_env_checker=True, **kwargs)

    return make


def _is_importable(reference: str) -> bool:
    """Return whether another process can find the module, unlike the user's script or a module made by hand."""
    module = reference.rpartition(":")[0]
    return module != "__main__" and getattr(sys.modules.get(module, sys), "__spec__", None) is not None


def _environments(module: ModuleType) -> str:
    """Return the end of a sentence that lists the environments of a module."""
    names = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, gymnasium.Env) and value.__module__ == module.__name__
    ]
    return f"; it defines {', '.join(names)}." if names else "."


def unknown_environment(name: str, also: str = "") -> str:
    """Return the error for an unknown environment; `also` names what else could be given."""
    near = closest(name, gymnasium.registry)
    if name.startswith("ALE/"):
        game = name.removeprefix("ALE/").partition("-")[0]
        return f"There is no environment {name!r}. Use entrax/Atari-v0 with `env_args={{'game': '{game}'}}`."
    remedy = "" if "did you mean" in near else f" Give a Gymnasium id, module:Class or file.py:Class{also}."
    return f"There is no environment {name!r}{near}{remedy}"


def _call(name: str, function: Factory, kwargs: dict[str, Any]) -> Any:
    try:
        return function(**kwargs)
    except gymnasium.error.UnregisteredEnv as error:
        raise UsageError(unknown_environment(name)) from error
    except Exception as error:  # a constructor can raise anything
        given = f" with {kwargs}" if kwargs else ""
        raise EntraxError(f"Environment {name!r} cannot be made{given}: {type(error).__name__}: {error}") from error
