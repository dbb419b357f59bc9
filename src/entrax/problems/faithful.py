"""Whether an environment does what its table of transitions says, which its wrappers or its class may change.

Gymnasium's toy-text environments draw from their table in `step` and `reset`. That is known of their code only: any
other `step` or `reset` around or above it may do something else, and the table does not show it.
"""

from typing import Any

from entrax.errors import EntraxError

DECISIVE = ("step", "reset", "s", "np_random")
"""What a class must not define for its environment to follow the table of the class that it extends."""


def bare_environment(env: Any) -> Any:
    """The environment within wrappers that change no step and no episode; EntraxError names any other wrapper."""
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
            raise EntraxError(
                f"The wrapper {type(env).__name__} may change steps or episodes, which the table `P` does not show. "
                "Remove it, or give env.unwrapped to plan without it."
            )
        env = env.env
    name = type(env).__name__
    try:
        inner = env.unwrapped
    except AttributeError as error:
        raise EntraxError(f"An environment is given by its id or as it is, not by a {name}.") from error
    if inner is not env:
        raise EntraxError(f"{name} may change what it wraps, which the table `P` does not show: give env.unwrapped.")
    return env


def check_follows_table(env: Any) -> None:
    """Refuse a bare environment whose `step` and `reset` are not Gymnasium's own, which follow the table."""
    import gymnasium
    from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
    from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
    from gymnasium.envs.toy_text.taxi import TaxiEnv

    if own := defines(env, {gymnasium.Env, CliffWalkingEnv, FrozenLakeEnv, TaxiEnv}):
        raise EntraxError(
            f"{type(env).__name__} has its own `{own}`, which may differ from its table `P`. "
            "If it follows the table, give `trust_table=True`."
        )
    if getattr(env, "fickle_passenger", False) and getattr(env, "fickle_probability", 1) > 0:
        raise EntraxError(
            f"The passenger of {type(env).__name__} is fickle, which its table `P` does not show. "
            "Make it with fickle_passenger=False to plan for it."
        )


def defines(env: Any, known: set[type]) -> str | None:
    """What an environment, or a class of it that is not `known`, defines of what decides its steps."""
    for name in DECISIVE[:2]:
        if name in getattr(env, "__dict__", {}):
            return name
    unknown = [vars(owner) for owner in type(env).__mro__ if owner not in known]
    return next((name for name in DECISIVE for members in unknown if name in members), None)
