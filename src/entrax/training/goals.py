"""Hindsight in training: the replay of a goal environment with the outcomes that the environment computes."""

import gymnasium

from entrax.environments.goals import Outcome, goal_places
from entrax.replay import Goals, Hindsight, UniformReplay
from entrax.training.task import Task


def hindsight(task: Task, replay: UniformReplay, env: gymnasium.Env) -> Hindsight:
    """Return a source that replaces goals in the task's share of the transitions; `env` computes their outcomes."""
    achieved, desired, goal = goal_places(task.spec)
    return Hindsight(replay, Goals(achieved, desired, Outcome(env, goal)), task.options.hindsight)
