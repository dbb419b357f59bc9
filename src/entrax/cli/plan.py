"""`entrax plan`: the exact soft-optimal value and policy of a finite problem, with a certified error."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from entrax.cli.output import print_json
from entrax.cli.values import Whole
from entrax.errors import EntraxError, UsageError, show

if TYPE_CHECKING:
    from entrax.problems import FiniteMDP, Layout

MAP_OPTIONS = ("slip", "step_reward", "goal_reward", "pit_reward")


class Source(NamedTuple):
    """A problem, its name, and its map if it is a grid."""

    title: str
    mdp: "FiniteMDP"
    layout: "Layout | None"


@click.command("plan")
@click.argument("source")
@click.option("--temperature", type=float, required=True, help="α ≥ 0, in units of reward; 0 is classical planning.")
@click.option("--discount", type=float, help="γ in [0, 1]. [a file's own, else 1]")
@click.option("--horizon", type=Whole(), help="Number of decisions. [a file's own, else no end]")
@click.option("--posterior", is_flag=True, help="The exact posterior given optimality as well; needs a horizon.")
@click.option("--convention", default="entropy", show_default=True, help="entropy, or kl to the problem's prior.")
@click.option("--objective", default="discounted", show_default=True, help="discounted or average.")
@click.option("--method", default="auto", show_default=True, help="How to solve; an unknown one lists them.")
@click.option(
    "--tolerance", type=float, help="Largest error of the value, in units of reward. [that of plan in Python]"
)
@click.option("--slip", type=float, help="Of a map: the chance that a step goes to a side. [0]")
@click.option("--step-reward", type=float, help="Of a map: earned by every step. [0]")
@click.option("--goal-reward", type=float, help="Of a map: earned on entering a goal. [1]")
@click.option("--pit-reward", type=float, help="Of a map: earned on entering a pit. [-1]")
@click.option("--env-arg", multiple=True, metavar="KEY=VALUE", help="An argument of the environment; repeatable.")
@click.option("--trust-table", is_flag=True, help="The environment's own step and reset follow its table P.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Draw value, policy and entropy.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(source: str, **given: Any) -> None:
    """Plan in SOURCE: a Gymnasium id, a map in a text file (. # S G X), or a problem in an .npz file."""
    import jax

    with jax.enable_x64(True):
        problem = read(source, given)
        answer = solve(problem, given)
    if given["figure"] is not None:
        draw(problem, answer, given["figure"])
    if given["as_json"]:
        print_json(finite(answer))
    else:
        from entrax.cli import plan_text

        plan_text.show(problem.title, problem.mdp, problem.layout, answer)
        if given["figure"] is not None:
            show(f"figure  {given['figure']}")


def read(source: str, given: dict[str, Any]) -> Source:
    """The problem that SOURCE names, with the discount and horizon that were asked for."""
    wanted = {name: given[name] for name in ("discount", "horizon") if given[name] is not None}
    path, of_map = Path(source), {name: given[name] for name in MAP_OPTIONS if given[name] is not None}
    is_map = path.suffix != ".npz" and path.is_file()
    if of_map and not is_map:
        raise UsageError(f"--{min(of_map).replace('_', '-')} is for maps in text files, and {source} is none.")
    of_environment = [flag for flag in ("env_arg", "trust_table") if given[flag]]
    if of_environment and (is_map or path.suffix == ".npz"):
        flag = of_environment[0].replace("_", "-")
        raise UsageError(f"--{flag} is for Gymnasium's environments, and {source} is a file.")
    if path.suffix == ".npz":
        from entrax.problems import FiniteMDP

        return Source(path.name, dataclasses.replace(FiniteMDP.load(path), **wanted), None)
    if is_map:
        return read_map(path, {**of_map, **wanted})
    return read_environment(source, given["env_arg"], {**wanted, "trust_table": given["trust_table"]})


def read_map(path: Path, options: dict[str, Any]) -> Source:
    """A gridworld from a text file."""
    from entrax.problems import Layout, gridworld
    from entrax.runs.records import read_whole

    try:
        layout = Layout.parse(read_whole(path.resolve()).decode())
    except UnicodeDecodeError as error:
        raise EntraxError(f"{path} cannot be read as a map: {error}.") from error
    return Source(path.name, gridworld(layout, **options), layout)


def read_environment(name: str, env_args: Sequence[str], options: dict[str, Any]) -> Source:
    """A problem from an environment with a table."""
    from entrax.environments.source import EnvSource, parse_env_args
    from entrax.problems import FiniteMDP, layout_of

    if name.endswith((".txt", ".map")) or "/" in name:
        raise UsageError(f"There is no file {name}.")
    env = EnvSource(name, parse_env_args(env_args)).make()
    try:
        return Source(name, FiniteMDP.from_gymnasium(env, **options), layout_of(env))
    finally:
        env.close()


def solve(problem: Source, given: dict[str, Any]) -> dict[str, Any]:
    """The answer as numbers and NumPy arrays; with a horizon, value and policy are those of the first decision."""
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
    """The exact posterior beside the variational one, at the first decision."""
    import numpy as np

    from entrax.exact import posterior, variational_posterior

    exact, variational = posterior(mdp, temperature), variational_posterior(mdp, temperature)
    return {
        "log_evidence": float(exact.log_evidence),
        "evidence_lower_bound": float(variational.log_evidence),
        "optimism": np.asarray(exact.value[0] - variational.value[0]),
        "policy": np.asarray(exact.policy(0)),
    }


def draw(problem: Source, answer: dict[str, Any], path: Path) -> None:
    """Write the figure."""
    import numpy as np

    from entrax.cli.plan_text import headline
    from entrax.report.plan_figure import Grid, plan_figure

    layout = problem.layout
    grid = None if layout is None else Grid(layout.rows, layout.state, layout.directions)
    plan_figure(path, problem.title, headline(answer), answer, np.asarray(problem.mdp.terminal), grid)


def finite(answer: Any) -> Any:
    """The answer as JSON has it: lists for arrays, and null for what is no finite number."""
    import numpy as np

    if isinstance(answer, dict):
        return {name: finite(part) for name, part in answer.items()}
    if isinstance(answer, np.ndarray):
        return finite(answer.tolist())
    if isinstance(answer, list):
        return [finite(part) for part in answer]
    return None if isinstance(answer, float) and not math.isfinite(answer) else answer
