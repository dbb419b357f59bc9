"""Rewards from behaviour, in finite problems.

The estimators require 64-bit floats: call them within `jax.enable_x64(True)`.
"""

from entrax import xla as xla
from entrax.inverse.causal import fit
from entrax.inverse.demonstrations import Demonstrations
from entrax.inverse.features import mean_features, on_arrival, one_for_each_state
from entrax.inverse.files import load_demonstrations, save_demonstrations
from entrax.inverse.maxent import MaxEntReward, fit_trajectories
from entrax.inverse.networks import NetworkReward, fit_network
from entrax.inverse.result import InferredReward
from entrax.inverse.sampling import demonstrate

__all__ = [
    "Demonstrations",
    "InferredReward",
    "MaxEntReward",
    "NetworkReward",
    "demonstrate",
    "fit",
    "fit_network",
    "fit_trajectories",
    "load_demonstrations",
    "mean_features",
    "on_arrival",
    "one_for_each_state",
    "save_demonstrations",
]
