"""Learners on finite problems, each tested against the exact answer."""

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
from entrax.tabular.counterexamples import CounterExample, divergence, wrong_limit
from entrax.tabular.data import sample_transitions
from entrax.tabular.fitted import FittedQ, LeastSquares, Regressor, fitted_q_iteration, one_hot_actions, one_hot_pairs
from entrax.tabular.learner import LearnedTable, LearnerOptions
from entrax.tabular.prediction import BatchSolution, batch_monte_carlo, batch_td, reward_process, td
from entrax.tabular.schedules import Boltzmann, EpsilonGreedy, StepSize
from entrax.tabular.selfplay import SelfPlay, self_play
from entrax.tabular.simulator import Simulator, make_simulator
from entrax.tabular.z_learning import LearnedDesirability, z_learning

__all__ = [
    "BatchSolution",
    "Boltzmann",
    "CounterExample",
    "EpsilonGreedy",
    "FittedQ",
    "LearnedDesirability",
    "LearnedTable",
    "LearnerOptions",
    "LeastSquares",
    "Regressor",
    "SelfPlay",
    "Simulator",
    "StepSize",
    "batch_monte_carlo",
    "batch_td",
    "divergence",
    "expected_sarsa",
    "fitted_q_iteration",
    "make_simulator",
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
    "wrong_limit",
    "z_learning",
]
