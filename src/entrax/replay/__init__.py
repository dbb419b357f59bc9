"""Transitions and where they are kept."""

from entrax.replay.data import Data as Data
from entrax.replay.data import Rollout as Rollout
from entrax.replay.data import Sequences as Sequences
from entrax.replay.data import Uniform as Uniform
from entrax.replay.data import shared_by_envs as shared_by_envs
from entrax.replay.sources import MixedSource as MixedSource
from entrax.replay.sources import Source as Source
from entrax.replay.uniform import UniformReplay as UniformReplay
