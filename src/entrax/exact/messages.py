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

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, ScalarLike

from entrax.errors import EntraxError
from entrax.problems.finite import FiniteMDP
from entrax.soft import log_soft_policy, soft_max, soft_policy

COLDEST = 1e-300  # so that 1/α is finite with room to multiply
_LOG_OF_NOTHING = -800.0  # its exponential is 0, and so are its derivatives

StateValue = Float[Array, " state"]
ActionValue = Float[Array, "state action"]


class GraphicalModel(eqx.Module):
    """The model's distributions as JAX arrays in float64, with what padding holds replaced by harmless numbers.

    Distributions are normalised; no action is `allowed` in a terminal state. `outcome_reward` replaces `reward` in the
    exact posterior, if there is one. Made by `graphical_model`.
    """

    initial: Float[Array, " state"]
    prior: ActionValue
    allowed: Bool[Array, "state action"]
    successor: Integer[Array, "state action branch"]
    probability: Float[Array, "state action branch"]
    reward: ActionValue
    outcome_reward: Float[Array, "state action branch"] | None
    terminal: Bool[Array, " state"]
    discount: Float[Array, ""]
    temperature: Float[Array, ""]


class Messages(eqx.Module):
    """Backward messages of every time, in nats: log β_t(s), t = 0 … T with zeros at T, and log β_t(s,a), t = 0 … T−1.

    An action that is not allowed has log β_t(s,a) = −∞; so have all actions of a terminal state, whose log β_t(s) is 0.
    """

    state: Float[Array, "time_and_end state"]
    state_action: Float[Array, "time state action"]


def log_evidence(mdp: FiniteMDP, temperature: ScalarLike, horizon: int | None = None) -> Float[Array, ""]:
    """log p(O_{0:T}) in nats, equation (4), in memory that does not grow with the horizon.

    Its gradient by r(s,a) is the expected number of visits Σ_t p(s_t=s, a_t=a | O_{0:T})/α where rewards don't depend
    on the outcome. `horizon` overrides the problem's own. Raises EntraxError in 32-bit mode, without a horizon, and for
    a temperature that is not positive and finite.
    """
    return _evidence(graphical_model(mdp, temperature), decisions(mdp, horizon), exact=True)


def evidence_lower_bound(mdp: FiniteMDP, temperature: ScalarLike, horizon: int | None = None) -> Float[Array, ""]:
    """The largest lower bound on `log_evidence` of a policy under the true dynamics, equation (4'); same arguments."""
    return _evidence(graphical_model(mdp, temperature), decisions(mdp, horizon), exact=False)


def backward_messages(mdp: FiniteMDP, temperature: ScalarLike, horizon: int | None = None) -> Messages:
    """log β_t(s) and log β_t(s,a) of every time, equations (2) and (3). Arguments and errors as `log_evidence`.

    Takes memory T × S × (A + 1). `posterior` keeps T × S and gives the rest for the times that are asked for.
    """
    return _backward(graphical_model(mdp, temperature), decisions(mdp, horizon))


def forward_messages(
    mdp: FiniteMDP, temperature: ScalarLike, horizon: int | None = None
) -> Float[Array, "time_and_end state_and_end"]:
    """log p(s_t, O_{0:t−1}) in nats, t = 0 … T. Arguments and errors as `log_evidence`.

    Column S is an episode that is over; one that has reached a terminal state stays there. So at every t the sum over
    columns of exp(forward) β_t, with β_t(S) = 1, is the evidence.
    """
    return _forward(graphical_model(mdp, temperature), decisions(mdp, horizon))


def graphical_model(mdp: FiniteMDP, temperature: ScalarLike) -> GraphicalModel:
    """The graphical model of a problem. Raises EntraxError in 32-bit mode and for a temperature that is no use."""
    if jnp.result_type(float) != jnp.float64:
        raise EntraxError("Exact inference needs 64-bit floats: call it under jax.enable_x64(True).")
    _check_temperature(temperature)
    arrays = replace(mdp, discount=jnp.asarray(mdp.discount, jnp.float64), horizon=None)
    return _graphical_model(arrays, jnp.asarray(temperature, jnp.float64))


@eqx.filter_jit
def _graphical_model(mdp: FiniteMDP, temperature: Float[Array, ""]) -> GraphicalModel:
    def array(values: Array | np.ndarray) -> Array:
        return jnp.asarray(values, jnp.float64)

    allowed = jnp.ones(mdp.reward.shape, bool) if mdp.mask is None else jnp.asarray(mdp.mask)
    allowed &= ~jnp.asarray(mdp.terminal)[:, None]
    probability = _normalised(jnp.where(allowed[..., None], array(mdp.probability), 0))
    outcome_reward = None
    if mdp.outcome_reward is not None:
        outcome_reward = jnp.where(probability > 0, array(mdp.outcome_reward), 0)
    return GraphicalModel(
        initial=_normalised(array(mdp.initial)),
        prior=_normalised(jnp.where(allowed, 1.0 if mdp.prior is None else array(mdp.prior), 0.0)),
        allowed=allowed,
        successor=jnp.asarray(mdp.successor),
        probability=probability,
        reward=jnp.where(allowed, array(mdp.reward), 0),
        outcome_reward=outcome_reward,
        terminal=jnp.asarray(mdp.terminal),
        discount=jnp.asarray(mdp.discount),
        temperature=temperature,
    )


