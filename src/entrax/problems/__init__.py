"""Problems given whole, with constructors and a small library."""

from entrax.problems.finite import FiniteMDP
from entrax.problems.graph import cannot_terminate
from entrax.problems.layout import Layout

__all__ = ["FiniteMDP", "Layout", "cannot_terminate"]
