"""A finite problem from the command line: an environment with a table, a map, or a file."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from entrax.cli.shared_options import combine, env_arg
from entrax.cli.values import Integer, Real
from entrax.errors import UsageError

if TYPE_CHECKING:
    from entrax.problems import FiniteMDP, Layout

MAP_OPTIONS = ("slip", "step_reward", "goal_reward", "pit_reward")


class PlanProblem(NamedTuple):
    """A problem, its name, and its map if it is a grid."""

    title: str
    mdp: "FiniteMDP"
    layout: "Layout | None"


PROBLEM = combine(
    click.option("--discount", type=Real(), help="γ in [0, 1]. [the file's, else 1]"),
    click.option("--horizon", type=Integer(), help="Number of decisions. [the file's, else infinite]"),
    click.option("--convention", default="entropy", show_default=True, help="entropy, or kl to the problem's prior."),
    click.option("--slip", type=Real(), help="For a map: the probability that a step goes sideways. [0]"),
    click.option("--step-reward", type=Real(), help="For a map: the reward of every step. [0]"),
    click.option("--goal-reward", type=Real(), help="For a map: the reward of entering a goal. [1]"),
    click.option("--pit-reward", type=Real(), help="For a map: the reward of entering a pit. [-1]"),
    env_arg(),
    click.option(
        "--trust-table", is_flag=True, help="Trust that the environment's own step and reset follow its table P."
    ),
)
"""Options of a problem that is given whole."""


def read_problem(source: str, given: dict[str, Any]) -> PlanProblem:
    """Read the problem that SOURCE names, with the options' discount and horizon."""
    overrides = {name: given[name] for name in ("discount", "horizon") if given[name] is not None}
    path, map_options = Path(source), {name: given[name] for name in MAP_OPTIONS if given[name] is not None}
    is_map = path.suffix != ".npz" and path.is_file()
    if map_options and not is_map:
        flag = min(map_options).replace("_", "-")
        raise UsageError(f"--{flag} is for maps in text files, and {source} is not one. Remove --{flag}.")
    flags = {"env_args": "--env-arg", "trust_table": "--trust-table"}
    environment_flags = [flag for name, flag in flags.items() if given[name]]
    if environment_flags and (is_map or path.suffix == ".npz"):
        flag = environment_flags[0]
        raise UsageError(f"{flag} is for Gymnasium's environments, and {source} is a file. Remove {flag}.")
    if path.suffix == ".npz":
        from entrax.problems import FiniteMDP

        return PlanProblem(path.name, dataclasses.replace(FiniteMDP.load(path), **overrides), None)
    if is_map:
        return read_map(path, {**map_options, **overrides})
    return read_environment(source, given["env_args"], {**overrides, "trust_table": given["trust_table"]})


def read_map(path: Path, options: dict[str, Any]) -> PlanProblem:
    """Read a gridworld from a text file."""
    from entrax.problems import Layout, gridworld
    from entrax.runs.records import read_whole

    try:
        layout = Layout.parse(read_whole(path.resolve()).decode())
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read as a map: {error}.") from error
    return PlanProblem(path.name, gridworld(layout, **options), layout)


def read_environment(name: str, env_args: Sequence[str], options: dict[str, Any]) -> PlanProblem:
    """Read the problem of an environment that has a table of transitions."""
    import gymnasium

    from entrax.environments.source import EnvSource, parse_env_args, unknown_environment
    from entrax.problems import FiniteMDP, layout_of

    if name.endswith((".txt", ".map")) or ("/" in name and not re.search(r"-v\d+$", name)):  # such as ALE/Pong-v5
        raise UsageError(f"There is no file {name}.")
    try:
        env = EnvSource(name, parse_env_args(env_args)).make()
    except UsageError as error:
        if isinstance(error.__cause__, gymnasium.error.UnregisteredEnv):
            raise UsageError(unknown_environment(name, ", or a map or an .npz file")) from error
        raise
    try:
        if getattr(env.unwrapped, "P", None) is None:
            remedy = "Use `entrax train` for it, or give a map or an .npz file."
            raise UsageError(f"{name} has no table of transitions P, so its dynamics are unknown. {remedy}")
        return PlanProblem(name, FiniteMDP.from_gymnasium(env, **options), layout_of(env))
    finally:
        env.close()
