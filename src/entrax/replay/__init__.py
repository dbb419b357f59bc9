"""Transitions and where they are kept."""

from entrax.replay.uniform import Uniform as Uniform
from entrax.replay.uniform import UniformReplay as UniformReplay
