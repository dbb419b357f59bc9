"""Transitions: the replay, and the kinds of data that agents draw from it."""

from entrax import xla as xla
from entrax.replay.data import Data, Rollout, Sequences, Uniform, shared_by_envs
from entrax.replay.hindsight import Goals, Hindsight
from entrax.replay.sources import MixedSource, Source
from entrax.replay.split import Split
from entrax.replay.uniform import UniformReplay

__all__ = [
    "Data",
    "Goals",
    "Hindsight",
    "MixedSource",
    "Rollout",
    "Sequences",
    "Source",
    "Split",
    "Uniform",
    "UniformReplay",
    "shared_by_envs",
]
