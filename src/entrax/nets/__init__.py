"""Networks, and the distributions that policies sample from."""

from entrax import xla as xla
from entrax.nets.discrete import ActionValues as ActionValues
from entrax.nets.discrete import DuelingQ as DuelingQ
from entrax.nets.discrete import TwinActionValues as TwinActionValues
from entrax.nets.distributions import TanhGaussian as TanhGaussian
from entrax.nets.encoder import Encoded as Encoded
from entrax.nets.encoder import Encoder as Encoder
from entrax.nets.encoder import on_observations as on_observations
from entrax.nets.encoder import shifted as shifted
from entrax.nets.late_action import SharedTrunkMLP as SharedTrunkMLP
from entrax.nets.late_action import SharedTrunkQ as SharedTrunkQ
from entrax.nets.mlp import MLP as MLP
from entrax.nets.mlp import TwinQ as TwinQ
from entrax.nets.mlp import adam_step as adam_step
from entrax.nets.mlp import polyak_update as polyak_update
from entrax.nets.recurrent import Memory as Memory
from entrax.nets.regressor import NetworkRegressor as NetworkRegressor
from entrax.nets.tanh import TanhMLP as TanhMLP
