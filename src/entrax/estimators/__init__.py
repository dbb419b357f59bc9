"""Estimators of returns, scores and gradients, as pure functions.

Each function takes one trajectory or one batch of samples; use `jax.vmap` for batches of trajectories.

Modules: `returns`, `scores`, `baselines`, `policy_gradient`, `dice`, `stein`, and `equivalence`, which relates the
policy gradient to soft Q-learning.
"""

from entrax import xla as xla
from entrax.estimators.baselines import fit_linear_baseline, mean_baseline, optimal_baseline
from entrax.estimators.dice import dice_objective, dice_return, magic_box
from entrax.estimators.equivalence import SoftQGradient, path_inconsistency, soft_q_gradient
from entrax.estimators.policy_gradient import (
    likelihood_ratio_objective,
    reinforce_objective,
    reinforce_weights,
    return_weights,
    soft_reward,
    weighted_likelihood_objective,
)
from entrax.estimators.returns import (
    differential_advantage,
    differential_return,
    discount_for,
    discounted_return,
    gae,
    lambda_return,
    n_step_return,
    reward_to_go,
)
from entrax.estimators.scores import (
    gaussian_linear_log_probability,
    gaussian_linear_score,
    score,
    softmax_linear_log_probability,
    softmax_linear_score,
)
from entrax.estimators.stein import median_bandwidth, rbf_kernel, stein_direction

__all__ = [
    "SoftQGradient",
    "dice_objective",
    "dice_return",
    "differential_advantage",
    "differential_return",
    "discount_for",
    "discounted_return",
    "fit_linear_baseline",
    "gae",
    "gaussian_linear_log_probability",
    "gaussian_linear_score",
    "lambda_return",
    "likelihood_ratio_objective",
    "magic_box",
    "mean_baseline",
    "median_bandwidth",
    "n_step_return",
    "optimal_baseline",
    "path_inconsistency",
    "rbf_kernel",
    "reinforce_objective",
    "reinforce_weights",
    "return_weights",
    "reward_to_go",
    "score",
    "soft_q_gradient",
    "soft_reward",
    "softmax_linear_log_probability",
    "softmax_linear_score",
    "stein_direction",
    "weighted_likelihood_objective",
]
