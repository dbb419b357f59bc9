"""Simulators for planning: the rewards that plans would bring from the present state of an environment.

    model     the environment's own MuJoCo model, with a batched reward; for Gymnasium's environments that
              `mujoco_rewards` lists, and for others whose reward is given as a function
    copies    copies of the environment, for all others whose state can be restored exactly

Both are tested against the environment when they are made.
"""

import copy
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from jaxtyping import Num

from entrax.environments.make import usable_cores
from entrax.environments.mujoco_rewards import Formula, Function, Results, formula_of
from entrax.environments.perturb_mujoco import mujoco_body
from entrax.environments.simulate_copies import STEPS, TRIALS, CopySimulator, exact_way
from entrax.environments.simulate_model import ModelSimulator
from entrax.environments.source import quiet
from entrax.environments.spaces import rescale, spec_of, to_env_action
from entrax.errors import UsageError, require_one_of
from entrax.references import resolve
from entrax.spec import Continuous

KINDS = ("auto", "model", "copies")
TOLERANCE = 1e-10
"""The largest difference from the environment, relative to the number where that is above 1."""
Make = Callable[[], gymnasium.Env]


@runtime_checkable
class Simulator(Protocol):
    """What plans lead to, from the present state of `env`.

    `kind` is "model" or "copies"; `seconds` is the time spent in physics so far.
    """

    env: gymnasium.Env
    kind: str
    seconds: float

    def __call__(
        self, states: Any, actions: Num[np.ndarray, "plan time action"], seeds: Num[np.ndarray, " plan"]
    ) -> Results:
        """Return rewards and terminations, each [plan, time]; what follows a termination has no meaning.

        Args:
            states: ignored: plans begin at the present state of `env`.
            actions: the agent's, in [-1, 1].
            seeds: of the environment's own random numbers, if it draws any in a step.
        """
        ...

    def close(self) -> None:
        """End threads and close copies; `env` stays open."""
        ...


def simulator_of(
    env: gymnasium.Env,
    *,
    make: Make | None = None,
    simulator: str = "auto",
    reward: Function | str | None = None,
    threads: int | None = None,
) -> Simulator:
    """Return a simulator that plans from the present state of an environment.

    Args:
        env: the environment that is acted in. It is not changed.
        make: makes another one like it, for tests and copies; by default from Gymnasium's registration of it.
        simulator: 'model', 'copies', or 'auto' for the first that applies.
        reward: for a MuJoCo environment of your own: `function(before, after, action, env) → (reward, terminated)` for
            many plans at once, or its name as module:function. See `entrax.environments.mujoco_rewards`; a function
            with an attribute `reads`, names of arrays of mjData, finds those in `before.read` and `after.read`.
        threads: the number of threads; by default the number of cores.

    Raises:
        UsageError: actions are not continuous, the reward differs from the environment's, or the environment's state
            cannot be restored.
    """
    require_one_of("simulator", simulator, KINDS)
    name = _name(env)
    if not isinstance(spec_of(env).action, Continuous):
        raise UsageError(f"Planning requires continuous actions, and {name} has {type(env.action_space).__name__}.")
    make = _maker(env) if make is None else make
    threads = usable_cores() if threads is None else threads
    if simulator == "copies" and reward is not None:
        raise UsageError("`reward` is for `simulator='model'`: copies of the environment return their own. Remove it.")
    required = simulator == "model" or reward is not None
    if required and mujoco_body(env) is None:
        remedy = "Use `simulator='copies'`." if reward is None else "Remove `reward`."
        raise UsageError(f"{name} is no Gymnasium MuJoCo environment. {remedy}")
    formula = formula_of(env) if reward is None else _formula(reward)
    if required and formula is None:
        raise UsageError(f"The reward of {name} is not known. Give `reward`, or use `simulator='copies'`.")
    if formula is not None and simulator != "copies":
        reason = mismatch(make, formula, threads)
        if reason is None:
            return ModelSimulator(env, formula, threads)
        if required:
            raise UsageError(f"The model of {name} does not predict the environment: {reason}.")
    way, failed = exact_way(make)
    if way is None:
        raise UsageError(f"The state of {name} cannot be restored for planning: {failed}.")
    return CopySimulator(env, make, way, threads if mujoco_body(env) is not None else 1)


def mismatch(make: Make, formula: Formula, threads: int) -> str | None:
    """Return how the model differs from the environment on random trajectories; None if it does not."""
    env = make()
    simulator = ModelSimulator(env, formula, threads)
    try:
        for seed, before in TRIALS:
            rng = np.random.default_rng(seed)
            env.reset(seed=seed)
            if not _walk(env, before, rng):
                continue
            if (reason := _first_difference(simulator, rng)) is not None:
                return reason
    finally:
        simulator.close()
        env.close()
    return None


def _first_difference(simulator: ModelSimulator, rng: np.random.Generator) -> str | None:
    env = simulator.env
    action, data = spec_of(env).action, mujoco_body(env).data
    assert isinstance(action, Continuous)
    plan = rng.uniform(-1.0, 1.0, (1, STEPS, action.size)).astype(np.float32)
    try:
        _, after, (rewards, terminated) = simulator.moments(plan)
    except UsageError:
        raise
    except Exception as error:  # a user's function can raise anything
        return f"its reward function raised {type(error).__name__} ({error})"
    for t in range(STEPS):
        _, reward, ended, truncated, _ = env.step(to_env_action(action, rescale(action, plan[0, t])))
        place = f"{t + 1} {'step' if t == 0 else 'steps'} ahead"
        for what, theirs, ours in (
            ("positions", data.qpos, after.qpos[0, t]),
            ("velocities", data.qvel, after.qvel[0, t]),
            ("reward", float(reward), rewards[0, t]),
        ):
            gap = np.abs(np.asarray(theirs) - ours)
            if not np.all(gap <= TOLERANCE * np.maximum(1.0, np.abs(theirs))):
                return f"its {what} differ{'s' if what == 'reward' else ''} by {np.max(gap):.3g} {place}"
        if bool(ended) != terminated[0, t]:
            return f"its termination differs {place}"
        if ended or truncated:
            break
    return None


def _walk(env: gymnasium.Env, steps: int, rng: np.random.Generator) -> bool:
    """Take random steps; return whether the episode goes on."""
    action = spec_of(env).action
    assert isinstance(action, Continuous)
    for _ in range(steps):
        flat = rescale(action, rng.uniform(-1.0, 1.0, action.size).astype(np.float32))
        _, _, terminated, truncated, _ = env.step(to_env_action(action, flat))
        if terminated or truncated:
            return False
    return True


def _formula(reward: Function | str) -> Formula:
    if not isinstance(reward, str):
        return Formula(reward, tuple(vars(reward).get("reads", ())))
    if ":" not in reward:
        raise UsageError(f"`reward` must be module:function or file.py:function, got {reward!r}.")
    return _formula(resolve(reward))


def _maker(env: gymnasium.Env) -> Make:
    """Return a function that makes another environment, by its registration or else by copying this one."""

    def make() -> gymnasium.Env:
        with quiet():
            if env.spec is None:
                return copy.deepcopy(env)
            return gymnasium.make(env.spec, disable_env_checker=True)

    return make


def _name(env: gymnasium.Env) -> str:
    return type(env.unwrapped).__name__ if env.spec is None else env.spec.id
