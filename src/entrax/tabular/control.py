"""Learning Q from samples of a finite problem, one step at a time. Each learner is one temporal-difference error δ:

    Q(s,a) ← Q(s,a) + η δ

    Q-learning        δ = r + γ max Q(s',·) − Q(s,a)                       [Watkins 1989]                    (1)
    soft Q-learning   δ = r + γ α log Σ π₀ exp(Q(s',·)/α) − Q(s,a)         [Fox et al. 2016, G-learning]     (2)
    SARSA             δ = r + γ Q(s',a') − Q(s,a)                          [Rummery and Niranjan 1994]       (3)
    expected SARSA    δ = r + γ E_b Q(s',·) − Q(s,a)                       [van Seijen et al. 2009]          (4)
    soft SARSA        δ = r + γ [Q(s',a') − α log(b(a'|s')/π₀(a'|s'))] − Q(s,a)                              (5)
    Ψ-learning        δ = r + γ Ψ̄(s') − Ψ̄(s),  Ψ̄ = α log Σ π₀ exp(Ψ/α)    [Rawlik et al. 2012]              (6)

b is the behaviour, a' its next action. (1) and (2) learn optimal values under any behaviour that keeps exploring; (3)
and (4) the values of the behaviour, (5) its soft value. Where the behaviour is the soft policy of the table itself,
Q(s',a') − α log(b/π₀) = V(s') for every a': (5) then has the very target of (2), to rounding, and the same optimum.
Under any other behaviour they differ. (6) renews its prior at every step: Ψ(s,a) falls without end where a is not
optimal, Ψ̄ tends to the *hard* optimum, and α only sets how fast.

`conditions` says when these converge. The next action is chosen before the update. Termination starts a new episode;
there is no time limit. π₀ is 1 in the entropy convention and the normalised prior in the KL convention, as in
`exact.plan`. Everything is compiled; `jax.vmap` over keys runs many seeds at once, which is where the speed is.
"""

from typing import Unpack

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, ScalarLike

from entrax.problems.finite import FiniteMDP
from entrax.soft import soft_bellman_backup, soft_max
from entrax.tabular.learner import Learned, Options, Step, learn
from entrax.tabular.schedules import Boltzmann, EpsilonGreedy

Scalar = Float[Array, ""]


def q_learning(mdp: FiniteMDP, *, steps: int, key: PRNGKeyArray, **options: Unpack[Options]) -> Learned:
    """Q-learning, equation (1), for `steps` transitions; ε-greedy with ε = 0.1 by default. See `learner.Options`.

    Raises EntraxError for a problem with a horizon, and for numbers that make no sense.
    """
    settled: Options = {"behaviour": EpsilonGreedy(), **options}
    return learn(mdp, _q_error, 0.0, steps=steps, key=key, **settled)


def soft_q_learning(
    mdp: FiniteMDP, temperature: ScalarLike, *, steps: int, key: PRNGKeyArray, **options: Unpack[Options]
) -> Learned:
    """Soft Q-learning, equation (2); behaves by its own soft policy by default."""
    settled = options if "behaviour" in options else Options(**options, behaviour=Boltzmann(temperature))
    return learn(mdp, _soft_q_error, temperature, steps=steps, key=key, **settled)


def sarsa(mdp: FiniteMDP, *, steps: int, key: PRNGKeyArray, **options: Unpack[Options]) -> Learned:
    """SARSA, equation (3): the values of its behaviour, the optimum if that turns greedy; ε-greedy, ε = 0.1."""
    settled: Options = {"behaviour": EpsilonGreedy(), **options}
    return learn(mdp, _sarsa_error, 0.0, steps=steps, key=key, **settled)


def expected_sarsa(mdp: FiniteMDP, *, steps: int, key: PRNGKeyArray, **options: Unpack[Options]) -> Learned:
    """Expected SARSA, equation (4): SARSA without the noise of the next action; ε-greedy with ε = 0.1 by default."""
    settled: Options = {"behaviour": EpsilonGreedy(), **options}
    return learn(mdp, _expected_sarsa_error, 0.0, steps=steps, key=key, **settled)


def soft_sarsa(
    mdp: FiniteMDP, temperature: ScalarLike, *, steps: int, key: PRNGKeyArray, **options: Unpack[Options]
) -> Learned:
    """Soft SARSA, equation (5); behaves by its own soft policy by default."""
    settled = options if "behaviour" in options else Options(**options, behaviour=Boltzmann(temperature))
    return learn(mdp, _soft_sarsa_error, temperature, steps=steps, key=key, **settled)


def psi_learning(
    mdp: FiniteMDP, temperature: ScalarLike, *, steps: int, key: PRNGKeyArray, **options: Unpack[Options]
) -> Learned:
    """Ψ-learning, equation (6): `value` tends to the hard optimum, `q` is Ψ. Explores uniformly by default.

    Its own policy forgets actions that look bad for a while, and so explores too little to be the default.
    """
    settled: Options = {"behaviour": EpsilonGreedy(1.0), **options}
    return learn(mdp, _psi_error, temperature, steps=steps, key=key, **settled)


def _target(step: Step, next_value: Scalar) -> Scalar:
    return soft_bellman_backup(step.reward, step.discount, next_value, step.terminated)


def _q_error(step: Step) -> Scalar:
    return _target(step, soft_max(step.next_q, 0.0, mask=step.next_allowed)) - step.q[step.action]


def _soft_q_error(step: Step) -> Scalar:
    value = soft_max(step.next_q, step.temperature, step.next_prior, step.next_allowed)
    return _target(step, value) - step.q[step.action]


def _sarsa_error(step: Step) -> Scalar:
    return _target(step, step.next_q[step.next_action]) - step.q[step.action]


def _expected_sarsa_error(step: Step) -> Scalar:
    return _target(step, step.next_behaviour @ step.next_q) - step.q[step.action]


def _soft_sarsa_error(step: Step) -> Scalar:
    log_ratio = jnp.log(step.next_behaviour[step.next_action])
    if step.next_prior is not None:
        weights = jnp.where(step.next_allowed, step.next_prior, 0)
        log_ratio -= jnp.log(weights[step.next_action] / jnp.sum(weights))
    return _target(step, step.next_q[step.next_action] - step.temperature * log_ratio) - step.q[step.action]


def _psi_error(step: Step) -> Scalar:
    here = soft_max(step.q, step.temperature, step.prior, step.allowed)
    return _target(step, soft_max(step.next_q, step.temperature, step.next_prior, step.next_allowed)) - here
