"""Exact answers to finite and linear-quadratic problems: planning, evaluation, gains, and inference.

All functions but `linearly_solvable` and `compose` require 64-bit floats: call them within `jax.enable_x64(True)`.
"""

from entrax import xla as xla
from entrax.exact.evaluation import PolicyEvaluation, evaluate, policy_gradient
from entrax.exact.gains import Gains, gains
from entrax.exact.gaussian_posterior import (
    Gaussian,
    GaussianPosterior,
    gaussian_optimism,
    gaussian_posterior,
    gaussian_variational_posterior,
)
from entrax.exact.kalman import (
    Filtered,
    LQGSolution,
    StationaryFilter,
    kalman_filter,
    lqg,
    smooth,
    stationary_filter,
)
from entrax.exact.linearly_solvable import OptimalControl, compose, linearly_solvable
from entrax.exact.messages import Messages, backward_messages, evidence_lower_bound, forward_messages, log_evidence
from entrax.exact.plan import CONVENTIONS, DEFAULT_TOLERANCE, METHODS, OBJECTIVES, plan
from entrax.exact.posterior import Posterior, optimism, posterior, variational_posterior
from entrax.exact.regulator import QuadraticValue, RegulatorSolution, regulator
from entrax.exact.solution import Solution

__all__ = [
    "CONVENTIONS",
    "DEFAULT_TOLERANCE",
    "METHODS",
    "OBJECTIVES",
    "Filtered",
    "Gains",
    "Gaussian",
    "GaussianPosterior",
    "LQGSolution",
    "Messages",
    "OptimalControl",
    "PolicyEvaluation",
    "Posterior",
    "QuadraticValue",
    "RegulatorSolution",
    "Solution",
    "StationaryFilter",
    "backward_messages",
    "compose",
    "evaluate",
    "evidence_lower_bound",
    "forward_messages",
    "gains",
    "gaussian_optimism",
    "gaussian_posterior",
    "gaussian_variational_posterior",
    "kalman_filter",
    "linearly_solvable",
    "log_evidence",
    "lqg",
    "optimism",
    "plan",
    "policy_gradient",
    "posterior",
    "regulator",
    "smooth",
    "stationary_filter",
    "variational_posterior",
]
