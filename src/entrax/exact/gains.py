"""The soft-optimal average reward per step (gain) from each state.

Under any policy the states visited infinitely often form an end component with probability 1. The optimal gain g_i of
staying in component i is one number, from h + g = T h (see `components`). The optimal gain from state s is the least
solution of

    g(s) = max(max_a Σ p(s'|s,a) g(s'),  g_i if s is in component i),                                       (1)

an undiscounted stopping problem. Rewards and entropy of finitely many steps do not change an average, so (1) is hard at
any temperature.

References:
    Puterman (1994), Markov decision processes, chapter 9.
    de Alfaro (1997), Formal verification of probabilistic systems, chapter 5.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, ScalarLike

from entrax.errors import require_one_of
from entrax.exact.bellman import make_sweep, undiscounted
from entrax.exact.checks import check_precision, check_temperature, check_tolerance
from entrax.exact.components import check_unending, end_components, gain_bounds
from entrax.exact.plan import CONVENTIONS, DEFAULT_TOLERANCE, plan
from entrax.problems.finite import FiniteMDP


class Gains(NamedTuple):
    """The gains of all states, in units of reward per step.

    Attributes:
        gain: the optimal gain from each state.
        error_bound: a certified bound on the error of each gain.
        component: the end component of each state, from 0; −1 for states in none.
    """

    gain: Float[np.ndarray, " state"]
    error_bound: Float[np.ndarray, " state"]
    component: Int[np.ndarray, " state"]


def gains(
    mdp: FiniteMDP,
    temperature: ScalarLike,
    *,
    convention: str = "entropy",
    tolerance: float = DEFAULT_TOLERANCE,
) -> Gains:
    """Compute the optimal average reward per step from each state.

    If all states have the same gain, `plan` with the objective 'average' also returns the policy.

    Args:
        mdp: a problem that never ends; its discount is ignored.
        temperature: α ≥ 0, in units of reward, the weight of the entropy.
        convention: 'entropy', or 'kl' for −KL(π ‖ π₀) in place of the entropy.
        tolerance: the largest error of a component's gain, in units of reward per step. The number of sweeps is
            limited, so `error_bound` may be larger.

    Raises:
        UsageError: an argument is not valid, JAX is in 32-bit mode, or episodes can end.
    """
    check_precision()
    check_temperature(temperature)
    require_one_of("convention", convention, CONVENTIONS)
    check_tolerance(tolerance)
    sweep = undiscounted(make_sweep(mdp, convention == "kl"))
    allowed = np.asarray(jnp.isfinite(sweep.reward)).T
    check_unending(mdp, allowed)
    components = end_components(mdp, allowed)
    lower, upper = gain_bounds(sweep, jnp.asarray(temperature, jnp.float64), components, tolerance)
    low, low_error = _optimal_stopping(mdp, allowed, components.label, lower, tolerance)
    high, high_error = _optimal_stopping(mdp, allowed, components.label, upper, tolerance)
    bound = (high - low) / 2 + np.maximum(low_error, high_error)
    return Gains(gain=(low + high) / 2, error_bound=bound, component=components.label)


def _optimal_stopping(
    mdp: FiniteMDP,
    allowed: Bool[np.ndarray, "state action"],
    label: Int[np.ndarray, " state"],
    gain: Float[np.ndarray, " component"],
    tolerance: float,
) -> tuple[Float[np.ndarray, " state"], Float[np.ndarray, " state"]]:
    """Solve equation (1) for given gains of components; also bound the error.

    Stopping is an additional action that ends the episode. Its reward is the gain minus the least gain, so that
    continuing for ever, with reward 0, is never better.
    """
    states, actions, branches = mdp.successor.shape
    successor = np.full((states, actions + 1, branches), states)
    probability = np.zeros(successor.shape)
    successor[:, :actions], probability[:, :actions] = mdp.successor, mdp.probability
    probability[:, actions, 0] = 1.0
    reward, least = np.zeros((states, actions + 1)), gain.min()
    reward[:, actions] = np.where(label < 0, 0.0, gain[label] - least)
    mask = np.concatenate([allowed, label[:, None] >= 0], axis=1)
    problem = FiniteMDP(
        successor=np.where(mask[..., None], successor, states),
        probability=np.where(mask[..., None], probability, 0.0),
        reward=np.where(mask, reward, 0.0),
        initial=np.full(states, 1 / states),
        terminal=np.zeros(states, bool),
        mask=mask,
    )
    solution = plan(problem, 0.0, tolerance=tolerance)
    assert solution.state_bound is not None
    return np.asarray(solution.value) + least, np.asarray(solution.state_bound)
