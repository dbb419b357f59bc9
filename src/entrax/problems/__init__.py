"""Problems with known dynamics, finite, linearly solvable or linear-quadratic, small libraries, and matrix games."""

from entrax import xla as xla
from entrax.problems.finite import FiniteMDP, ProblemOptions
from entrax.problems.finite_horizon import FiniteHorizonMDP
from entrax.problems.games import (
    Equilibrium,
    MatrixGame,
    exploitability,
    logit_equilibrium,
    matrix_game,
    remembering_opponent,
    rock_paper_scissors,
    soft_responses,
)
from entrax.problems.graph import cannot_terminate
from entrax.problems.grids import ALIASED_OBSERVATION, aliased_gridworld, gridworld, two_passages
from entrax.problems.layout import Layout
from entrax.problems.library import chain, forest, garnet, inventory, pendulum, random_walk, safe_or_risky
from entrax.problems.linear_quadratic import LinearPolicy, LinearQuadratic
from entrax.problems.linearly_solvable import LinearlySolvable
from entrax.problems.lq_library import cart_pole, double_integrator, linear_pendulum, mass_spring_chain, reacher_arm
from entrax.problems.toy_text import layout_of

__all__ = [
    "ALIASED_OBSERVATION",
    "Equilibrium",
    "FiniteHorizonMDP",
    "FiniteMDP",
    "Layout",
    "LinearPolicy",
    "LinearQuadratic",
    "LinearlySolvable",
    "MatrixGame",
    "ProblemOptions",
    "aliased_gridworld",
    "cannot_terminate",
    "cart_pole",
    "chain",
    "double_integrator",
    "exploitability",
    "forest",
    "garnet",
    "gridworld",
    "inventory",
    "layout_of",
    "linear_pendulum",
    "logit_equilibrium",
    "mass_spring_chain",
    "matrix_game",
    "pendulum",
    "random_walk",
    "reacher_arm",
    "remembering_opponent",
    "rock_paper_scissors",
    "safe_or_risky",
    "soft_responses",
    "two_passages",
]
