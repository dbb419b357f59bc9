"""The posterior over trajectories given optimality, exact and variational: policies, dynamics, marginals, optimism.

Both are Markov chains that follow from the values of `messages`, with Q_t and V_t of its equations (1)–(3) for the
exact one and (1')–(3) for the variational one:

    π_t(a|s) = π₀(a|s) exp((Q_t(s,a) − V_t(s))/α)                  p(a_t | s_t, O_{t:T})                        (5)
    p̂_t(k|s,a) = γ p_k exp((r(s,a,k) + V_{t+1}(s'_k) − Q_t)/α)      p(s_{t+1} | s_t, a_t, O_{t:T})              (6)
    p̂_t(k|s,a) = γ p_k                                            the variational posterior's                  (6')
    optimism_t(s) = V_t(s) exact − V_t(s) variational ≥ 0                                                      (7)

The exact posterior conditions on success and so believes in dynamics (6) that no action can bring about; acting by its
policy in the true dynamics takes risks that don't pay. The variational posterior is the nearest one, in KL(q ‖ p(τ|O)),
that keeps the dynamics as they are; p(O) exp(−KL) is its bound on the evidence. What separates them is the optimism,
which is 0 where dynamics are deterministic.

What has the size of a policy for every time is computed when it is asked for, from the T × S values that are kept.

Source: Levine (2018), arXiv:1805.00909, sections 2.4 and 3.1.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from entrax.errors import UsageError
from entrax.exact.graphical_model import GraphicalModel, Problem, TrajectoryModel, trajectory_model
from entrax.exact.messages import (
    action_values,
    all_action_values,
    all_values,
    log_policy,
    start_log_evidence,
    survival_beliefs,
    survival_values,
)
from entrax.soft import soft_policy


class Posterior(eqx.Module):
    """Beliefs about a trajectory in which every O_t = 1, made by `posterior` or `variational_posterior`.

    `value` is V_t(s) in units of reward, t = 0 … T (at T the final value), and `log_evidence` is log p(O_{0:T}) in
    nats; in the variational posterior its lower bound. Times t count decisions from 0. Terminal states have no actions:
    their value is 0, their rows of π are 0.
    """

    value: Float[Array, "time_and_end state"]
    log_evidence: Float[Array, ""]
    model: TrajectoryModel
    exact: bool = eqx.field(static=True)

    @property
    def horizon(self) -> int:
        """T, the number of decisions."""
        return self.model.horizon

    def action_value(self, t: int) -> Float[Array, "state action"]:
        """Q_t(s,a) in units of reward; −∞ for an action that is not allowed. Raises EntraxError outside 0 … T−1."""
        return _q(*self._at(t), self.exact)

    def policy(self, t: int) -> Float[Array, "state action"]:
        """π_t(a|s), equation (5). Raises EntraxError outside 0 … T−1."""
        return _policy(*self._at(t), self.exact)

    def dynamics(self, t: int) -> Float[Array, "state action branch"]:
        """p̂_t(k|s,a) of every branch of the problem, equation (6) or (6'). Raises EntraxError outside 0 … T−1.

        Without a discount rows of allowed actions sum to 1; with one, to the belief in surviving this step.
        """
        return _dynamics(*self._at(t), self.exact)

    def policies(self) -> Float[Array, "time state action"]:
        """π_t(a|s) of every time."""
        return _policies(self)

    def action_values(self) -> Float[Array, "time state action"]:
        """Q_t(s,a) of every time, in units of reward."""
        return all_action_values(self.model, self.value, self.exact)

    def state_marginals(self) -> Float[Array, "time_and_end state_and_end"]:
        """p(s_t = s | O_{0:T}), t = 0 … T; rows sum to 1.

        Column S is an episode that is over; one that has reached a terminal state stays there.
        """
        return _state_marginals(self)

    def marginals(self) -> Float[Array, "time state action"]:
        """p(s_t = s, a_t = a | O_{0:T}); sums over s and a to the probability that decision t is made at all."""
        return _marginals(self)

    def _at(self, t: int) -> tuple[GraphicalModel, Float[Array, " state"]]:
        """The model of decision t and V_{t+1}."""
        if not 0 <= t < self.horizon:
            raise UsageError(f"There is no decision {t}: times are 0 to {self.horizon - 1}.")
        return self.model.at(t), self.value[t + 1]


def posterior(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Posterior:
    """The exact posterior p(τ | O_{0:T}).

    Args:
        mdp: the problem; its prior is normalised over the allowed actions, and is uniform if there is none.
        temperature: α > 0, in units of reward.
        horizon: the number of decisions T; by default the problem's own.

    Raises EntraxError in 32-bit mode, without a horizon, and for a temperature that is not positive and finite.
    """
    return _infer(trajectory_model(mdp, temperature, horizon), exact=True)


def variational_posterior(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Posterior:
    """The best posterior with the true dynamics: the maximum-entropy policy. Arguments and errors as `posterior`."""
    return _infer(trajectory_model(mdp, temperature, horizon), exact=False)


def optimism(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Float[Array, "time_and_end state"]:
    """How much more the exact posterior expects than the variational one, equation (7), in units of reward.

    Its expectation over p_0 at t = 0, divided by α, is at most the gap between log evidence and bound, and is all of it
    where there is one initial state. Arguments and errors as `posterior`.
    """
    return _optimism(trajectory_model(mdp, temperature, horizon))


@eqx.filter_jit
def _infer(model: TrajectoryModel, exact: bool) -> Posterior:
    value = all_values(model, exact)
    return Posterior(
        value=value, log_evidence=start_log_evidence(model.first, value[0], exact), model=model, exact=exact
    )


@eqx.filter_jit
def _optimism(model: TrajectoryModel) -> Array:
    return all_values(model, exact=True) - all_values(model, exact=False)


@eqx.filter_jit
def _q(model: GraphicalModel, after: Array, exact: bool) -> Array:
    return action_values(model, after, exact)


@eqx.filter_jit
def _policy(model: GraphicalModel, after: Array, exact: bool) -> Array:
    return jnp.exp(log_policy(model, action_values(model, after, exact)))


@eqx.filter_jit
def _dynamics(model: GraphicalModel, after: Array, exact: bool) -> Array:
    """Equation (6): the belief in a branch times that in surviving it, each normalised whatever V/α is rounded to."""
    if not exact:
        return model.discount * model.probability
    outcome = survival_values(model, after, exact=True)[model.successor]
    if model.outcome_reward is not None:
        outcome += model.outcome_reward
    over_branches = jax.vmap(jax.vmap(soft_policy, (0, None, 0)), (0, None, 0))
    believed = over_branches(outcome, model.temperature, model.probability)
    return believed * survival_beliefs(model, after)[model.successor]


@eqx.filter_jit
def _policies(posterior: Posterior) -> Array:
    model = posterior.model
    return jax.lax.map(
        lambda now: _policy(model.stage(now[0]), now[1], posterior.exact), (model.problem.varying, posterior.value[1:])
    )


@eqx.filter_jit
def _state_marginals(posterior: Posterior) -> Array:
    """The chain that starts at p(s_0 | O) and follows (5) and (6). Each step is normalised: rounding doesn't add up."""
    trajectory, exact = posterior.model, posterior.exact
    stays = jnp.append(trajectory.first.terminal, True)

    def step(here: Array, now: tuple[dict[str, Array], Array]) -> tuple[Array, Array]:
        model, after = trajectory.stage(now[0]), now[1]
        joint = here[:-1, None] * _policy(model, after, exact)
        moves = joint[..., None] * _dynamics(model, after, exact)
        moved = jax.ops.segment_sum(moves.ravel(), model.successor.ravel(), len(here))
        stopped = jnp.sum(jnp.maximum(joint - jnp.sum(moves, axis=-1), 0))
        there = moved.at[-1].add(stopped) + jnp.where(stays, here, 0)
        return there / jnp.sum(there), here

    over_time = (trajectory.problem.varying, posterior.value[1:])
    last, rest = jax.lax.scan(step, jnp.append(_start(posterior), 0), over_time)
    return jnp.concatenate([rest, last[None]])


def _start(posterior: Posterior) -> Array:
    """p(s_0 | O) ∝ p_0 exp(V_0/α) of the exact posterior; p_0 of the variational one."""
    model = posterior.model.first
    if not posterior.exact:
        return model.initial
    return soft_policy(posterior.value[0], model.temperature, model.initial)


@eqx.filter_jit
def _marginals(posterior: Posterior) -> Array:
    states = _state_marginals(posterior)[:-1, :-1]
    return states[..., None] * _policies(posterior)
