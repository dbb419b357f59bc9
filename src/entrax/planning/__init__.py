"""Planning by sampling or by local models, on a model function that is handed in; every planner is a `Policy`."""

from entrax import xla as xla
from entrax.planning.ilqr import IterativeLQR, Optimised, Trajectory, optimise
from entrax.planning.learned import TrajectorySampling, ensemble_lookahead
from entrax.planning.lookahead import Lookahead, linear_quadratic_lookahead, model_of, simulated_lookahead
from entrax.planning.noise import Coloured, Splines, White
from entrax.planning.path_integral import PathIntegral
from entrax.planning.shooting import CrossEntropy, RandomShooting
from entrax.planning.simulated import Simulated

__all__ = [
    "Coloured",
    "CrossEntropy",
    "IterativeLQR",
    "Lookahead",
    "Optimised",
    "PathIntegral",
    "RandomShooting",
    "Simulated",
    "Splines",
    "Trajectory",
    "TrajectorySampling",
    "White",
    "ensemble_lookahead",
    "linear_quadratic_lookahead",
    "model_of",
    "optimise",
    "simulated_lookahead",
]
