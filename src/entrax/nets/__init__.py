"""Networks, and the distributions that policies draw from."""

from entrax.nets.distributions import TanhGaussian as TanhGaussian
from entrax.nets.mlp import MLP as MLP
from entrax.nets.mlp import TwinQ as TwinQ
from entrax.nets.mlp import follow as follow