def _check_temperature(temperature: ScalarLike) -> None:
    if isinstance(temperature, jax.core.Tracer):
        return
    number = float(np.asarray(temperature))
    if not COLDEST <= number < np.inf:
        raise EntraxError(
            f"The posterior needs a finite temperature of at least {COLDEST:g}, not {number:g}; "
            "for hard optimality, temperature 0, use planning."
        )


def _normalised(weight: Array) -> Array:
    """Weights divided by their sum over the last axis; left at 0 where all are."""
    total = jnp.sum(weight, axis=-1, keepdims=True)
    return weight / jnp.where(total > 0, total, 1)


def decisions(mdp: FiniteMDP, horizon: int | None) -> int:
    """The number of decisions T. Raises EntraxError when there is none or it is below 1."""
    horizon = mdp.horizon if horizon is None else horizon
    if horizon is None:
        raise EntraxError("The posterior of a trajectory needs a horizon: give horizon=, the number of decisions.")
    if horizon < 1 or horizon != int(horizon):
        raise EntraxError(f"A horizon is a whole number of decisions, at least 1, not {horizon}.")
    return int(horizon)


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
    """α log Σ_k p_k exp(outcome_k/α); 0 where there is no branch.

    This is `soft_max` with the dynamics for a prior, written for speed: it is most of the work. Only at temperatures
    far above all differences, where α times the rounding of 1 would swamp them, does it need expm1, which is slow.
    """
    real = model.probability > 0
    best = jax.lax.stop_gradient(jnp.max(jnp.where(real, outcome, -jnp.inf), axis=-1))
    best = jnp.where(jnp.isfinite(best), best, 0)
    gap = jnp.where(real, outcome - best[..., None], 0) / model.temperature
    gap = jnp.maximum(gap, _LOG_OF_NOTHING)

    def hot() -> ActionValue:
        return jnp.log1p(jnp.sum(model.probability * jnp.expm1(gap), axis=-1))

    def cold() -> ActionValue:
        mass = jnp.sum(model.probability * jnp.exp(gap), axis=-1)
        return jnp.log(jnp.where(mass > 0, mass, 1))

    return best + model.temperature * jax.lax.cond(jnp.min(gap) > -0.25, hot, cold)


@eqx.filter_jit
def _evidence(model: GraphicalModel, horizon: int, exact: bool) -> Float[Array, ""]:
    """From V_0 alone. Differentiating it keeps T × S numbers: each step's arrays are made again on the way back."""

    @jax.checkpoint
    def step(value: StateValue, _: None) -> tuple[StateValue, None]:
        return state_values(model, action_values(model, value, exact)), None

    return start_log_evidence(model, jax.lax.scan(step, jnp.zeros_like(model.initial), length=horizon)[0], exact)


@eqx.filter_jit
def _backward(model: GraphicalModel, horizon: int) -> Messages:
    value = all_values(model, horizon, exact=True)
    q = all_action_values(model, value, exact=True)
    return Messages(state=value / model.temperature, state_action=q / model.temperature)


@eqx.filter_jit
def all_values(model: GraphicalModel, horizon: int, exact: bool) -> Float[Array, "time_and_end state"]:
    """V_0 … V_T."""

    def step(value: StateValue, _: None) -> tuple[StateValue, StateValue]:
        earlier = state_values(model, action_values(model, value, exact))
        return earlier, value

    first, rest = jax.lax.scan(step, jnp.zeros_like(model.initial), length=horizon, reverse=True)
    return jnp.concatenate([first[None], rest])


@eqx.filter_jit
def all_action_values(
    model: GraphicalModel, value: Float[Array, "time_and_end state"], exact: bool
) -> Float[Array, "time state action"]:
    """Q_0 … Q_{T−1} from V_0 … V_T."""
    return jax.lax.map(lambda next_value: action_values(model, next_value, exact), value[1:])


@eqx.filter_jit
def _forward(model: GraphicalModel, horizon: int) -> Float[Array, "time_and_end state_and_end"]:
    reward = model.reward[..., None] if model.outcome_reward is None else model.outcome_reward
    log_factor = jnp.log(model.prior)[..., None] + jnp.log(model.probability) + reward / model.temperature
    stays = jnp.append(model.terminal, True)

    def step(message: Array, _: None) -> tuple[Array, Array]:
        joint = message[:-1, None, None] + log_factor
        moved = _scatter_log_sum(joint + jnp.log(model.discount), model.successor, len(message))
        stopped = jax.nn.logsumexp(joint) + jnp.log1p(-model.discount)
        moved = moved.at[-1].set(jnp.logaddexp(moved[-1], stopped))
        return jnp.logaddexp(moved, jnp.where(stays, message, -jnp.inf)), message

    last, rest = jax.lax.scan(step, jnp.append(jnp.log(model.initial), -jnp.inf), length=horizon)
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
