"""Hindsight in training: the replay of a goal environment with the outcomes that the environment computes."""

from collections.abc import Iterator
from contextlib import contextmanager

from entrax.environments.goals import Outcome, goal_places
from entrax.replay import Goals, Hindsight, UniformReplay
from entrax.training.task import Task


@contextmanager
def hindsight(task: Task, replay: UniformReplay) -> Iterator[Hindsight]:
    """Give a source that replaces goals in the task's share of the transitions, with an environment for outcomes."""
    achieved, desired, goal = goal_places(task.spec)
    env = task.source.make()
    try:
        yield Hindsight(replay, Goals(achieved, desired, Outcome(env, goal)), task.options.hindsight)
    finally:
        env.close()
