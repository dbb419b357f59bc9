"""Learners on finite problems, from samples: each is checked against the exact answer of the same problem."""

from entrax import xla as xla
from entrax.tabular.conditions import unmet_conditions
from entrax.tabular.control import (
    expected_sarsa,
    psi_learning,
    q_learning,
    sarsa,
    soft_q_learning,
    soft_sarsa,
)
from entrax.tabular.data import sample_transitions
from entrax.tabular.fitted import FittedQ, LeastSquares, Regressor, fitted_q_iteration, one_hot_actions, one_hot_pairs
from entrax.tabular.learner import Learned
from entrax.tabular.prediction import BatchSolution, batch_monte_carlo, batch_td, reward_process, td
from entrax.tabular.schedules import Boltzmann, EpsilonGreedy, StepSize
from entrax.tabular.selfplay import SelfPlay, self_play

__all__ = [
    "BatchSolution",
    "Boltzmann",
    "EpsilonGreedy",
    "FittedQ",
    "Learned",
    "LeastSquares",
    "Regressor",
    "SelfPlay",
    "StepSize",
    "batch_monte_carlo",
    "batch_td",
    "expected_sarsa",
    "fitted_q_iteration",
    "one_hot_actions",
    "one_hot_pairs",
    "psi_learning",
    "q_learning",
    "reward_process",
    "sample_transitions",
    "sarsa",
    "self_play",
    "soft_q_learning",
    "soft_sarsa",
    "td",
    "unmet_conditions",
]
