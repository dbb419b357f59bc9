"""Learning Q from samples of a finite problem, one step at a time.

Each learner is defined by its temporal-difference error δ:

    Q(s,a) ← Q(s,a) + η δ

    Q-learning        δ = r + γ max Q(s',·) − Q(s,a)                                                        (1)
    soft Q-learning   δ = r + γ α log Σ π₀ exp(Q(s',·)/α) − Q(s,a)                                          (2)
    SARSA             δ = r + γ Q(s',a') − Q(s,a)                                                           (3)
    expected SARSA    δ = r + γ E_b Q(s',·) − Q(s,a)                                                        (4)
    soft SARSA        δ = r + γ [Q(s',a') − α log(b(a'|s')/π₀(a'|s'))] − Q(s,a)                             (5)
    Ψ-learning        δ = r + γ Ψ̄(s') − Ψ̄(s),  Ψ̄ = α log Σ π₀ exp(Ψ/α)                                     (6)

b is the behaviour and a' its next action. (1) and (2) learn optimal values under any behaviour that keeps exploring.
(3) and (4) learn the values of the behaviour, and (5) learns its soft value. If the behaviour is the soft policy of the
current table, Q(s',a') − α log(b/π₀) = V(s') for every a'. Then (5) and (2) have the same target, up to rounding, and
the same limit; under any other behaviour they differ. (6) replaces its prior at every step: Ψ(s,a) decreases without
bound if a is not optimal, Ψ̄ tends to the *hard* optimum, and α affects the speed only.

See `conditions` for convergence. The next action is chosen before the update. Termination starts a new episode; there
is no time limit. π₀ is 1 in the entropy convention and the normalised prior in the KL convention, as in `exact.plan`.
The loops are compiled. Use `jax.vmap` over keys to run many seeds efficiently.

References:
    Watkins (1989), Learning from delayed rewards, for (1).
    Fox, Pakman and Tishby (2016), arXiv:1512.08562, G-learning, for (2).
    Rummery and Niranjan (1994), On-line Q-learning using connectionist systems, for (3).
    van Seijen et al. (2009), A theoretical and empirical analysis of expected SARSA, for (4).
    Rawlik, Toussaint and Vijayakumar (2012), On stochastic optimal control and reinforcement learning by approximate
        inference, for (6).
"""

from typing import Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, ScalarLike

from entrax.problems.finite import FiniteMDP
from entrax.soft import soft_bellman_backup, soft_max
from entrax.tabular.learner import ErrorInputs, LearnedTable, LearnerOptions, learn
from entrax.tabular.schedules import Boltzmann, EpsilonGreedy

Scalar = Float[Array, ""]


def q_learning(mdp: FiniteMDP, *, steps: int, key: PRNGKeyArray, **options: Unpack[LearnerOptions]) -> LearnedTable:
    """Run Q-learning, equation (1).

    Args:
        mdp: a problem without a horizon.
        steps: the number of transitions, rounded up to whole chunks of each record.
        key: the key of all random numbers.
        **options: see `LearnerOptions`; the behaviour is ε-greedy with ε = 0.1 by default.

    Raises:
        UsageError: the problem has a horizon, or an argument is not valid.
    """
    settings: LearnerOptions = {"behaviour": EpsilonGreedy(), **options}
    return learn(mdp, _q_error, 0.0, steps=steps, key=key, **settings)


def soft_q_learning(
    mdp: FiniteMDP, temperature: ScalarLike, *, steps: int, key: PRNGKeyArray, **options: Unpack[LearnerOptions]
) -> LearnedTable:
    """Run soft Q-learning, equation (2), at `temperature` in units of reward.

    The behaviour is its own soft policy by default. Other arguments and errors as for `q_learning`.
    """
    settings = options if "behaviour" in options else LearnerOptions(**options, behaviour=Boltzmann(temperature))
    return learn(mdp, _soft_q_error, temperature, steps=steps, key=key, **settings)


def sarsa(mdp: FiniteMDP, *, steps: int, key: PRNGKeyArray, **options: Unpack[LearnerOptions]) -> LearnedTable:
    """Run SARSA, equation (3), which learns the values of its behaviour.

    They tend to the optimum if the behaviour becomes greedy. Arguments and errors as for `q_learning`.
    """
    settings: LearnerOptions = {"behaviour": EpsilonGreedy(), **options}
    return learn(mdp, _sarsa_error, 0.0, steps=steps, key=key, **settings)


def expected_sarsa(mdp: FiniteMDP, *, steps: int, key: PRNGKeyArray, **options: Unpack[LearnerOptions]) -> LearnedTable:
    """Run expected SARSA, equation (4), which is SARSA without the noise of a'.

    Arguments and errors as for `q_learning`.
    """
    settings: LearnerOptions = {"behaviour": EpsilonGreedy(), **options}
    return learn(mdp, _expected_sarsa_error, 0.0, steps=steps, key=key, **settings)


def soft_sarsa(
    mdp: FiniteMDP, temperature: ScalarLike, *, steps: int, key: PRNGKeyArray, **options: Unpack[LearnerOptions]
) -> LearnedTable:
    """Run soft SARSA, equation (5), at `temperature` in units of reward.

    The behaviour is its own soft policy by default. Other arguments and errors as for `q_learning`.
    """
    settings = options if "behaviour" in options else LearnerOptions(**options, behaviour=Boltzmann(temperature))
    return learn(mdp, _soft_sarsa_error, temperature, steps=steps, key=key, **settings)


def psi_learning(
    mdp: FiniteMDP, temperature: ScalarLike, *, steps: int, key: PRNGKeyArray, **options: Unpack[LearnerOptions]
) -> LearnedTable:
    """Run Ψ-learning, equation (6), whose `value` tends to the hard optimum.

    `q` of the result is Ψ. The behaviour is uniform by default, because Ψ's own policy stops trying actions that look
    bad temporarily. Other arguments and errors as for `soft_q_learning`.
    """
    settings: LearnerOptions = {"behaviour": EpsilonGreedy(1.0), **options}
    return learn(mdp, _psi_error, temperature, steps=steps, key=key, **settings)


def _target(step: ErrorInputs, next_value: Scalar) -> Scalar:
    return soft_bellman_backup(step.reward, step.discount, next_value, step.terminated)


def _q_error(step: ErrorInputs) -> Scalar:
    return _target(step, soft_max(step.next_q, 0.0, mask=step.next_allowed)) - step.q[step.action]


def _soft_q_error(step: ErrorInputs) -> Scalar:
    value = soft_max(step.next_q, step.temperature, step.next_prior, step.next_allowed)
    return _target(step, value) - step.q[step.action]


def _sarsa_error(step: ErrorInputs) -> Scalar:
    return _target(step, step.next_q[step.next_action]) - step.q[step.action]


def _expected_sarsa_error(step: ErrorInputs) -> Scalar:
    return _target(step, step.next_behaviour @ step.next_q) - step.q[step.action]


def _soft_sarsa_error(step: ErrorInputs) -> Scalar:
    log_ratio = jnp.log(step.next_behaviour[step.next_action])
    if step.next_prior is not None:
        weights = jnp.where(step.next_allowed, step.next_prior, 0)
        log_ratio -= jnp.log(weights[step.next_action] / jnp.sum(weights))
    return _target(step, step.next_q[step.next_action] - step.temperature * log_ratio) - step.q[step.action]


def _psi_error(step: ErrorInputs) -> Scalar:
    here = soft_max(step.q, step.temperature, step.prior, step.allowed)
    return _target(step, soft_max(step.next_q, step.temperature, step.next_prior, step.next_allowed)) - here
