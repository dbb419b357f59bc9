"""Linearly solvable problems: the controller chooses the distribution of the next state.

From state i, costs and decisions are

    passive dynamics   p(j|i)            what happens without control
    control            u(j|i)            any distribution whose support is within that of p(·|i)
    cost of a step     q(i) + λ KL(u(·|i) ‖ p(·|i))                                                       (1)

at temperature λ > 0, which the solver is given and which has the same unit as costs. With z = exp(−v/λ) the optimal
cost v and control satisfy

    first exit        z(i) = e^{−q(i)/λ} Σ_j p(j|i) z(j),  z = e^{−q/λ} at exits                           (2)
    finite horizon    z_t(i) = e^{−q_t(i)/λ} Σ_j p(j|i) z_{t+1}(j)^γ,  z_T = e^{−final cost/λ}             (3)
    average           ρ z(i) = e^{−q(i)/λ} Σ_j p(j|i) z(j),  the average cost is −λ log ρ                  (4)
    discounted        z(i) = e^{−q(i)/λ} Σ_j p(j|i) z(j)^γ                                                 (5)
    control           u(j|i) ∝ p(j|i) z(j)^γ                                                               (6)

(2), (3) with γ = 1 and (4) are linear in z. `entrax.exact.linearly_solvable` solves all of them.

References:
    Todorov (2006), Linearly-solvable Markov decision problems.
    Todorov (2009), Efficient computation of optimal actions.
"""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from entrax.problems.finite import FiniteMDP
from entrax.problems.finite_horizon import FiniteHorizonMDP
from entrax.problems.layout import Layout
from entrax.problems.passive_checks import KINDS, check_problem, convert

Number = float | int

__all__ = ["KINDS", "LinearlySolvable"]


