"""Perturbations of an environment by a wrapper: `perturb(env, mass=0.5, action_delay=1.0)`.

The severity of each family goes from 0 (none) to 1 (severe); `FAMILIES` gives its physical meaning. All randomness
follows from the seed of reset. Each family has its own random stream, so that families do not change each other's
noise, and the severity only scales it. Perturbations of a perturbed environment add up, with different randomness.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from entrax.environments.perturb_mujoco import MODEL_FIELDS, Pushes, install, mujoco_body, scaled
from entrax.environments.perturb_signals import (
    ActionDelay,
    ActionNoise,
    Signal,
    sensor_dropout,
    sensor_noise,
    unsupported_action,
    unsupported_sensors,
)
from entrax.environments.source import EnvSource, as_source
from entrax.environments.terrain import GROUND, RelativeHeight, on_ground, terrain, unsupported_ground
from entrax.errors import UsageError, closest


@dataclass(frozen=True)
class Family:
    """A family of perturbations: what it acts on, and its effect at severity 1."""

    acts_on: Literal["body", "action", "sensor", "ground"]
    severe: str


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "push": Family("body", "pushes of 0.1 s about once a second, each worth 1 m/s times the body's mass in N s"),
        "mass": Family("body", "mass and inertia of every part doubled"),
        "friction": Family("body", "friction of everything down to a tenth"),
        "gravity": Family("body", "gravity doubled"),
        "motor_strength": Family("body", "motors with a quarter of their force"),
        "action_noise": Family("action", "Gaussian noise of half of the half range; half of discrete actions random"),
        "action_delay": Family(
            "action", "actions carried out four steps late (one step for every quarter of severity)"
        ),
        "sensor_noise": Family("sensor", "Gaussian noise of 0.2 half ranges, or of 0.2 where a reading is unbounded"),
        "sensor_dropout": Family("sensor", "every reading lost (0) in half of the steps"),
        "slope_up": Family("ground", "a slope of 15 degrees up, from just beyond the body's front"),
        "slope_down": Family("ground", "a slope of 15 degrees down"),
        "stairs_up": Family("ground", "stairs up, each 0.2 m high and 0.5 m deep"),
        "stairs_down": Family("ground", "stairs down, each 0.2 m high and 0.5 m deep"),
        "obstacles": Family("ground", "hurdles across the way, 0.2 m high, every 2 m"),
    }
)
"""The families of perturbation, by name."""

CONDITION_SEEDS = 2**31
"""The reset seed of a `Conditions` environment is condition · 2³¹ + seed of the episode."""


def perturb(env: gymnasium.Env | str, /, **severities: float) -> "Perturbed":
    """Wrap an environment in perturbations: `perturb(env, push=0.5, slope_up=1)`.

    Args:
        env: any environment; families of the body and the ground require an unchanged MuJoCo environment of Gymnasium.
        **severities: from 0 to 1 for each family of `FAMILIES`. If all are 0, every step is bitwise that of `env`.

    Raises:
        UsageError: for an unknown family, a severity out of range, a family that does not apply, or two grounds.
    """
    return Perturbed(as_source(env, {}).make() if isinstance(env, str) else env, **severities)


def inapplicable(env: gymnasium.Env) -> dict[str, str]:
    """Return the reason for each family that does not apply to this environment."""
    return {name: reason for name in FAMILIES if (reason := _unsupported(env, name)) is not None}


def family_named(name: str) -> str:
    """Return the name of a family, hyphens allowed.

    Raises UsageError with the closest name for an unknown one.
    """
    plain = name.strip().replace("-", "_")
    if plain not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise UsageError(f"Unknown family of perturbations {name!r}{closest(plain, FAMILIES)} Families are {known}.")
    return plain


class Perturbed(gymnasium.Wrapper, RecordConstructorArgs):
    """The wrapper that `perturb` returns.

    `restore` returns the unperturbed environment.
    """

    def __init__(self, env: gymnasium.Env, **severities: float):
        RecordConstructorArgs.__init__(self, _disable_deepcopy=False, **severities)
        super().__init__(env)
        given = _checked(env, severities)
        self.severities = given
        self._body = mujoco_body(env)
        self._height: RelativeHeight | None = None
        self._pushes: Pushes | None = None
        if self._body is not None:
            self._change_body(self._body, given)
        # The order matters: a late action is carried out with noise, and a lost reading has no noise.
        action, observation = env.action_space, env.observation_space
        makers: dict[str, Callable[..., Signal]] = {"action_delay": ActionDelay, "action_noise": ActionNoise}
        self._actions = {name: make(action, given[name]) for name, make in makers.items() if name in given}
        readers: dict[str, Callable[..., Signal]] = {"sensor_noise": sensor_noise, "sensor_dropout": sensor_dropout}
        self._sensors = {name: make(observation, given[name]) for name, make in readers.items() if name in given}
        self._depth = _depth(env)
        self._streams = _streams(given, None, self._depth)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a `seed` also seeds the perturbations."""
        if seed is not None:
            self._streams = _streams(self.severities, seed, self._depth)
        for name, signal in (self._actions | self._sensors).items():
            signal.begin(self._streams[name])
        if self._pushes is not None:
            self._pushes.begin(self._streams["push"])
        if self._height is not None:
            self._height.begin()
        obs, info = self.env.reset(seed=seed, options=options)
        return self._observed(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take one step under the perturbations."""
        for change in self._actions.values():
            action = change(action)
        with nullcontext() if self._pushes is None else self._pushes.during_step():
            obs, reward, terminated, truncated, info = self.env.step(action)
        return self._observed(obs), reward, terminated, truncated, info

    def restore(self) -> gymnasium.Env:
        """Remove the perturbations of body and ground.

        The environment must be reset before its next step.
        """
        if self._height is not None:
            self._height.remove()
        if self._body is not None and self._body.model is not self._own_model:
            install(self._body, self._own_model, self._own_data)
        return self.env

    def __reduce__(self) -> Any:
        """Pickle by construction, like Gymnasium's MuJoCo environments; the copy must be reset."""
        return _wrap, (self.env, self.severities)

    def _observed(self, obs: Any) -> Any:
        for change in self._sensors.values():
            obs = change(obs)
        return obs

    def _change_body(self, body: Any, given: dict[str, float]) -> None:
        import mujoco

        self._own_model, self._own_data = body.model, body.data
        model, data = body.model, body.data
        if "push" in given:  # before the mass changes, so that pushes do not depend on it
            self._pushes = Pushes(body, given["push"])
        for family in given.keys() & set(GROUND):
            ground = terrain(body, family, given[family])
            model = on_ground(body, ground)
            data = mujoco.MjData(model)  # the sizes differ from those of the old model
            self._height = RelativeHeight(body, ground)
        fields = {family: given[family] for family in MODEL_FIELDS if family in given}
        if fields:
            model = scaled(model, fields)
        if model is not body.model:
            install(body, model, data)


class Conditions(gymnasium.Env):
    """One environment under many conditions, so that one pool can play all of them.

    `reset(seed=condition * CONDITION_SEEDS + seed)` starts the episode of `seed` under the condition of that number. A
    condition is a dictionary with `severities` by family and the `env_args` that differ.
    """

    def __init__(self, source: EnvSource, conditions: Sequence[Mapping[str, Any]]):
        self._source, self._conditions = source, conditions
        self._made: dict[int | None, gymnasium.Env] = {}
        self._number, self._perturbed = 0, Perturbed(self._under(0))
        self.observation_space, self.action_space = self._perturbed.observation_space, self._perturbed.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        number, episode = divmod(0 if seed is None else seed, CONDITION_SEEDS)
        if number != self._number:
            condition = self._conditions[number]
            self._perturbed.restore()
            self._perturbed = Perturbed(self._under(number), **condition.get("severities", {}))
            self._number = number
        return self._perturbed.reset(seed=episode, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        return self._perturbed.step(action)

    def close(self) -> None:
        for env in self._made.values():
            env.close()

    def _under(self, number: int) -> gymnasium.Env:
        """Return the environment of a condition; conditions without `env_args` share one."""
        env_args = self._conditions[number].get("env_args", {})
        key = number if env_args else None
        if key not in self._made:
            kwargs = self._source.kwargs | dict(env_args)
            self._made[key] = replace(self._source, kwargs=kwargs).make()
        return self._made[key]


def conditions(source: dict[str, Any], conditions: list[dict[str, Any]]) -> Conditions:
    """Make `Conditions` in a worker process, from `EnvSource.to_process`."""
    return Conditions(EnvSource.from_process(source), conditions)


def perturbed(env: str, env_args: Mapping[str, Any] | None = None, **arguments: Any) -> gymnasium.Env:
    """Make `entrax/Perturbed-v0`: the environment of id `env` under perturbations.

    `arguments` are severities by family, and `render_mode`.
    """
    rendered = arguments.pop("render_mode", None)
    return Perturbed(as_source(env, env_args or {}).make(rendered), **arguments)


def _wrap(env: gymnasium.Env, severities: dict[str, float]) -> Perturbed:
    return Perturbed(env, **severities)


def _checked(env: gymnasium.Env, severities: Mapping[str, Any]) -> dict[str, float]:
    """Check the severities; return those above 0, in the order of `FAMILIES`."""
    named = {family_named(name): severity for name, severity in severities.items()}
    for name, severity in named.items():
        if isinstance(severity, bool) or not isinstance(severity, int | float) or not 0.0 <= severity <= 1.0:
            raise UsageError(f"The severity of {name} must be a number from 0 (none) to 1 (severe), got {severity!r}.")
    given = {name: float(named[name]) for name in FAMILIES if named.get(name, 0.0) > 0.0}
    for name in given:
        if (reason := _unsupported(env, name)) is not None:
            raise UsageError(f"{name} does not apply to this environment: {reason}.")
    if len(grounds := [name for name in GROUND if name in given]) > 1:
        raise UsageError(f"Only one family can change the ground at a time, got {' and '.join(grounds)}.")
    return given


def _unsupported(env: gymnasium.Env, name: str) -> str | None:
    """Return the reason why this family does not apply; None if it does."""
    match FAMILIES[name].acts_on:
        case "action":
            return unsupported_action(env)
        case "sensor":
            return unsupported_sensors(env)
    body = mujoco_body(env)
    if body is None:
        return "it has no MuJoCo model"
    if name == "gravity" and not body.model.opt.gravity.any():
        return "its model has no gravity"
    if name == "motor_strength" and body.model.nu == 0:
        return "its model has no motors"
    return unsupported_ground(body) if name in GROUND else None


def _depth(env: gymnasium.Env) -> int:
    """Return the number of perturbation wrappers around the environment."""
    depth = 0
    while isinstance(env, gymnasium.Wrapper):
        depth, env = depth + isinstance(env, Perturbed), env.env
    return depth


def _streams(given: Mapping[str, float], seed: int | None, depth: int) -> dict[str, np.random.Generator]:
    """Return one generator for each family, determined by the seed, the family and the depth."""
    places = {name: place for place, name in enumerate(FAMILIES)}
    if seed is None:
        return {name: np.random.default_rng() for name in given}
    nested = (depth,) if depth else ()
    return {name: np.random.default_rng((seed, places[name], *nested)) for name in given}
