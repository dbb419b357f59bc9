"""How to make an environment, in a form that a worker process and a run's configuration can hold."""

import importlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from entrax.environments.faults import exit_cause, exits_caught
from entrax.errors import EntraxError, closest

Factory = Callable[..., gymnasium.Env]


@dataclass(frozen=True)
class EnvSource:
    """An environment by `id` (Gymnasium's, `module:EnvId` or `module:function`), or by a `factory` of this process."""

    id: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    factory: Factory | None = None
    max_episode_steps: int | None = None
    """Steps after which episodes are truncated, besides the environment's own limit."""

    @property
    def travels(self) -> bool:
        """Whether another process can make it: not so for a closure, a lambda or a function of the user's script."""
        registered = gymnasium.registry.get(self.id)
        return self.factory is None and not (registered is not None and callable(registered.entry_point))

    def registration(self) -> str | None:
        """Gymnasium's registration of the id as JSON, for a process that lacks what a script has registered."""
        registered = gymnasium.registry.get(self.id)
        return None if registered is None or not self.travels else registered.to_json()

    def make(self, render_mode: str | None = None) -> gymnasium.Env:
        """A new environment. Raises EntraxError when there is none of that name or its constructor fails."""
        kwargs = dict(self.kwargs) | ({"render_mode": render_mode} if render_mode else {})
        try:
            with quiet(), exits_caught():
                env = _call(self.id, self._maker(), kwargs)
        except SystemExit as error:
            raise EntraxError(f"Environment {self.id!r} {exit_cause(error)} while it was made.") from error
        if not isinstance(env, gymnasium.Env):
            raise EntraxError(f"{self.id!r} made a {type(env).__name__}, not a gymnasium.Env.")
        limit = self.max_episode_steps
        return env if limit is None else gymnasium.wrappers.TimeLimit(env, limit)

    def _maker(self) -> Factory:
        """The function that makes the environment from its arguments."""
        if self.factory is not None:
            return self.factory
        module, _, name = self.id.rpartition(":")
        if module:
            _import(module, self.id)
        if name in gymnasium.registry or not module:
            return _gymnasium_make(name)
        function = vars(importlib.import_module(module)).get(name)
        if not callable(function):
            raise EntraxError(f"Module {module!r} neither registers nor defines an environment {name!r}.")
        return function

    def to_json(self) -> dict[str, Any]:
        """What config.json holds; `entrax.environments.recorded` reads it."""
        return {"id": self.id, "kwargs": self.kwargs, "travels": self.travels}

    def to_process(self) -> dict[str, Any]:
        """What a process of ours is sent to make the environment there."""
        sent = {"id": self.id, "kwargs": self.kwargs, "registration": self.registration()}
        return sent | {"max_episode_steps": self.max_episode_steps}

    @classmethod
    def from_process(cls, sent: Mapping[str, Any]) -> "EnvSource":
        """The source that `to_process` described. Never call it on what a file holds: it may import anything."""
        register(sent["registration"])
        return cls(id=sent["id"], kwargs=dict(sent["kwargs"]), max_episode_steps=sent["max_episode_steps"])


def register(registration: str | None) -> None:
    """Make an id known that another process had registered."""
    if registration is not None:
        spec = gymnasium.envs.registration.EnvSpec.from_json(registration)
        if spec.id not in gymnasium.registry:
            gymnasium.registry[spec.id] = spec


def as_source(env: "str | EnvSource | Factory", kwargs: Mapping[str, Any]) -> EnvSource:
    """The source for an id or a function that makes the environment; `kwargs` must be JSON data if it is to travel."""
    if isinstance(env, EnvSource):
        return env
    if isinstance(env, str):
        return EnvSource(id=env, kwargs=dict(kwargs))
    if not callable(env):
        raise EntraxError(
            f"An environment is given by an id or a function that makes it, not by a {type(env).__name__}."
        )
    module, name = getattr(env, "__module__", ""), getattr(env, "__qualname__", type(env).__name__)
    if module not in ("", "__main__") and "." not in name and "<" not in name:
        return EnvSource(id=f"{module}:{name}", kwargs=dict(kwargs))
    return EnvSource(id=name.replace("<", "").replace(">", ""), kwargs=dict(kwargs), factory=env)


def parse_env_args(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` texts as a dictionary; values are JSON where they parse, else text."""
    parsed: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise EntraxError(f"--env-arg takes key=value, not {pair!r}.")
        try:
            parsed[key] = json.loads(value)
        except json.JSONDecodeError:
            parsed[key] = value
    return parsed


@contextmanager
def quiet() -> Iterator[None]:
    """Hides what a user cannot act on: Gymnasium's remarks on versions and precision, MuJoCo's on its own models."""
    _silence_mujoco()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", module="gymnasium")
        yield


def _silence_mujoco() -> None:
    """MuJoCo 4 prints that HalfCheetah's model uses a deprecated attribute; its other warnings are passed on."""
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


def _import(module: str, name: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise EntraxError(f"Environment {name!r} cannot be made: {error}.") from error


def _call(name: str, function: Factory, kwargs: dict[str, Any]) -> Any:
    try:
        return function(**kwargs)
    except gymnasium.error.UnregisteredEnv as error:
        raise EntraxError(f"There is no environment {name!r}{closest(name, gymnasium.registry)}") from error
    except Exception as error:  # a constructor may raise anything; the user needs its words, not its traceback
        given = f" with {kwargs}" if kwargs else ""
        raise EntraxError(f"Environment {name!r} cannot be made{given}: {type(error).__name__}: {error}") from error
