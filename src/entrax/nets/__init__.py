"""Networks, and the distributions that policies draw from."""

from entrax import xla as xla
from entrax.nets.discrete import DuelingQ as DuelingQ
from entrax.nets.discrete import Options as Options
from entrax.nets.discrete import TwinOptions as TwinOptions
from entrax.nets.distributions import TanhGaussian as TanhGaussian
from entrax.nets.encoder import Encoded as Encoded
from entrax.nets.encoder import Encoder as Encoder
from entrax.nets.encoder import on_observations as on_observations
from entrax.nets.encoder import shifted as shifted
from entrax.nets.late import LateMLP as LateMLP
from entrax.nets.late import LateQ as LateQ
from entrax.nets.mlp import MLP as MLP
from entrax.nets.mlp import TwinQ as TwinQ
from entrax.nets.mlp import follow as follow
from entrax.nets.recurrent import Memory as Memory
from entrax.nets.regressor import NetworkRegressor as NetworkRegressor
from entrax.nets.tanh import TanhMLP as TanhMLP
