"""Check that an environment follows its table of transitions.

Gymnasium's toy-text environments sample from their table in `step` and `reset`. A wrapper or a subclass with its own
`step` or `reset` may do something else, which the table does not show.
"""

from typing import Any

from entrax.errors import UsageError

DECISIVE = ("step", "reset", "s", "np_random")
"""Attributes that a subclass must not define if its environment is to follow the table of its base class."""


def bare_environment(env: Any) -> Any:
    """Remove wrappers that change neither steps nor episodes.

    Raises:
        UsageError: another wrapper was found, or `env` is not an environment.
    """
    import gymnasium
    from gymnasium import wrappers

    harmless = {
        gymnasium.Env,
        gymnasium.Wrapper,
        wrappers.HumanRendering,
        wrappers.OrderEnforcing,
        wrappers.PassiveEnvChecker,
        wrappers.RecordEpisodeStatistics,
        wrappers.RecordVideo,
        wrappers.RenderCollection,
        wrappers.TimeLimit,
    }
    while isinstance(env, gymnasium.Wrapper):
        if defines(env, harmless):
            raise UsageError(
                f"The wrapper {type(env).__name__} may change steps or episodes, which the table `P` does not show. "
                "Remove it, or pass env.unwrapped."
            )
        env = env.env
    name = type(env).__name__
    try:
        inner = env.unwrapped
    except AttributeError as error:
        raise UsageError(f"An environment must be a Gymnasium id or a Gymnasium environment, got a {name}.") from error
    if inner is not env:
        raise UsageError(f"{name} may change what it wraps, which the table `P` does not show. Pass env.unwrapped.")
    return env


def check_follows_table(env: Any) -> None:
    """Refuse an environment whose `step` or `reset` may differ from its table."""
    import gymnasium
    from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
    from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
    from gymnasium.envs.toy_text.taxi import TaxiEnv

    if own := defines(env, {gymnasium.Env, CliffWalkingEnv, FrozenLakeEnv, TaxiEnv}):
        raise UsageError(
            f"{type(env).__name__} has its own `{own}`, which may differ from its table `P`. "
            "If it follows the table, set `trust_table=True`."
        )
    if getattr(env, "fickle_passenger", False) and getattr(env, "fickle_probability", 1) > 0:
        raise UsageError(
            f"The passenger of {type(env).__name__} is fickle, which its table `P` does not show. "
            "Make the environment with fickle_passenger=False."
        )


def defines(env: Any, known: set[type]) -> str | None:
    """Return a name of `DECISIVE` that `env` or a class outside `known` defines."""
    for name in DECISIVE[:2]:
        if name in getattr(env, "__dict__", {}):
            return name
    unknown = [vars(owner) for owner in type(env).__mro__ if owner not in known]
    return next((name for name in DECISIVE for members in unknown if name in members), None)
