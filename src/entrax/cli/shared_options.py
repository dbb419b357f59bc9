"""Options that several verbs share."""

from collections.abc import Callable
from typing import Any

import click

from entrax.agents.registry import REGISTRY
from entrax.cli.values import AgentName, Integer, complete
from entrax.errors import UsageError

_INNER = f"{__name__}.inner"
Function = Callable[..., Any]
Decorator = Callable[[Function], Function]


def combine(*decorators: Decorator) -> Decorator:
    """Combine decorators into one; `--help` lists their options in the order given."""

    def decorate(function: Function) -> Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def env_arg(text: str = "An argument of the environment; repeatable.") -> Decorator:
    """Return the option `--env-arg`, whose values are the parameter `env_args`."""
    return click.option("--env-arg", "env_args", multiple=True, metavar="KEY=VALUE", help=text)


def agent(text: str = "The run's agent, if it is not one of entrax: module:name or a file.") -> Decorator:
    """Return the options `--agent` and `--inner`, whose value is the parameter `agent`: an `AgentName` or None."""
    return combine(
        click.option("--agent", shell_complete=complete(REGISTRY), callback=_with_inner, help=text),
        click.option(
            "--inner",
            shell_complete=complete(REGISTRY),
            is_eager=True,  # parsed before --agent, whose value becomes a pair with it
            expose_value=False,
            callback=_keep_inner,
            help="The agent inside one that wraps another: a name of `entrax agents`, module:name or a file.",
        ),
    )


def _keep_inner(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    ctx.meta[_INNER] = value


def _with_inner(ctx: click.Context, param: click.Parameter, value: str | None) -> AgentName | None:
    inner = ctx.meta.get(_INNER)
    if inner is None:
        return value
    if value is None:
        raise UsageError("--inner requires --agent: an agent that wraps another.")
    return value, inner


def checkpoint(*, best: bool = True) -> Decorator:
    """Return the option `--checkpoint`.

    Without `best` for verbs that need more than a policy.
    """
    names = "latest, best, final" if best else "latest, final"
    return click.option("--checkpoint", default="latest", show_default=True, help=f"{names} or a checkpoint's name.")


OUTPUT = combine(
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    click.option("--debug", is_flag=True, help="Show tracebacks."),
)
NAMED_AGAIN = combine(
    agent(),
    click.option("--env", help="The run's environment, if it is not one of entrax or Gymnasium."),
    env_arg("An argument of the run's environment that its record lacks; repeatable."),
)
"""What a run does not hold, because nothing that a file names is imported."""
FINISH = combine(
    click.option("--episodes", type=Integer(1), default=20, show_default=True, help="Episodes of the last evaluation."),
    click.option("--video/--no-video", default=True, help="Film the trained policy."),
)
LOGGERS = combine(
    click.option("--tensorboard", is_flag=True, help="Write the metrics for TensorBoard as well."),
    click.option("--wandb", metavar="PROJECT", help="Send the metrics to a project of Weights & Biases as well."),
)
WORKERS = click.option("--workers", type=Integer(0), help="Worker processes; 0 steps the environments in this process.")
SAMPLE = click.option("--sample", is_flag=True, help="Draw actions from the policy instead of taking its mode.")
EPISODE_SEED = click.option("--seed", type=Integer(), help="Seed of the episodes; by default the run's.")
PRIOR = click.option("--prior", metavar="RUN", help="Stay near the policy of this run: KL to it in place of entropy.")
