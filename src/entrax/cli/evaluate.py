"""`entrax evaluate`: play episodes with a trained policy."""

import click

from entrax.cli.display import successes
from entrax.cli.output import print_json
from entrax.cli.values import AgentName, Whole, agent_again
from entrax.errors import show


@click.command("evaluate")
@click.argument("run")
@click.option("--episodes", type=Whole(1), default=20, show_default=True, help="Episodes to play.")
@click.option("--sample", is_flag=True, help="Draw actions from the policy instead of taking its mode.")
@click.option("--checkpoint", default="latest", show_default=True, help="latest, best, final or a checkpoint's name.")
@click.option("--seed", type=Whole(), help="Seed of the episodes; by default the run's.")
@click.option("--workers", type=Whole(0), help="Worker processes; 0 plays in this one.")
@click.option("--eval-envs", type=Whole(1), help="Environments at once; by default as in training.")
@agent_again
@click.option("--env", help="The environment again, when it is not one of entrax or Gymnasium.")
@click.option("--env-arg", multiple=True, metavar="KEY=VALUE", help="An argument of the environment again; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    run: str,
    episodes: int,
    sample: bool,
    checkpoint: str,
    seed: int | None,
    workers: int | None,
    eval_envs: int | None,
    agent: AgentName | None,
    env: str | None,
    env_arg: tuple[str, ...],
    as_json: bool,
    debug: bool,
) -> None:
    """Returns of whole episodes of the policy in RUN; their seeds differ from those that chose the best checkpoint."""
    from entrax.environments.source import parse_env_args
    from entrax.training.run import load

    loaded = load(run, checkpoint, agent=agent, env=env, env_args=parse_env_args(env_arg))
    result = loaded.evaluate(episodes, sample=sample, seed=seed, workers=workers, eval_envs=eval_envs)
    if as_json:
        print_json(result.to_json() | {"checkpoint": checkpoint, "run": run})
    else:
        how = "sampled actions" if sample else "the policy's mode"
        show(f"return {result.mean:.2f} ± {result.std:.2f} over {episodes} episodes of {how}{successes(result)}")
