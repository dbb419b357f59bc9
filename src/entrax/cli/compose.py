"""`entrax compose`: a policy for a combined task out of trained runs, without learning."""

import math
from dataclasses import asdict
from typing import Any

import click

from entrax.cli.output import print_json
from entrax.cli.values import Whole
from entrax.environments.source import parse_env_args
from entrax.errors import show
from entrax.policies.composed import COMBINATIONS
from entrax.training.compose import Bound, compose


@click.command("compose")
@click.argument("runs", nargs=-1, required=True)
@click.option("--env", required=True, help="The environment of the combined task, with the runs' spaces.")
@click.option("--env-arg", multiple=True, metavar="KEY=VALUE", help="An argument of the environment; repeatable.")
@click.option("--combine", default="mean", show_default=True, help=f"{', '.join(COMBINATIONS)} of the tasks' rewards.")
@click.option("--temperature", type=float, help="α of the composition; by default the one that the runs share.")
@click.option(
    "--candidates",
    type=Whole(1),
    default=256,
    show_default=True,
    help="Actions to draw from, for a Box.",
)
@click.option("--checkpoint", default="latest", show_default=True, help="latest, final or a checkpoint's name.")
@click.option("--episodes", type=Whole(1), default=20, show_default=True, help="Episodes to play.")
@click.option("--seed", type=Whole(0), default=0, show_default=True, help="Of episodes and actions.")
@click.option("--workers", type=Whole(0), help="Worker processes; 0 plays in this one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(runs: tuple[str, ...], **given: Any) -> None:
    """Act by the mean of the soft Q-functions of RUNS, and say how well. `entrax agents` says which agents have one.

    Prints returns of sampled actions and, where there is one, a bound on what the composed policy falls short of the
    best by, in discounted soft return, if the reward of the environment is the runs' rewards combined.
    """
    composed = compose(
        runs,
        given["env"],
        combine=given["combine"],
        temperature=given["temperature"],
        candidates=given["candidates"],
        checkpoint=given["checkpoint"],
        env_args=parse_env_args(given["env_arg"]),
    )
    played, bound = composed.evaluate(given["episodes"], seed=given["seed"], workers=given["workers"])
    if given["as_json"]:
        record = {"runs": list(runs), "combine": composed.how, "temperature": composed.temperature}
        found = None if bound is None else {k: None if math.isnan(v) else v for k, v in asdict(bound).items()}
        print_json(record | played.to_json() | {"bound": found, "no_bound": composed.no_bound})
        return
    show(f"{composed.how} of {len(runs)} runs at temperature {composed.temperature:.4g}, without learning")
    show(f"return {played.mean:.2f} ± {played.std:.2f} over {len(played.returns)} episodes of sampled actions")
    show(f"bound   none: {composed.no_bound}" if bound is None else in_words(bound))


def in_words(bound: Bound) -> str:
    """The bound in words."""
    margin = "" if math.isnan(bound.error) else f" ± {bound.error:.3g}"
    return (
        f"bound   {bound.value:.4g}{margin} of discounted soft return, with a mean gap of "
        f"{bound.divergence:.4g} in a state; as good as the Q-functions are"
    )
