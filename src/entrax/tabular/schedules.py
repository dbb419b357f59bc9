"""Step sizes and behaviours of tabular learners."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, ScalarLike

from entrax.errors import UsageError
from entrax.soft import soft_policy

Row = Float[Array, " action"]
Scalar = Float[Array, ""]


class StepSize(eqx.Module):
    """The step size η(n) = scale · (offset / (offset + n − 1))^power at visit n.

    n counts the visits of one (state, action). Stochastic approximation converges if Σ η = ∞ and Σ η² < ∞, which holds
    for powers in (½, 1]. Power 0 is a constant step size, with which the table keeps fluctuating. With power 1 and
    discount γ the error may decrease as slowly as n^{−(1−γ)}; powers from 0.6 to 0.85 converge faster.

    Attributes:
        power: at least 0.
        offset: above 0.
        scale: in (0, 1].

    Raises:
        UsageError: a number is out of range.

    References:
        Robbins and Monro (1951), A stochastic approximation method.
        Even-Dar and Mansour (2003), Learning rates for Q-learning.
    """

    power: float = 0.75
    offset: float = 1.0
    scale: float = 1.0

    def __check_init__(self) -> None:
        if not (0 < self.scale <= 1 and self.offset > 0 and self.power >= 0):
            raise UsageError(
                "`scale` must lie in (0, 1], `offset` be above 0 and `power` be at least 0, "
                f"got {self.scale}, {self.offset} and {self.power}."
            )

    def __call__(self, visit: Int[Array, ""]) -> Scalar:
        """Return η at the n-th visit, n from 1."""
        return self.scale * (self.offset / (self.offset + visit.astype(float) - 1)) ** self.power

    @property
    def sum_diverges(self) -> bool:
        """Whether Σ η = ∞, so that the table can reach any value."""
        return self.power <= 1

    @property
    def squares_converge(self) -> bool:
        """Whether Σ η² < ∞, so that the noise averages to 0."""
        return self.power > 0.5


class EpsilonGreedy(eqx.Module):
    """Take the best action, or with probability ε a uniformly random allowed action.

    Best actions of equal Q are equally likely. ε = 1 explores uniformly.

    Attributes:
        epsilon: ε in [0, 1].
        decay: None for a constant ε. Otherwise ε(n) = ε · decay / (decay + n) in a state that was visited n times.
            Every action is then still taken infinitely often and the limit is greedy (GLIE), as SARSA requires to find
            the optimum.

    Raises:
        UsageError: a number is out of range.

    References:
        Singh, Jaakkola, Littman and Szepesvári (2000), Convergence results for single-step on-policy
            reinforcement-learning algorithms.
    """

    epsilon: float = 0.1
    decay: float | None = None

    def __check_init__(self) -> None:
        if not 0 <= self.epsilon <= 1 or (self.decay is not None and self.decay <= 0):
            raise UsageError(
                f"`epsilon` must lie in [0, 1] and `decay` be above 0 or None, got {self.epsilon} and {self.decay}."
            )

    def __call__(
        self, q: Row, visits: Int[Array, " action"], prior: Row | None, allowed: Bool[Array, " action"]
    ) -> Row:
        """Return the probabilities of the actions; `prior` is ignored."""
        epsilon = jnp.asarray(self.epsilon, q.dtype)
        if self.decay is not None:
            epsilon = epsilon * self.decay / (self.decay + jnp.sum(visits))
        return (1 - epsilon) * soft_policy(q, 0.0, mask=allowed) + epsilon * allowed / jnp.sum(allowed)

    @property
    def explores_forever(self) -> bool:
        """Whether each allowed action is taken infinitely often in recurring states."""
        return self.epsilon > 0


class Boltzmann(eqx.Module):
    """Follow the soft policy of the table, π ∝ π₀ exp(Q/α), at `temperature` α > 0.

    Raises:
        UsageError: `temperature` is not above 0.
    """

    temperature: ScalarLike

    def __check_init__(self) -> None:
        if isinstance(self.temperature, int | float) and not self.temperature > 0:
            raise UsageError(f"`temperature` must be above 0, got {self.temperature}.")

    def __call__(
        self, q: Row, visits: Int[Array, " action"], prior: Row | None, allowed: Bool[Array, " action"]
    ) -> Row:
        """Return the probabilities of the actions."""
        return soft_policy(q, self.temperature, prior, allowed)

    @property
    def explores_forever(self) -> bool:
        """True, because bounded values have probabilities bounded away from 0."""
        return True


Behaviour = EpsilonGreedy | Boltzmann
