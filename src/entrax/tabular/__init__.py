"""Learners on finite problems, from samples: each is checked against the exact answer of the same problem."""

from entrax.tabular.control import (
    expected_sarsa,
    psi_learning,
    q_learning,
    sarsa,
    soft_q_learning,
    soft_sarsa,
)
from entrax.tabular.learner import Learned
from entrax.tabular.schedules import Boltzmann, EpsilonGreedy, StepSize

__all__ = [
    "Boltzmann",
    "EpsilonGreedy",
    "Learned",
    "StepSize",
    "expected_sarsa",
    "psi_learning",
    "q_learning",
    "sarsa",
    "soft_q_learning",
    "soft_sarsa",
]
