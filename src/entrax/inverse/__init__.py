"""Rewards from behaviour, in finite problems.

All functions require 64-bit floats: call them within `jax.enable_x64(True)`.
"""

from entrax import xla as xla
from entrax.inverse.causal import fit
from entrax.inverse.demonstrations import Demonstrations
from entrax.inverse.features import mean_features, on_arrival, one_for_each_state
from entrax.inverse.maxent import MaxEntReward, fit_trajectories
from entrax.inverse.result import InferredReward
from entrax.inverse.sampling import demonstrate

__all__ = [
    "Demonstrations",
    "InferredReward",
    "MaxEntReward",
    "demonstrate",
    "fit",
    "fit_trajectories",
    "mean_features",
    "on_arrival",
    "one_for_each_state",
]
