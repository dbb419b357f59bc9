"""The soft Bellman equations and their divergences, as pure functions of arrays."""

from entrax import xla as xla
from entrax.soft.operators import (
    entropy,
    kl_divergence,
    log_soft_policy,
    soft_bellman_backup,
    soft_max,
    soft_policy,
    soft_value,
)

__all__ = [
    "entropy",
    "kl_divergence",
    "log_soft_policy",
    "soft_bellman_backup",
    "soft_max",
    "soft_policy",
    "soft_value",
]
