"""The exact and the variational posterior over trajectories given optimality.

Both are Markov chains computed from the values of `messages`, with Q_t and V_t of equations (1)–(3) for the exact
posterior and (1')–(3) for the variational one:

    π_t(a|s) = π₀(a|s) exp((Q_t(s,a) − V_t(s))/α)                  p(a_t | s_t, O_{t:T})                        (5)
    p̂_t(k|s,a) = γ p_k exp((r(s,a,k) + V_{t+1}(s'_k) − Q_t)/α)      p(s_{t+1} | s_t, a_t, O_{t:T})              (6)
    p̂_t(k|s,a) = γ p_k                                            variational posterior                        (6')
    optimism_t(s) = V_t(s) exact − V_t(s) variational ≥ 0                                                      (7)

The exact posterior conditions on success, so its dynamics (6) differ from the true ones, and its policy takes risks
that do not pay off under the true dynamics. The variational posterior is the closest distribution with the true
dynamics, in KL(q ‖ p(τ|O)); its bound on the evidence is p(O) exp(−KL). Their difference is the optimism, which is 0
for deterministic dynamics without a discount.

A `Posterior` stores T × S values. Arrays with the size of a policy at every time are computed on demand.

References:
    Levine (2018), arXiv:1805.00909, sections 2.4 and 3.1.
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
    """The posterior over trajectories given that every O_t = 1.

    It is built by `posterior` or `variational_posterior`. Times t count decisions from 0. Terminal states have no
    actions: their value is 0, and their rows of π are 0.

    Attributes:
        value: V_t(s) in units of reward, t = 0 … T; the last one is the final value.
        log_evidence: log p(O_{0:T}) in nats, or its lower bound for the variational posterior.
        model: the graphical model.
        exact: whether this is the exact posterior.
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
        """Return Q_t(s,a) in units of reward; −∞ for actions that are not allowed.

        Raises:
            UsageError: t is not in 0 … T−1.
        """
        return _q(*self._at(t), self.exact)

    def policy(self, t: int) -> Float[Array, "state action"]:
        """Return π_t(a|s), equation (5).

        Raises:
            UsageError: t is not in 0 … T−1.
        """
        return _policy(*self._at(t), self.exact)

    def dynamics(self, t: int) -> Float[Array, "state action branch"]:
        """Return p̂_t(k|s,a) of every branch of the problem, equation (6) or (6').

        Rows of allowed actions sum to 1 without a discount, and to the probability of surviving this step with one.

        Raises:
            UsageError: t is not in 0 … T−1.
        """
        return _dynamics(*self._at(t), self.exact)

    def policies(self) -> Float[Array, "time state action"]:
        """Return π_t(a|s) at all times."""
        return _policies(self)

    def action_values(self) -> Float[Array, "time state action"]:
        """Return Q_t(s,a) at all times, in units of reward."""
        return all_action_values(self.model, self.value, self.exact)

    def state_marginals(self) -> Float[Array, "time_and_end state_and_end"]:
        """Return p(s_t = s | O_{0:T}), t = 0 … T; rows sum to 1.

        Column S stands for an episode that ended by a transition; an episode in a terminal state stays there.
        """
        return _state_marginals(self)

    def marginals(self) -> Float[Array, "time state action"]:
        """Return p(s_t = s, a_t = a | O_{0:T}).

        The sum over s and a is the probability that the episode has not ended before decision t.
        """
        return _marginals(self)

    def _at(self, t: int) -> tuple[GraphicalModel, Float[Array, " state"]]:
        """Return the model of decision t and V_{t+1}."""
        if not 0 <= t < self.horizon:
            raise UsageError(f"`t` must be from 0 to {self.horizon - 1}, got {t}.")
        return self.model.at(t), self.value[t + 1]


def posterior(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Posterior:
    """Compute the exact posterior p(τ | O_{0:T}).

    Args:
        mdp: the problem; its prior is normalised over the allowed actions, and is uniform by default.
        temperature: α > 0, in units of reward.
        horizon: T, the number of decisions; by default the problem's own.

    Raises:
        UsageError: JAX is in 32-bit mode, there is no horizon, or the temperature is not positive and finite.
    """
    return _infer(trajectory_model(mdp, temperature, horizon), exact=True)


def variational_posterior(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Posterior:
    """Compute the best posterior with the true dynamics: the maximum-entropy policy.

    Arguments and errors as for `posterior`.
    """
    return _infer(trajectory_model(mdp, temperature, horizon), exact=False)


def optimism(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Float[Array, "time_and_end state"]:
    """Compute the optimism of the exact posterior, equation (7), in units of reward.

    Its expectation over p_0 at t = 0, divided by α, is at most the gap between log evidence and lower bound, and equals
    the gap if there is one initial state. Arguments and errors as for `posterior`.
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
    """Compute (6) as the product of normalised beliefs in a branch and in survival.

    Both stay normalised even if V/α is rounded.
    """
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
    """Follow the chain (5) and (6) from p(s_0 | O).

    Each step is normalised, so that rounding does not accumulate.
    """
    trajectory, exact = posterior.model, posterior.exact
    stays = jnp.append(trajectory.first.terminal, True)

    def step(current: Array, now: tuple[dict[str, Array], Array]) -> tuple[Array, Array]:
        model, after = trajectory.stage(now[0]), now[1]
        joint = current[:-1, None] * _policy(model, after, exact)
        moves = joint[..., None] * _dynamics(model, after, exact)
        moved = jax.ops.segment_sum(moves.ravel(), model.successor.ravel(), len(current))
        stopped = jnp.sum(jnp.maximum(joint - jnp.sum(moves, axis=-1), 0))
        following = moved.at[-1].add(stopped) + jnp.where(stays, current, 0)
        return following / jnp.sum(following), current

    over_time = (trajectory.problem.varying, posterior.value[1:])
    last, rest = jax.lax.scan(step, jnp.append(_start(posterior), 0), over_time)
    return jnp.concatenate([rest, last[None]])


def _start(posterior: Posterior) -> Array:
    """Return p(s_0 | O) ∝ p_0 exp(V_0/α) if exact, and p_0 if variational."""
    model = posterior.model.first
    if not posterior.exact:
        return model.initial
    return soft_policy(posterior.value[0], model.temperature, model.initial)


@eqx.filter_jit
def _marginals(posterior: Posterior) -> Array:
    states = _state_marginals(posterior)[:-1, :-1]
    return states[..., None] * _policies(posterior)
