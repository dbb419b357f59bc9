"""`entrax plan`: solve a finite problem exactly, with a certified error."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from entrax.cli.output import print_json
from entrax.cli.plan_source import PROBLEM, PlanProblem, read_problem
from entrax.cli.shared_options import OUTPUT
from entrax.cli.values import Integer, Real
from entrax.errors import UsageError, show

if TYPE_CHECKING:
    from entrax.problems import FiniteMDP


@click.command("plan")
@click.argument("source")
@click.option("--temperature", type=Real(), required=True, help="α ≥ 0, in units of reward; 0 is classical planning.")
@click.option(
    "--posterior", is_flag=True, help="Also compute the exact posterior given optimality; requires a horizon."
)
@click.option("--objective", default="discounted", show_default=True, help="discounted or average.")
@click.option(
    "--method", default="auto", show_default=True, help="auto, value-iteration, policy-iteration or newton-krylov."
)
@click.option("--tolerance", type=Real(), help="Required bound on the value's error. [1e-09]")
@PROBLEM
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Draw value, policy and entropy.")
@click.option(
    "--demos", type=click.Path(dir_okay=False, path_type=Path), help="Write episodes of the policy, .json or .npz."
)
@click.option("--episodes", type=Integer(1), default=100, show_default=True, help="Number of episodes of --demos.")
@click.option(
    "--steps", type=Integer(1), default=1000, show_default=True, help="Most decisions of an episode of --demos."
)
@click.option("--seed", type=Integer(0), default=0, show_default=True, help="Seed of --demos.")
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
        answer, policy = solve(problem, given)
    if given["demos"] is not None:
        write_demonstrations(problem, policy, given)
    if given["figure"] is not None:
        draw(problem, answer, given["figure"])
    if given["as_json"]:
        print_json(answer)
    else:
        from entrax.cli import plan_text

        plan_text.show(problem.title, problem.mdp, problem.layout, answer)
        if given["figure"] is not None:
            show(f"figure  {given['figure']}")


def solve(problem: PlanProblem, given: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Solve a problem; with a horizon, return the answer of the first decision.

    Returns the answer as numbers and NumPy arrays by name, with the result of `infer` under `posterior` if requested,
    and the policy, with time as its first axis if there is a horizon.
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
    answer |= {"posterior": infer(mdp, temperature)} if given["posterior"] else {}
    return answer, np.asarray(solution.policy)


def write_demonstrations(problem: PlanProblem, policy: Any, given: dict[str, Any]) -> None:
    """Sample episodes of the policy and write them to a file."""
    from entrax.inverse import demonstrate, save_demonstrations

    demos = demonstrate(problem.mdp, policy, given["episodes"], seed=given["seed"], steps=given["steps"])
    save_demonstrations(demos, given["demos"])


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
