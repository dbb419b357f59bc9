"""Control as inference in a finite problem: messages of the graphical model, its evidence and the bound on it.

The model is a Markov chain of states s_t and actions a_t, t = 0 … T−1, with an observation O_t at each decision:

    s_0 ~ p_0,   a_t ~ π₀(·|s_t),   s_{t+1} ~ p(·|s_t, a_t),   p(O_t = 1|s_t, a_t) = exp(r(s_t, a_t)/α)

The last is an unnormalised potential: a probability only where r ≤ 0, and nothing here needs that. Where the reward
depends on the outcome, branch k carries the potential exp(r(s,a,k)/α). Once an episode has ended, in a terminal state
or by a transition to index S, nothing more is observed (factor 1). A discount γ < 1 ends it after any decision with
probability 1 − γ. Messages are kept as values V_t(s) = α log β_t(s) and Q_t(s,a) = α log β_t(s,a), in reward units:

    U(s)   = α log (γ exp(V_{t+1}(s)/α) + 1 − γ)                  survival, U = 0 after the end                (1)
    Q_t    = r + α log Σ_k p_k exp(U(s'_k)/α)                     β_t(s,a) = p(O_{t:T} | s_t, a_t)              (2)
    V_t(s) = α log Σ_a π₀(a|s) exp(Q_t(s,a)/α),   V_T = 0         β_t(s) = p(O_{t:T} | s_t)                     (3)
    log p(O_{0:T}) = log Σ_s p_0(s) β_0(s)                        the log evidence                             (4)

(with r(s,a,k) inside the sum of (2) where rewards depend on the outcome). Equation (2) is a *soft* expectation: it
leans towards lucky outcomes, as if the agent chose them. The best posterior that keeps the true dynamics, q(τ) = p_0 Π
π(a|s) p(s'|s,a), is found by the same recursion with expectations instead, which is maximum-entropy control:

    U = γ V_{t+1}                                                                                              (1')
    Q_t = r + Σ_k p_k U(s'_k)                                                                                  (2')
    log p(O_{0:T}) ≥ Σ_s p_0(s) V_0(s)/α                          the evidence lower bound                     (4')

The bound is tight when V is constant over the support of p_0 and r(s,a,k) + U over the outcomes of each (s,a) that is
used: deterministic dynamics suffice.

**Time.** In a `FiniteHorizonMDP` r, p and π₀ may depend on t, and V_T is its final value: one more observation, of the
last state, with the potential exp(V_T/α).

**Prior.** π₀ is normalised; without a prior it is uniform over the allowed actions. The entropy convention, a weight of
1 for every action, is no distribution over actions and hence no generative model. Adding α log n(s) to the rewards of a
state with n(s) allowed actions gives its messages: with n the same everywhere and no episode ending early or being
discounted, the policies are the same and V_t is larger by (T − t) α log n.

**Temperature** is positive. The limit 0 is refused: there log β diverges, and α log β would be the plan that believes
in the luckiest outcome of every action. For classical optimality see planning.

Sums are taken in log space, in units of reward, so that no horizon or magnitude overflows before V/α itself does. V
carries a relative rounding error near T × 1e-16, hence a probability an absolute one of that times |V|/α.

Source: Levine (2018), arXiv:1805.00909, sections 2 and 3; Ziebart (2010), for (1')–(3).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from entrax.exact.finite_horizon import end_value
from entrax.exact.graphical_model import ActionValue, GraphicalModel, Problem, TrajectoryModel, trajectory_model
from entrax.soft import log_soft_policy, soft_max, soft_policy

_LOG_OF_NOTHING = -800.0  # its exponential is 0, and so are its derivatives

StateValue = Float[Array, " state"]


class Messages(eqx.Module):
    """Backward messages in nats: log β_t(s), t = 0 … T (at T the final value over α), and log β_t(s,a), t = 0 … T−1.

    An action that is not allowed has log β_t(s,a) = −∞; so have all actions of a terminal state, whose log β_t(s) is 0.
    """

    state: Float[Array, "time_and_end state"]
    state_action: Float[Array, "time state action"]


def log_evidence(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Float[Array, ""]:
    """log p(O_{0:T}) in nats, equation (4), in memory that does not grow with the horizon.

    Its gradient by r(s,a) is the expected number of visits Σ_t p(s_t=s, a_t=a | O_{0:T})/α where rewards don't depend
    on the outcome. `horizon` overrides the problem's own. Raises EntraxError in 32-bit mode, without a horizon, and for
    a temperature that is not positive and finite.
    """
    return _evidence(trajectory_model(mdp, temperature, horizon), exact=True)


def evidence_lower_bound(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Float[Array, ""]:
    """The largest lower bound on `log_evidence` of a policy under the true dynamics, equation (4'); same arguments."""
    return _evidence(trajectory_model(mdp, temperature, horizon), exact=False)


def backward_messages(mdp: Problem, temperature: ScalarLike, horizon: int | None = None) -> Messages:
    """log β_t(s) and log β_t(s,a) of every time, equations (2) and (3). Arguments and errors as `log_evidence`.

    Takes memory T × S × (A + 1). `posterior` keeps T × S and gives the rest for the times that are asked for.
    """
    return _backward(trajectory_model(mdp, temperature, horizon))


def forward_messages(
    mdp: Problem, temperature: ScalarLike, horizon: int | None = None
) -> Float[Array, "time_and_end state_and_end"]:
    """log p(s_t, O_{0:t−1}) in nats, t = 0 … T. Arguments and errors as `log_evidence`.

    Column S is an episode that is over; one that has reached a terminal state stays there. So at every t the sum over
    columns of exp(forward) β_t, with β_t(S) = 1, is the evidence.
    """
    return _forward(trajectory_model(mdp, temperature, horizon))


def action_values(model: GraphicalModel, next_value: StateValue, exact: bool) -> ActionValue:
    """Q_t from V_{t+1}: equations (1) and (2) of the exact posterior, or (1') and (2'). −∞ where not allowed."""
    after = survival_values(model, next_value, exact)[model.successor]
    if not exact:
        q = model.reward + jnp.sum(model.probability * after, axis=-1)
    elif model.outcome_reward is None:
        q = model.reward + _soft_expectation(model, after)
    else:
        q = _soft_expectation(model, model.outcome_reward + after)
    return jnp.where(model.allowed, q, -jnp.inf)


def state_values(model: GraphicalModel, q: ActionValue) -> StateValue:
    """V_t from Q_t, equation (3); 0 in terminal states."""
    value = jax.vmap(soft_max, (0, None, 0))(q, model.temperature, model.prior)
    return jnp.where(model.terminal, 0, value)


def start_log_evidence(model: GraphicalModel, value: StateValue, exact: bool) -> Float[Array, ""]:
    """log p(O_{0:T}) or its lower bound, in nats, from V_0: equation (4) or (4')."""
    if exact:
        return soft_max(value, model.temperature, model.initial) / model.temperature
    return jnp.sum(model.initial * value) / model.temperature


def survival_values(model: GraphicalModel, next_value: StateValue, exact: bool) -> Float[Array, " state_and_end"]:
    """U of every state and of the end, from V_{t+1}: equation (1) or (1')."""
    value = jnp.append(next_value, 0)
    if not exact:
        return model.discount * value
    lives_or_not = jnp.stack([value, jnp.zeros_like(value)], axis=-1)
    return jax.vmap(soft_max, (0, None, None))(lives_or_not, model.temperature, _survival_chances(model))


def survival_beliefs(model: GraphicalModel, next_value: StateValue) -> Float[Array, " state_and_end"]:
    """γ exp((V_{t+1} − U)/α): how likely the exact posterior holds it that the discount spares a step to each state."""
    value = jnp.append(next_value, 0)
    lives_or_not = jnp.stack([value, jnp.zeros_like(value)], axis=-1)
    return jax.vmap(soft_policy, (0, None, None))(lives_or_not, model.temperature, _survival_chances(model))[:, 0]


def _survival_chances(model: GraphicalModel) -> Float[Array, "2"]:
    return jnp.stack([model.discount, 1 - model.discount])


def _soft_expectation(model: GraphicalModel, outcome: Float[Array, "state action branch"]) -> ActionValue:
    """α log Σ_k p_k exp(outcome_k/α); 0 where there is no branch, −∞ where every outcome is.

    This is `soft_max` with the dynamics for a prior, written for speed: it is most of the work. Only at temperatures
    far above all differences, where α times the rounding of 1 would swamp them, does it need expm1, which is slow.
    """
    real = model.probability > 0
    best = jax.lax.stop_gradient(jnp.max(jnp.where(real, outcome, -jnp.inf), axis=-1))
    hopeless = jnp.any(real, axis=-1) & (best == -jnp.inf)
    best = jnp.where(jnp.isfinite(best), best, 0)
    gap = jnp.where(real & ~hopeless[..., None], outcome - best[..., None], 0) / model.temperature
    gap = jnp.maximum(gap, _LOG_OF_NOTHING)

    def hot() -> ActionValue:
        return jnp.log1p(jnp.sum(model.probability * jnp.expm1(gap), axis=-1))

    def cold() -> ActionValue:
        mass = jnp.sum(model.probability * jnp.exp(gap), axis=-1)
        return jnp.log(jnp.where(mass > 0, mass, 1))

    found = best + model.temperature * jax.lax.cond(jnp.min(gap) > -0.25, hot, cold)
    return jnp.where(hopeless, -jnp.inf, found)


@eqx.filter_jit
def _evidence(model: TrajectoryModel, exact: bool) -> Float[Array, ""]:
    """From V_0 alone. Differentiating it keeps T × S numbers: each step's arrays are made again on the way back."""

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
    """V_0 … V_T."""

    def step(value: StateValue, arrays: dict[str, Array]) -> tuple[StateValue, StateValue]:
        return _value_before(model.stage(arrays), value, exact), value

    last = end_value(model.problem)
    first, rest = jax.lax.scan(step, last, model.problem.varying, model.horizon, reverse=True)
    return jnp.concatenate([first[None], rest])


@eqx.filter_jit
def all_action_values(
    model: TrajectoryModel, value: Float[Array, "time_and_end state"], exact: bool
) -> Float[Array, "time state action"]:
    """Q_0 … Q_{T−1} from V_0 … V_T."""
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
    """log Σ exp(log_mass) over the entries that go to each place; −∞ where none does."""
    log_mass, place = log_mass.ravel(), place.ravel()
    highest = jax.ops.segment_max(log_mass, place, size)
    highest = jnp.where(jnp.isfinite(highest), highest, 0)
    return highest + jnp.log(jax.ops.segment_sum(jnp.exp(log_mass - highest[place]), place, size))


def log_policy(model: GraphicalModel, q: ActionValue) -> ActionValue:
    """log π = log π₀ + (Q − V)/α; −∞ where not allowed and in terminal states."""
    return jax.vmap(log_soft_policy, (0, None, 0))(q, model.temperature, model.prior)
