"""`entrax evaluate`: play episodes with a trained policy."""

from typing import Any

import click

from entrax.cli.output import print_json
from entrax.cli.shared_options import EPISODE_SEED, NAMED_AGAIN, OUTPUT, SAMPLE, WORKERS, checkpoint
from entrax.cli.values import Integer
from entrax.errors import show
from entrax.report.results import success_text


@click.command("evaluate")
@click.argument("run")
@click.option("--episodes", type=Integer(1), default=20, show_default=True, help="Episodes to play.")
@SAMPLE
@checkpoint()
@EPISODE_SEED
@WORKERS
@click.option("--eval-envs", type=Integer(1), help="Environments at once; by default as in training.")
@NAMED_AGAIN
@OUTPUT
def command(run: str, **given: Any) -> None:
    """Play whole episodes with the policy of RUN and print their returns.

    The seeds of the episodes differ from those that chose the best checkpoint.
    """
    from entrax.environments.source import parse_env_args
    from entrax.training.run import load

    episodes, sample = given["episodes"], given["sample"]
    env_args = parse_env_args(given["env_args"])
    loaded = load(run, given["checkpoint"], agent=given["agent"], env=given["env"], env_args=env_args)
    settings = {name: given[name] for name in ("sample", "seed", "workers", "eval_envs")}
    result = loaded.evaluate(episodes, **settings)
    if given["as_json"]:
        print_json(result.to_json() | {"checkpoint": given["checkpoint"], "run": run})
        return
    actions = "sampled actions" if sample else "the policy's mode"
    success = success_text(result.success_rate)
    show(f"return {result.mean:.2f} ± {result.std:.2f} over {episodes} episodes of {actions}{success}")
