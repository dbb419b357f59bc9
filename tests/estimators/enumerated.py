"""A problem small enough to write down every trajectory: 3 states, 2 actions, 3 steps, and a softmax-linear policy.

`expectation` sums over all 648 trajectories. The exact objective comes from a backward recursion instead, so that the
two share nothing but the problem.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

STATES, ACTIONS, STEPS, FEATURES = 3, 2, 3, 4
_rng = np.random.default_rng(7)
TRANSITION = _rng.dirichlet(np.ones(STATES), (STATES, ACTIONS))
REWARD = _rng.normal(3.0, 1.0, (STATES, ACTIONS))
INITIAL = np.array([0.5, 0.3, 0.2])
PHI = _rng.normal(size=(STATES, ACTIONS, FEATURES))
WEIGHT = _rng.normal(size=FEATURES)
LOG_PRIOR = np.log(_rng.dirichlet(np.ones(ACTIONS), STATES))

_paths = list(itertools.product(*[range(STATES), range(ACTIONS)] * STEPS))
S = np.array([path[0::2] for path in _paths])
A = np.array([path[1::2] for path in _paths])
DYNAMICS = INITIAL[S[:, 0]] * np.prod([TRANSITION[S[:, t], A[:, t], S[:, t + 1]] for t in range(STEPS - 1)], axis=0)
R = REWARD[S, A]


def log_policy(weight):
    return jax.nn.log_softmax(jnp.asarray(PHI) @ weight, axis=-1)


def log_probability(weight, states, actions):
    """log π of each step of one trajectory."""
    return log_policy(weight)[states, actions]


def probability(weight=WEIGHT):
    """Of every trajectory, under the policy."""
    return DYNAMICS * np.exp(np.asarray(log_policy(weight))[S, A].sum(axis=1))


def expectation(values, weight=WEIGHT):
    return np.tensordot(probability(weight), np.asarray(values), axes=1)


def variance(values):
    return expectation(np.asarray(values) ** 2) - expectation(values) ** 2


def values_by_step(weight, discount, temperature=0.0, log_prior=0.0):
    """V_t(s) of the policy with its soft reward, for t = 0 … STEPS, by backward recursion."""
    policy = jnp.exp(log_policy(weight))
    soft = REWARD - temperature * (log_policy(weight) - log_prior)
    values = [jnp.zeros(STATES)]
    for _ in range(STEPS):
        values.insert(0, jnp.sum(policy * (soft + discount * TRANSITION @ values[0]), axis=1))
    return jnp.stack(values)


def objective(weight, discount, temperature=0.0, log_prior=0.0):
    return INITIAL @ values_by_step(weight, discount, temperature, log_prior)[0]


def average_reward(weight, temperature=0.0):
    """The soft reward per step in the long run, and (stationary distribution, differential values, π), by solving."""
    policy = jnp.exp(log_policy(weight))
    chain = jnp.einsum("sa,sat->st", policy, TRANSITION)
    system = jnp.concatenate([(jnp.eye(STATES) - chain).T[:-1], jnp.ones((1, STATES))])
    stationary = jnp.linalg.solve(system, jnp.array([0.0] * (STATES - 1) + [1.0]))
    reward = jnp.sum(policy * (REWARD - temperature * log_policy(weight)), axis=1)
    rho = stationary @ reward
    differential = jnp.linalg.solve(jnp.eye(STATES) - chain + jnp.outer(jnp.ones(STATES), stationary), reward - rho)
    return rho, (stationary, differential, policy)
