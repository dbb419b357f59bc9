"""`entrax plan`: solve a finite problem exactly, with a certified error."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from entrax.cli.output import print_json
from entrax.cli.shared_options import OUTPUT, env_arg
from entrax.cli.values import Integer, Real
from entrax.errors import UsageError, show

if TYPE_CHECKING:
    from entrax.problems import FiniteMDP, Layout

MAP_OPTIONS = ("slip", "step_reward", "goal_reward", "pit_reward")


class PlanProblem(NamedTuple):
    """A problem, its name, and its map if it is a grid."""

    title: str
    mdp: "FiniteMDP"
    layout: "Layout | None"


@click.command("plan")
@click.argument("source")
@click.option("--temperature", type=Real(), required=True, help="α ≥ 0, in units of reward; 0 is classical planning.")
@click.option("--discount", type=Real(), help="γ in [0, 1]. [the file's, else 1]")
@click.option("--horizon", type=Integer(), help="Number of decisions. [the file's, else infinite]")
@click.option(
    "--posterior", is_flag=True, help="Also compute the exact posterior given optimality; requires a horizon."
)
@click.option("--convention", default="entropy", show_default=True, help="entropy, or kl to the problem's prior.")
@click.option("--objective", default="discounted", show_default=True, help="discounted or average.")
@click.option(
    "--method", default="auto", show_default=True, help="auto, value-iteration, policy-iteration or newton-krylov."
)
@click.option("--tolerance", type=Real(), help="Required bound on the value's error. [1e-09]")
@click.option("--slip", type=Real(), help="For a map: the probability that a step goes sideways. [0]")
@click.option("--step-reward", type=Real(), help="For a map: the reward of every step. [0]")
@click.option("--goal-reward", type=Real(), help="For a map: the reward of entering a goal. [1]")
@click.option("--pit-reward", type=Real(), help="For a map: the reward of entering a pit. [-1]")
@env_arg()
@click.option("--trust-table", is_flag=True, help="Trust that the environment's own step and reset follow its table P.")
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Draw value, policy and entropy.")
@OUTPUT
def command(source: str, **given: Any) -> None:
    """Compute the soft-optimal value and policy of SOURCE.

    SOURCE is a Gymnasium id, a map in a text file (. # S G X), or a problem in an .npz file.
    """
    import jax

    from entrax.programs import keep_programs

    keep_programs()
    with jax.enable_x64(True):
        problem = read_problem(source, given)
        answer = solve(problem, given)
    if given["figure"] is not None:
        draw(problem, answer, given["figure"])
    if given["as_json"]:
        print_json(answer)
    else:
        from entrax.cli import plan_text

        plan_text.show(problem.title, problem.mdp, problem.layout, answer)
        if given["figure"] is not None:
            show(f"figure  {given['figure']}")


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


def solve(problem: PlanProblem, given: dict[str, Any]) -> dict[str, Any]:
    """Solve a problem; with a horizon, return the answer of the first decision.

    Returns the answer as numbers and NumPy arrays by name, and the result of `infer` under `posterior` if requested.
    """
    import numpy as np

    from entrax.exact import DEFAULT_TOLERANCE, plan

    mdp, temperature = problem.mdp, given["temperature"]
    if given["posterior"] and mdp.horizon is None:
        raise UsageError("--posterior requires --horizon.")
    tolerance = DEFAULT_TOLERANCE if given["tolerance"] is None else given["tolerance"]
    names = ("method", "convention", "objective")
    solution = plan(mdp, temperature, tolerance=tolerance, **{name: given[name] for name in names})
    over_time = np.ndim(solution.value) == 2
    value, policy = (np.asarray(array[0] if over_time else array) for array in (solution.value, solution.policy))
    answer: dict[str, Any] = {
        "source": problem.title,
        "temperature": temperature,
        "discount": float(mdp.discount),
        "horizon": mdp.horizon,
        "convention": given["convention"],
        "objective": given["objective"],
        "states": mdp.states,
        "actions": mdp.actions,
        "start_value": float(np.sum(np.where(mdp.initial > 0, mdp.initial * value, 0.0))),
        "error_bound": float(solution.error_bound),
        "error_norm": solution.error_norm,
        "converged": bool(solution.converged),
        "residual": float(solution.residual),
        "iterations": int(solution.iterations),
        "method": solution.method,
        "value": value,
        "policy": policy,
    }
    if solution.average_reward is not None:
        answer["average_reward"] = float(solution.average_reward)
    return answer | ({"posterior": infer(mdp, temperature)} if given["posterior"] else {})


def infer(mdp: "FiniteMDP", temperature: float) -> dict[str, Any]:
    """Compute the exact and the variational posterior at the first decision."""
    import numpy as np

    from entrax.exact import posterior, variational_posterior

    exact, variational = posterior(mdp, temperature), variational_posterior(mdp, temperature)
    return {
        "log_evidence": float(exact.log_evidence),
        "evidence_lower_bound": float(variational.log_evidence),
        "optimism": np.asarray(exact.value[0] - variational.value[0]),
        "policy": np.asarray(exact.policy(0)),
    }


def draw(problem: PlanProblem, answer: dict[str, Any], path: Path) -> None:
    """Draw the answer into an image at `path`."""
    import numpy as np

    from entrax.cli.plan_text import headline
    from entrax.report.plan_figure import Grid, plan_figure

    layout = problem.layout
    grid = None if layout is None else Grid(layout.rows, layout.state, layout.directions)
    plan_figure(path, problem.title, headline(answer), answer, np.asarray(problem.mdp.terminal), grid)
