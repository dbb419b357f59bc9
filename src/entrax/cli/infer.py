"""`entrax infer`: infer the reward of a finite problem from demonstrations."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from entrax.cli.output import print_json
from entrax.cli.plan_source import PROBLEM, PlanProblem, read_problem
from entrax.cli.shared_options import OUTPUT
from entrax.cli.values import Real
from entrax.errors import UsageError, require_one_of, show

if TYPE_CHECKING:
    import numpy as np

FEATURES = ("arrival", "states", "state-actions", "cells", "none")
_SHOWN = 12  # weights in the printed table


@click.command("infer")
@click.argument("source")
@click.option(
    "--demos", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Demonstrations, .json or .npz."
)
@click.option(
    "--temperature", default="1", show_default=True, help="α > 0, in units of reward, or fit: with --known-reward."
)
@click.option(
    "--features",
    help="arrival, states, state-actions, cells (of a map), none (fits the temperature), or an .npy file of an array. "
    "[arrival, or state-actions where episodes end outside the states]",
)
@click.option("--known-reward", is_flag=True, help="Add the problem's own reward, with weight 1.")
@click.option("--objective", default="likelihood", show_default=True, help="likelihood or moments.")
@click.option("--l2", type=Real(), help="Precision of a normal prior on the weights. [1/α² for named features, else 0]")
@click.option("--l1", type=Real(), default=0.0, show_default=True, help="Rate of a Laplace prior on the weights.")
@PROBLEM
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Draw reward and visits.")
@OUTPUT
def command(source: str, **given: Any) -> None:
    """Infer the reward of SOURCE from demonstrations.

    SOURCE is a Gymnasium id, a map in a text file (. # S G X), or a problem in an .npz file. Its reward is compared
    with the inferred one. `entrax plan SOURCE --demos FILE` makes demonstrations.
    """
    import jax

    from entrax.programs import keep_programs

    keep_programs()
    with jax.enable_x64(True):
        problem = read_problem(source, given)
        answer = infer(problem, given)
    if given["figure"] is not None:
        draw(problem, answer, given["figure"])
    if given["as_json"]:
        print_json(answer)
        return
    show_answer(problem, answer)
    if given["figure"] is not None:
        show(f"figure  {given['figure']}")


def infer(problem: PlanProblem, given: dict[str, Any]) -> dict[str, Any]:
    """Fit the weights; return the answer as numbers and NumPy arrays by name."""
    import numpy as np

    from entrax.inverse import fit, load_demonstrations
    from entrax.inverse.demonstrations import allowed_actions

    mdp, demos = problem.mdp, load_demonstrations(given["demos"])
    temperature = read_temperature(given["temperature"])
    kind = given["features"] or ("state-actions" if np.any(successors_end(problem)) else "arrival")
    features, names = read_features(problem, kind)
    named = kind in FEATURES
    l2 = given["l2"]
    if l2 is None:
        l2 = (
            1.0 / temperature**2
            if named and isinstance(temperature, float) and temperature > 0 and not given["l1"]
            else 0.0
        )
    known = np.where(np.isfinite(mdp.reward), mdp.reward, 0.0) if given["known_reward"] else None
    result = fit(
        mdp,
        demos,
        features,
        temperature=temperature,
        known_reward=known,
        objective=given["objective"],
        convention=given["convention"],
        l1=given["l1"],
        l2=l2,
    )
    return {
        "source": problem.title,
        "demonstrations": len(demos.weight),
        "decisions": demos.decisions,
        "features": kind,
        "names": names,
        "objective": given["objective"],
        "convention": given["convention"],
        "l1": given["l1"],
        "l2": l2,
        "temperature": result.temperature,
        "temperature_error": result.temperature_error,
        "weights": result.weights,
        "errors": result.errors,
        "intervals": result.intervals(),
        "log_likelihood": result.log_likelihood,
        "log_likelihood_error": result.log_likelihood_error,
        "unidentified": result.unidentified,
        "converged": result.converged,
        "iterations": result.iterations,
        "reward": result.reward,
        "allowed": allowed_actions(mdp),
        "true_reward": np.where(np.isfinite(mdp.reward), mdp.reward, 0.0),
        "policy": np.asarray(result.solution.policy if mdp.horizon is None else result.solution.policy[0]),
        "demonstrated_visits": result.demonstrated_visits.sum(1),
        "expected_visits": result.expected_visits.sum(1),
        "demonstrated_features": result.demonstrated_features,
        "expected_features": result.expected_features,
    }


def successors_end(problem: PlanProblem) -> "np.ndarray":
    """Return whether each branch ends the episode without entering a state."""
    import numpy as np

    return (np.asarray(problem.mdp.successor) == problem.mdp.states) & (np.asarray(problem.mdp.probability) > 0)


def read_temperature(text: str) -> float | str:
    """Return a number, or 'fit'."""
    if text == "fit":
        return text
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"`temperature` must be a number above 0, or fit, got {text!r}.") from None


def read_features(problem: PlanProblem, kind: str) -> tuple["np.ndarray | None", list[str]]:
    """Return the features that a name or a file gives, and the name of each."""
    import numpy as np

    from entrax.inverse import on_arrival, one_for_each_state

    mdp = problem.mdp
    if kind.endswith(".npy"):
        try:
            array = np.load(kind, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UsageError(f"{kind} cannot be read as an array: {error}.") from error
        return array, [f"feature {k}" for k in range(array.shape[-1] if array.ndim else 0)]
    require_one_of("features", kind, FEATURES)
    if kind == "none":
        return None, []
    if kind == "states":
        return one_for_each_state(mdp), [f"state {s}" for s in range(mdp.states)]
    if kind == "arrival":
        return on_arrival(mdp, one_for_each_state(mdp)), [f"entering state {s}" for s in range(mdp.states)]
    if kind == "state-actions":
        identity = np.eye(mdp.states * mdp.actions).reshape(mdp.states, mdp.actions, -1)
        return identity, [f"state {s}, action {a}" for s in range(mdp.states) for a in range(mdp.actions)]
    if problem.layout is None:
        raise UsageError("`features` must not be cells: they are the letters of a map, and this problem has no map.")
    letters = {"G": "entering a goal", "X": "entering a pit"}
    present = {letter: where for letter in letters if (where := problem.layout.where(letter)).any()}
    cells = np.stack([np.ones(mdp.states), *present.values()], axis=1).astype(float)
    return on_arrival(mdp, cells), ["a step", *(letters[letter] for letter in present)]


def show_answer(problem: PlanProblem, answer: dict[str, Any]) -> None:
    """Print the weights with their intervals, the likelihood, and what is not identified."""
    import numpy as np

    from entrax.inverse.identification import describe

    temperature = f"{answer['temperature']:.6g}"
    if answer["temperature_error"]:
        temperature += f" ± {1.96 * answer['temperature_error']:.2g}"
    show(
        f"{answer['source']}: {answer['demonstrations']:,} demonstrations, {answer['decisions']:,.6g} decisions; "
        f"temperature {temperature}"
    )
    ended = "" if answer["converged"] else "; not converged"
    show(
        f"log-likelihood {answer['log_likelihood']:.10g} (error at most {answer['log_likelihood_error']:.1e}; "
        f"{answer['objective']}, {answer['iterations']} iterations{ended})\n"
    )
    names, weights, intervals = answer["names"], answer["weights"], answer["intervals"]
    order = np.argsort(-np.abs(weights), kind="stable")[:_SHOWN]
    width = max((len(names[k]) for k in order), default=6)
    show(f"{'weight of':{width}}  {'estimate':>10}   95 % interval")
    for k in order:
        show(f"{names[k]:{width}}  {weights[k]:10.4g}   {intervals[k, 0]:.4g} to {intervals[k, 1]:.4g}")
    if len(weights) > _SHOWN:
        show(f"and {len(weights) - _SHOWN:,} smaller ones: --json prints all")
    for number, direction in enumerate(answer["unidentified"][:3]):
        more = len(answer["unidentified"]) - 3
        end = f" and {more:,} more directions" if number == 2 and more > 0 else ""
        show(f"not identified by the demonstrations: {describe(direction, names)}{end}")


def draw(problem: PlanProblem, answer: dict[str, Any], path: Path) -> None:
    """Draw inferred and true reward, and demonstrated and expected visits, into an image at `path`."""
    import numpy as np

    from entrax.report.infer_figure import infer_figure
    from entrax.report.plan_figure import Grid

    mdp, layout = problem.mdp, problem.layout
    grid = None if layout is None else Grid(layout.rows, layout.state, layout.directions)
    subtitle = f"temperature {answer['temperature']:.4g}, {answer['decisions']:,.6g} decisions, {answer['objective']}"
    infer_figure(path, problem.title, subtitle, answer, np.asarray(mdp.terminal), grid)
