"""`entrax compose`: act by the Q-functions of several runs, without learning."""

import math
from dataclasses import asdict
from typing import Any

import click

from entrax.cli.output import print_json
from entrax.cli.shared_options import OUTPUT, WORKERS, checkpoint, env_arg
from entrax.cli.values import Integer, Real
from entrax.environments.source import parse_env_args
from entrax.errors import show
from entrax.policies.composed import COMBINATIONS
from entrax.training.compose import Bound, compose


@click.command("compose")
@click.argument("runs", nargs=-1, required=True)
@click.option("--env", required=True, help="The environment of the combined task, with the runs' spaces.")
@env_arg()
@click.option("--combine", default="mean", show_default=True, help=f"{', '.join(COMBINATIONS)} of the tasks' rewards.")
@click.option("--temperature", type=Real(), help="α of the composition; by default the one that the runs share.")
@click.option(
    "--candidates",
    type=Integer(1),
    default=256,
    show_default=True,
    help="Actions to draw from, if actions are a Box.",
)
@checkpoint(best=False)
@click.option("--episodes", type=Integer(1), default=20, show_default=True, help="Episodes to play.")
@click.option("--seed", type=Integer(0), default=0, show_default=True, help="Seed of episodes and actions.")
@WORKERS
@OUTPUT
def command(runs: tuple[str, ...], **given: Any) -> None:
    """Act by the combined soft Q-functions of RUNS and print the return.

    `entrax agents` lists the agents whose runs can be composed.

    Prints returns of sampled actions and, where it can be computed, a bound on the regret of the composed policy in
    discounted soft return. The bound holds if the environment's reward combines the runs' rewards in the same way.
    """
    settings = {name: given[name] for name in ("combine", "temperature", "candidates", "checkpoint")}
    composed = compose(runs, given["env"], env_args=parse_env_args(given["env_args"]), **settings)
    evaluation, bound = composed.evaluate(given["episodes"], seed=given["seed"], workers=given["workers"])
    if given["as_json"]:
        record = {"runs": list(runs), "combine": composed.combine, "temperature": composed.temperature}
        numbers = None if bound is None else {k: None if math.isnan(v) else v for k, v in asdict(bound).items()}
        print_json(record | evaluation.to_json() | {"bound": numbers, "no_bound": composed.no_bound})
        return
    show(f"{composed.combine} of {len(runs)} runs at temperature {composed.temperature:.4g}, without learning")
    count = len(evaluation.returns)
    show(f"return {evaluation.mean:.2f} ± {evaluation.std:.2f} over {count} episodes of sampled actions")
    show(f"bound   none: {composed.no_bound}" if bound is None else bound_text(bound))


def bound_text(bound: Bound) -> str:
    """Return the bound as a line of text."""
    margin = "" if math.isnan(bound.error) else f" ± {bound.error:.3g}"
    return (
        f"bound   {bound.value:.4g}{margin} of discounted soft return, with a mean gap of "
        f"{bound.divergence:.4g} in a state; as good as the Q-functions are"
    )
