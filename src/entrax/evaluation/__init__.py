"""Evaluation of a policy: returns, stress tests, comparisons, and statistics of a few seeds."""

from entrax.evaluation.compare import EvaluatedRun, Group, compare_groups, curves, grouped
from entrax.evaluation.episodes import EvaluationResult, evaluate
from entrax.evaluation.statistics import (
    Estimate,
    Summary,
    bootstrap,
    estimate,
    estimate_improvement,
    interquartile_mean,
    performance_profile,
    pooled_interquartile_mean,
    probability_of_improvement,
    summarise,
)
from entrax.evaluation.stress import StressResult, stress_test

__all__ = [
    "Estimate",
    "EvaluatedRun",
    "EvaluationResult",
    "Group",
    "StressResult",
    "Summary",
    "bootstrap",
    "compare_groups",
    "curves",
    "estimate",
    "estimate_improvement",
    "evaluate",
    "grouped",
    "interquartile_mean",
    "performance_profile",
    "pooled_interquartile_mean",
    "probability_of_improvement",
    "stress_test",
    "summarise",
]
