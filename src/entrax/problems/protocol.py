"""The fields of a finite problem, for what checks and stores one without importing the class."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Problem(Protocol):
    """What `FiniteMDP` documents field by field."""

    successor: Any
    probability: Any
    reward: Any
    initial: Any
    terminal: Any
    discount: Any
    outcome_reward: Any
    prior: Any
    mask: Any
    horizon: Any
