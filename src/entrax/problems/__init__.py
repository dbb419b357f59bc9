"""Problems given whole: `FiniteMDP` with its constructors, and a small library of problems."""

from entrax import xla as xla
from entrax.problems.finite import FiniteMDP
from entrax.problems.finite_horizon import FiniteHorizonMDP
from entrax.problems.graph import cannot_terminate
from entrax.problems.grids import aliased_gridworld, gridworld, two_passages
from entrax.problems.layout import Layout
from entrax.problems.library import chain, forest, garnet, inventory, pendulum, random_walk, safe_or_risky

__all__ = [
    "FiniteHorizonMDP",
    "FiniteMDP",
    "Layout",
    "aliased_gridworld",
    "cannot_terminate",
    "chain",
    "forest",
    "garnet",
    "gridworld",
    "inventory",
    "pendulum",
    "random_walk",
    "safe_or_risky",
    "two_passages",
]
