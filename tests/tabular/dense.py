"""Dense NumPy oracles of small problems: soft and hard optima, and values of policies."""

import numpy as np

from entrax.problems import FiniteMDP

LIVE = np.ones(16, bool)
LIVE[[5, 7, 11, 12, 15]] = False  # FrozenLake's holes and goal
EXPLORING = LIVE / LIVE.sum()


def frozen_lake(**options):
    """The 4×4 lake with episodes that start in any live cell, so that every cell is visited often."""
    return FiniteMDP.from_gymnasium("FrozenLake-v1", initial=EXPLORING, **{"discount": 0.95, **options})


def arrays(mdp):
    return mdp.to_dense()[..., :-1], np.asarray(mdp.reward), ~np.asarray(mdp.terminal)


def log_mean_exp(q, temperature, prior):
    """V of each state: the hard maximum at temperature 0, otherwise the soft one under unnormalised weights."""
    best = q.max(axis=1)
    if temperature == 0:
        return best
    return best + temperature * np.log((prior * np.exp((q - best[:, None]) / temperature)).sum(axis=1))


def optimum(mdp, temperature=0.0, sweeps=3000):
    """Q and V by value iteration, in the convention of the problem's prior."""
    transition, reward, live = arrays(mdp)
    prior = np.ones(reward.shape) if mdp.prior is None else mdp.prior / mdp.prior.sum(axis=1, keepdims=True)
    value = np.zeros(mdp.states)
    q = reward
    for _ in range(sweeps):
        q = reward + mdp.discount * transition @ value
        value = np.where(live, log_mean_exp(q, temperature, prior), 0)
    return q, value


def value_of(mdp, policy, temperature=0.0):
    """V of a policy with its entropy (or minus its divergence from the prior), by a linear solve."""
    transition, reward, live = arrays(mdp)
    prior = np.ones(reward.shape) if mdp.prior is None else mdp.prior / mdp.prior.sum(axis=1, keepdims=True)
    safe = np.where(policy > 0, policy, 1)
    soft = (policy * (reward - temperature * np.log(safe / prior))).sum(axis=1)
    chain = np.einsum("sa,sat->st", policy, transition)
    matrix = np.eye(mdp.states) - mdp.discount * chain
    return np.where(live, np.linalg.solve(matrix, np.where(live, soft, 0)), 0)
