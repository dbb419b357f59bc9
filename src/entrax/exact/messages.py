"""Control as inference in a finite problem: messages, evidence and its lower bound.

The model is a Markov chain of states s_t and actions a_t, t = 0 … T−1, with an observation O_t at each decision:

    s_0 ~ p_0,   a_t ~ π₀(·|s_t),   s_{t+1} ~ p(·|s_t, a_t),   p(O_t = 1|s_t, a_t) = exp(r(s_t, a_t)/α)

The last factor is an unnormalised potential, which need not be a probability (r may be positive). If the reward depends
on the outcome, branch k has the potential exp(r(s,a,k)/α). After the end of an episode, in a terminal state or by a
transition to index S, there are no more observations (factor 1). With a discount γ < 1 the episode ends after each
decision with probability 1 − γ. Messages are stored as V_t(s) = α log β_t(s) and Q_t(s,a) = α log β_t(s,a), in units
of reward:

    U(s)   = α log (γ exp(V_{t+1}(s)/α) + 1 − γ)                  survival, U = 0 after the end                (1)
    Q_t    = r + α log Σ_k p_k exp(U(s'_k)/α)                     β_t(s,a) = p(O_{t:T} | s_t, a_t)              (2)
    V_t(s) = α log Σ_a π₀(a|s) exp(Q_t(s,a)/α),   V_T = 0         β_t(s) = p(O_{t:T} | s_t)                     (3)
    log p(O_{0:T}) = log Σ_s p_0(s) β_0(s)                        the log evidence                             (4)

If rewards depend on the outcome, r(s,a,k) is inside the sum of (2). Equation (2) is a *soft* expectation: it weights
lucky outcomes more, as if the agent chose them. The best posterior with the true dynamics, q(τ) = p_0 Π π(a|s)
p(s'|s,a), follows from the same recursion with plain expectations, which is maximum-entropy control:

    U = γ V_{t+1}                                                                                              (1')
    Q_t = r + Σ_k p_k U(s'_k)                                                                                  (2')
    log p(O_{0:T}) ≥ Σ_s p_0(s) V_0(s)/α                          the evidence lower bound                     (4')

The bound is tight if V is constant over the support of p_0 and r(s,a,k) + U is constant over the outcomes of each (s,a)
that is used. With one initial state, deterministic dynamics without a discount are sufficient.

**Time.** In a `FiniteHorizonMDP` r, p and π₀ may depend on t. Its final value V_T acts as one more observation, of the
last state, with the potential exp(V_T/α).

**Prior.** π₀ is normalised; without a prior it is uniform over the allowed actions. The entropy convention, π₀ = 1, is
not a distribution and defines no generative model. Its messages result from adding α log n(s) to the rewards of a state
with n(s) allowed actions. If n is the same in all states and no episode ends early, by itself or by a discount, both
have the same policies, and V_t of the entropy convention is larger by (T − t) α log n.

**Temperature** is positive. Temperature 0 is refused: log β diverges, and α log β would be the value of a plan that
assumes the luckiest outcome of every action. For classical optimality use `plan`.

Sums are computed in log space and in units of reward, so they do not overflow before V/α does. V has a relative
rounding error near T × 1e-16, so a probability has an absolute error of that times |V|/α.

References:
    Levine (2018), arXiv:1805.00909, sections 2 and 3.
    Ziebart (2010), Modeling purposeful adaptive behavior with the principle of maximum causal entropy, for (1')–(3).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from entrax.exact.finite_horizon import end_value
from entrax.exact.graphical_model import ActionValue, GraphicalModel, Problem, TrajectoryModel, trajectory_model
from entrax.soft import log_soft_policy, soft_max, soft_policy

_LOG_ZERO = -800.0  # its exponential and the derivatives of that are 0

StateValue = Float[Array, " state"]


class Messages(eqx.Module):
    """Backward messages, in nats.

    Attributes:
        state: log β_t(s), t = 0 … T; the last one is the final value over α. 0 in terminal states.
        state_action: log β_t(s,a), t = 0 … T−1; −∞ for actions that are not allowed and in terminal states.
    """

    state: Float[Array, "time_and_end state"]
    state_action: Float[Array, "time state action"]


def log_evidence(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Float[Array, ""]:
    """Compute log p(O_{0:T}) in nats, equation (4), with memory independent of T.

    If rewards do not depend on the outcome, its gradient with respect to r(s,a) is the expected number of visits over
    α, Σ_t p(s_t=s, a_t=a | O_{0:T})/α.

    Args:
        mdp: the problem.
        temperature: α > 0, in units of reward.
        horizon: T, the number of decisions; by default the problem's own.

    Raises:
        UsageError: JAX is in 32-bit mode, there is no horizon, or the temperature is not positive and finite.
    """
    return _evidence(trajectory_model(mdp, temperature, horizon), exact=True)


def evidence_lower_bound(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Float[Array, ""]:
    """Compute the largest lower bound on `log_evidence` with the true dynamics, (4').

    The result is in nats. Arguments and errors as for `log_evidence`.
    """
    return _evidence(trajectory_model(mdp, temperature, horizon), exact=False)


def backward_messages(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Messages:
    """Compute log β_t(s) and log β_t(s,a) at all times, equations (2) and (3).

    Memory is T × S × (A + 1) numbers. A `Posterior` stores T × S numbers and computes the rest on demand. Arguments
    and errors as for `log_evidence`.
    """
    return _backward(trajectory_model(mdp, temperature, horizon))


def forward_messages(
    mdp: Problem, temperature: ScalarLike, horizon: int | None = None
) -> Float[Array, "time_and_end state_and_end"]:
    """Compute log p(s_t, O_{0:t−1}) in nats, t = 0 … T.

    Column S stands for an episode that ended by a transition; an episode in a terminal state stays there. At every t
    the sum over columns of exp(forward) β_t, with β_t(S) = 1, is the evidence. Arguments and errors as for
    `log_evidence`.
    """
    return _forward(trajectory_model(mdp, temperature, horizon))


def action_values(model: GraphicalModel, next_value: StateValue, exact: bool) -> ActionValue:
    """Return Q_t from V_{t+1} by (1) and (2) if `exact`, else (1') and (2').

    Actions that are not allowed have −∞.
    """
    after = survival_values(model, next_value, exact)[model.successor]
    if not exact:
        q = model.reward + jnp.sum(model.probability * after, axis=-1)
    elif model.outcome_reward is None:
        q = model.reward + _soft_expectation(model, after)
    else:
        q = _soft_expectation(model, model.outcome_reward + after)
    return jnp.where(model.allowed, q, -jnp.inf)


def state_values(model: GraphicalModel, q: ActionValue) -> StateValue:
    """Return V_t from Q_t, equation (3); 0 in terminal states."""
    value = jax.vmap(soft_max, (0, None, 0))(q, model.temperature, model.prior)
    return jnp.where(model.terminal, 0, value)


def start_log_evidence(model: GraphicalModel, value: StateValue, exact: bool) -> Float[Array, ""]:
    """Return log p(O_{0:T}), or its lower bound, in nats from V_0 by (4) or (4')."""
    if exact:
        return soft_max(value, model.temperature, model.initial) / model.temperature
    return jnp.sum(model.initial * value) / model.temperature


def survival_values(model: GraphicalModel, next_value: StateValue, exact: bool) -> Float[Array, " state_and_end"]:
    """Return U of every state and of the end from V_{t+1} by (1) or (1')."""
    value = jnp.append(next_value, 0)
    if not exact:
        return model.discount * value
    lives_or_not = jnp.stack([value, jnp.zeros_like(value)], axis=-1)
    return jax.vmap(soft_max, (0, None, None))(lives_or_not, model.temperature, _survival_chances(model))


def survival_beliefs(model: GraphicalModel, next_value: StateValue) -> Float[Array, " state_and_end"]:
    """Return γ exp((V_{t+1} − U)/α), the posterior probability of survival.

    It is the exact posterior's probability that the discount does not end the episode on a step to each state.
    """
    value = jnp.append(next_value, 0)
    lives_or_not = jnp.stack([value, jnp.zeros_like(value)], axis=-1)
    return jax.vmap(soft_policy, (0, None, None))(lives_or_not, model.temperature, _survival_chances(model))[:, 0]


def _survival_chances(model: GraphicalModel) -> Float[Array, "2"]:
    return jnp.stack([model.discount, 1 - model.discount])


def _soft_expectation(model: GraphicalModel, outcome: Float[Array, "state action branch"]) -> ActionValue:
    """Return α log Σ_k p_k exp(outcome_k/α); 0 without branches.

    This is `soft_max` with the dynamics as the prior, optimised because it dominates the cost. The slow expm1 is used
    only at temperatures far above all differences, where α times the rounding error of 1 would swamp them.
    """
    real = model.probability > 0
    best = jax.lax.stop_gradient(jnp.max(jnp.where(real, outcome, -jnp.inf), axis=-1))
    impossible = jnp.any(real, axis=-1) & (best == -jnp.inf)
    best = jnp.where(jnp.isfinite(best), best, 0)
    gap = jnp.where(real & ~impossible[..., None], outcome - best[..., None], 0) / model.temperature
    gap = jnp.maximum(gap, _LOG_ZERO)

    def hot() -> ActionValue:
        return jnp.log1p(jnp.sum(model.probability * jnp.expm1(gap), axis=-1))

    def cold() -> ActionValue:
        mass = jnp.sum(model.probability * jnp.exp(gap), axis=-1)
        return jnp.log(jnp.where(mass > 0, mass, 1))

    value = best + model.temperature * jax.lax.cond(jnp.min(gap) > -0.25, hot, cold)
    return jnp.where(impossible, -jnp.inf, value)


@eqx.filter_jit
def _evidence(model: TrajectoryModel, exact: bool) -> Float[Array, ""]:
    """Compute the evidence or its bound; differentiation stores T × S numbers.

    Each step's arrays are recomputed in the backward pass.
    """

    @jax.checkpoint
    def step(value: StateValue, arrays: dict[str, Array]) -> tuple[StateValue, None]:
        return _value_before(model.stage(arrays), value, exact), None

    first, _ = jax.lax.scan(step, end_value(model.problem), model.problem.varying, model.horizon, reverse=True)
    return start_log_evidence(model.first, first, exact)


@eqx.filter_jit
def _backward(model: TrajectoryModel) -> Messages:
    value = all_values(model, exact=True)
    q = all_action_values(model, value, exact=True)
    return Messages(state=value / model.first.temperature, state_action=q / model.first.temperature)


@eqx.filter_jit
def all_values(model: TrajectoryModel, exact: bool) -> Float[Array, "time_and_end state"]:
    """Return V_0 … V_T."""

    def step(value: StateValue, arrays: dict[str, Array]) -> tuple[StateValue, StateValue]:
        return _value_before(model.stage(arrays), value, exact), value

    last = end_value(model.problem)
    first, rest = jax.lax.scan(step, last, model.problem.varying, model.horizon, reverse=True)
    return jnp.concatenate([first[None], rest])


@eqx.filter_jit
def all_action_values(
    model: TrajectoryModel, value: Float[Array, "time_and_end state"], exact: bool
) -> Float[Array, "time state action"]:
    """Return Q_0 … Q_{T−1} from V_0 … V_T."""
    return jax.lax.map(
        lambda now: action_values(model.stage(now[0]), now[1], exact), (model.problem.varying, value[1:])
    )


def _value_before(model: GraphicalModel, value: StateValue, exact: bool) -> StateValue:
    return state_values(model, action_values(model, value, exact))


@eqx.filter_jit
def _forward(model: TrajectoryModel) -> Float[Array, "time_and_end state_and_end"]:
    stays = jnp.append(model.first.terminal, True)

    def step(message: Array, arrays: dict[str, Array]) -> tuple[Array, Array]:
        now = model.stage(arrays)
        reward = now.reward[..., None] if now.outcome_reward is None else now.outcome_reward
        log_factor = jnp.log(now.prior)[..., None] + jnp.log(now.probability) + reward / now.temperature
        joint = message[:-1, None, None] + log_factor
        moved = _scatter_log_sum(joint + jnp.log(now.discount), now.successor, len(message))
        stopped = jax.nn.logsumexp(joint) + jnp.log1p(-now.discount)
        moved = moved.at[-1].set(jnp.logaddexp(moved[-1], stopped))
        return jnp.logaddexp(moved, jnp.where(stays, message, -jnp.inf)), message

    start = jnp.append(jnp.log(model.first.initial), -jnp.inf)
    last, rest = jax.lax.scan(step, start, model.problem.varying, model.horizon)
    return jnp.concatenate([rest, last[None]])


def _scatter_log_sum(log_mass: Array, place: Array, size: int) -> Float[Array, " place"]:
    """Return log Σ exp(log_mass) over the entries of each place; −∞ without entries."""
    log_mass, place = log_mass.ravel(), place.ravel()
    highest = jax.ops.segment_max(log_mass, place, size)
    highest = jnp.where(jnp.isfinite(highest), highest, 0)
    return highest + jnp.log(jax.ops.segment_sum(jnp.exp(log_mass - highest[place]), place, size))


def log_policy(model: GraphicalModel, q: ActionValue) -> ActionValue:
    """Return log π = log π₀ + (Q − V)/α; −∞ where not allowed, in terminal states."""
    return jax.vmap(log_soft_policy, (0, None, 0))(q, model.temperature, model.prior)
