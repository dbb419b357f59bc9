"""The soft-optimal average reward per step from each state, where it depends on the state.

Whatever one does, almost surely one ends up inside an end component. In one that is never left the optimal gain is one
number, from h + g = T h (see `components`). From elsewhere, and where leaving pays, it is the gain of the component
that one comes to, so that with g_i for that of component i

    g(s) = max(max_a Σ p(s'|s,a) g(s'),  g_i if s is in component i),                                       (1)

the least solution: a problem of stopping, without a discount. What a finite time costs does not count, the temperature
on the way included, so (1) is hard at any temperature.

Source: Puterman (1994), Markov Decision Processes, chapter 9; de Alfaro (1997), chapter 5.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, ScalarLike

from entrax.exact.bellman import make_sweep, undiscounted
from entrax.exact.checks import check_choice, check_precision, check_temperature, check_tolerance
from entrax.exact.components import check_unending, end_components, gain_bounds
from entrax.exact.plan import CONVENTIONS, plan
from entrax.problems.finite import FiniteMDP


class Gains(NamedTuple):
    """`gain[s]` is exact within `error_bound[s]`, both in units of reward per step.

    `component[s]` numbers the end components from 0; it is −1 for a state in none.
    """

    gain: Float[np.ndarray, " state"]
    error_bound: Float[np.ndarray, " state"]
    component: Int[np.ndarray, " state"]


def gains(mdp: FiniteMDP, temperature: ScalarLike, *, convention: str = "entropy", tolerance: float = 1e-9) -> Gains:
    """The largest average reward per step that a policy can have from each state of a problem that never ends.

    Entropy is part of it, or with `convention` "kl" the divergence from the prior, weighted by `temperature` ≥ 0. The
    problem's discount counts for nothing. Bounds are narrowed until they are within `tolerance` or it has gone on long
    enough. Where all states have the same gain, `plan` with `objective="average"` has the policy, too.

    Raises EntraxError for a wrong argument, in 32-bit mode, and for a problem whose episodes can end.
    """
    check_precision()
    check_temperature(temperature)
    check_choice("convention", convention, CONVENTIONS)
    check_tolerance(tolerance)
    sweep = undiscounted(make_sweep(mdp, convention == "kl"))
    allowed = np.asarray(jnp.isfinite(sweep.reward)).T
    check_unending(mdp, allowed)
    components = end_components(mdp, allowed)
    low, high = gain_bounds(sweep, jnp.asarray(temperature, jnp.float64), components, tolerance)
    least, slack = _stopped(mdp, allowed, components.label, low, tolerance)
    most, more = _stopped(mdp, allowed, components.label, high, tolerance)
    bound = (most - least) / 2 + np.maximum(slack, more)
    return Gains(gain=(least + most) / 2, error_bound=bound, component=components.label)


def _stopped(
    mdp: FiniteMDP,
    allowed: Bool[np.ndarray, "state action"],
    label: Int[np.ndarray, " state"],
    gain: Float[np.ndarray, " component"],
    tolerance: float,
) -> tuple[Float[np.ndarray, " state"], Float[np.ndarray, " state"]]:
    """Equation (1) for these gains of the components, and a bound on its error.

    Stopping is a further action, which ends the episode. It earns the gain less the least of all, so that going on for
    ever, which earns 0, is no better.
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