class LinearlySolvable(eqx.Module):
    """A linearly solvable problem of S states.

    Args:
        passive: p(j|i), a SciPy sparse matrix or an array of shape (S, S). Rows of exits are ignored.
        cost: q(i), in units of cost, one number, shape (S,) or, for a finite horizon, (T, S). At an exit it is the
            final cost, paid once on entering. A cost of ∞ forbids a state.
        exits: a list of states, or one boolean for each state. An episode ends when it enters an exit.
        kind: one of `KINDS`.
        discount: γ in (0, 1] for 'discounted' and 'finite-horizon'; 1 for the other kinds.
        horizon: T, the number of steps, for 'finite-horizon'; by default the length of `cost`.
        final_cost: the cost of each state after T steps, shape (S,), for 'finite-horizon'; by default 0, and the last
            cost of exits.

    Attributes:
        passive: as a CSR array without zeros, in which rows of exits and forbidden states are empty.

    Raises:
        UsageError: the problem is not valid; the message names the state.
    """

    passive: Any
    cost: Float[np.ndarray, "*time state"]
    exits: Bool[np.ndarray, " state"]
    kind: str = eqx.field(static=True)
    discount: float = eqx.field(static=True)
    horizon: int | None = eqx.field(static=True)
    final_cost: Float[np.ndarray, " state"] | None

    def __init__(
        self,
        passive: Any,
        cost: ArrayLike | Number,
        *,
        exits: ArrayLike = (),
        kind: str = "first-exit",
        discount: Number = 1.0,
        horizon: int | None = None,
        final_cost: ArrayLike | None = None,
    ):
        fields = convert(passive, cost, exits, kind, discount, horizon, final_cost)
        check_problem(fields)
        self.passive = fields.passive
        self.cost = fields.cost
        self.exits = fields.exits
        self.kind = fields.kind
        self.discount = fields.discount
        self.horizon = fields.horizon
        self.final_cost = fields.final_cost

    @property
    def states(self) -> int:
        """S, the number of states."""
        return len(self.exits)

    @property
    def forbidden(self) -> Bool[np.ndarray, " state"]:
        """The states of infinite cost, at all times; exits among them are never entered."""
        return np.all(np.isposinf(self.cost), axis=0) if self.cost.ndim == 2 else np.isposinf(self.cost)

    def cost_at(self, t: int) -> Float[np.ndarray, " state"]:
        """Return q_t, which is q if costs do not change."""
        return self.cost[t] if self.cost.ndim == 2 else self.cost

    @classmethod
    def random_walk(
        cls,
        length: int,
        cost: ArrayLike | Number = 0.0,
        *,
        final_costs: tuple[Number, Number] = (0.0, 0.0),
        up: Number = 0.5,
    ) -> "LinearlySolvable":
        """Build a walk on 0 to `length`, with an exit at both ends.

        With cost q per step and free exits, v(i)/λ = −log(cosh(θ(i − N/2))/cosh(θN/2)), where cosh θ = e^{q/λ}.

        Args:
            length: N, at least 2.
            cost: q, one number or one for each state.
            final_costs: the costs of the exits 0 and N.
            up: the probability of a step up, in (0, 1).

        Raises:
            UsageError: an argument is not valid.
        """
        from entrax.problems import passive

        return cls(**passive.random_walk(length, cost, final_costs, up))

    @classmethod
    def grid(
        cls,
        layout: Layout | str,
        cost: ArrayLike | Number = 1.0,
        *,
        goal_cost: Number = 0.0,
        pit_cost: Number = np.inf,
        **options: Any,
    ) -> "LinearlySolvable":
        """Build a random walk on a map, whose goals and pits are exits.

        Every move of the map is equally likely; walls and the edge leave the walker in place, as in `gridworld`.

        Args:
            layout: the map; see `Layout`.
            cost: q, one number or one for each state.
            goal_cost: the final cost of goals.
            pit_cost: the final cost of pits; by default they are forbidden.
            **options: `kind`, `discount`, `horizon` and `final_cost`, as for the class. The kind 'average' requires a
                map without goals and pits.

        Raises:
            UsageError: an argument is not valid.
        """
        from entrax.problems import passive

        layout = Layout.parse(layout) if isinstance(layout, str) else layout
        return cls(**passive.grid(layout, cost, goal_cost, pit_cost), **options)

    @classmethod
    def from_finite(cls, mdp: FiniteMDP, temperature: Number, *, convention: str = "kl") -> "LinearlySolvable":
        """Rewrite a deterministic problem; the value at this temperature is exactly −v.

        With one outcome s' of each action, e^{V(s)/λ} = Σ_a π₀(a|s) e^{r(s,a)/λ} e^{γ V(s')/λ} is (2), (3) or (5): the
        sum over actions of each s' is e^{−q(s)/λ} p(s'|s). If rewards depend on the action, so do q and p on λ, and the
        result is exact at this temperature only. For stochastic dynamics see `embed`.

        Terminal states and the end of the episode are exits; the end, if used, is the last state. The kind follows from
        the horizon and the discount.

        Args:
            mdp: a problem in which every allowed action has one outcome.
            temperature: λ > 0, in units of reward.
            convention: 'kl' or 'entropy', as in `exact.plan`.

        Raises:
            UsageError: an action has several outcomes, or an argument is not valid.
        """
        from entrax.problems import embedding

        return cls(**embedding.from_finite(mdp, temperature, convention))

    @classmethod
    def embed(cls, mdp: FiniteMDP, temperature: Number) -> "LinearlySolvable":
        """Embed a classical problem with stochastic dynamics; −v is an upper bound of its value.

        q and p are such that choosing u = p(·|s,a) costs exactly −r(s,a) in (1). The embedded problem also allows
        every other u, so v(s) ≤ −V(s) for the classical V. How close they are depends on the problem. If the outcomes
        of actions do not determine p, the solution of least norm is used.

        Args:
            mdp: a problem whose actions, in each state, have linearly independent outcome distributions.
            temperature: λ > 0, in units of reward.

        Raises:
            UsageError: no q and p reproduce the rewards of some state, or an argument is not valid.

        References:
            Todorov (2009), Efficient computation of optimal actions, supplement.
        """
        from entrax.problems import embedding

        return cls(**embedding.embed(mdp, temperature))

    def to_finite(self, initial: ArrayLike | Number | None = None) -> FiniteMDP | FiniteHorizonMDP:
        """Return the problem with one deterministic action for each possible next state.

        The prior is p and the reward −q(s), so that `exact.plan` in the KL convention has value −v. Final costs are
        rewards of the steps that enter an exit. Actions that enter forbidden states have reward −∞.

        Args:
            initial: the initial distribution or state; by default uniform over states that are neither exits nor
                forbidden.
        """
        from entrax.problems import embedding

        return embedding.to_finite(
            passive=self.passive,
            cost=self.cost,
            exits=self.exits,
            forbidden=self.forbidden,
            discount=self.discount,
            horizon=self.horizon,
            final_cost=self.final_cost,
            initial=initial,
        )

    def with_final_cost(self, cost: ArrayLike) -> "LinearlySolvable":
        """Return the same problem with other costs of its exits, in the order of states.

        Raises:
            UsageError: the number of costs is wrong, or the kind is not 'first-exit'.
        """
        from entrax.problems import passive

        return LinearlySolvable(
            self.passive, passive.with_exit_costs(self.cost, self.exits, cost, self.kind), exits=self.exits
        )
