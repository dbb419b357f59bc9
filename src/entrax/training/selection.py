"""The evaluations within a run, by which its best policy is chosen."""

from collections.abc import Callable
from contextlib import ExitStack

from entrax.environments.make import make_pool
from entrax.environments.pool import Pool
from entrax.environments.source import EnvSource
from entrax.evaluation.episodes import EvaluationResult, evaluate
from entrax.policies.controller import Controller, act_in_episodes
from entrax.training.options import TrainingOptions


def evaluate_mode(
    controller: Controller,
    source: EnvSource,
    options: TrainingOptions,
    seed: int,
    pool: Pool,
    warn: Callable[[str], None],
) -> EvaluationResult:
    """Play episodes of the policy's mode, with the same seeds every time, so that results are comparable.

    `pool` is that of training, which is used if the options say so.
    """
    with ExitStack() as stack:
        if not options.shares_envs:
            count = options.eval_envs or min(options.eval_episodes, 10)
            pool = stack.enter_context(make_pool(source, count, options.workers, options.step_timeout))
        return evaluate(
            act_in_episodes(controller, sample=False, seed=seed),
            source,
            episodes=options.eval_episodes,
            seed=seed,
            policy="mode",
            stream="selection",
            pool=pool,
            warn=warn,
        )
