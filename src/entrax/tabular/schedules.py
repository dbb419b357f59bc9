"""Step sizes, and behaviours: how a tabular learner moves its table and how it chooses actions meanwhile."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, ScalarLike

from entrax.errors import UsageError
from entrax.soft import soft_policy

Row = Float[Array, " action"]
Scalar = Float[Array, ""]


class StepSize(eqx.Module):
    """η(n) = scale · (offset / (offset + n − 1))^power at the n-th visit of a (state, action).

    Stochastic approximation converges if Σ η = ∞ and Σ η² < ∞ [Robbins and Monro 1951]: here exactly for powers in
    (½, 1]. Power 0 is a constant step, which keeps following noise. With power 1 and discount γ the error may fall as
    slowly as n^{−(1−γ)} [Even-Dar and Mansour 2003]; powers of 0.6 to 0.85 are quicker and as safe.

    Raises EntraxError for a scale outside (0, 1], an offset ≤ 0 or a negative power.
    """

    power: float = 0.75
    offset: float = 1.0
    scale: float = 1.0

    def __check_init__(self) -> None:
        if not (0 < self.scale <= 1 and self.offset > 0 and self.power >= 0):
            raise UsageError(
                f"A step size needs a scale in (0, 1], an offset above 0 and a power of at least 0, not {self.scale}, "
                f"{self.offset} and {self.power}."
            )

    def __call__(self, visit: Int[Array, ""]) -> Scalar:
        """η at the n-th visit, n from 1."""
        return self.scale * (self.offset / (self.offset + visit.astype(float) - 1)) ** self.power

    @property
    def sum_diverges(self) -> bool:
        """Whether Σ η = ∞, so that no start is too far away."""
        return self.power <= 1

    @property
    def squares_converge(self) -> bool:
        """Whether Σ η² < ∞, so that the noise averages out."""
        return self.power > 0.5


class EpsilonGreedy(eqx.Module):
    """The best action, and with probability ε any allowed one; equal ones share. ε = 1 explores uniformly.

    With `decay`, ε(n) = ε · decay / (decay + n) at a state that was visited n times: every action is still taken
    infinitely often and the limit is greedy (GLIE), which SARSA needs to find the optimum [Singh et al. 2000].
    """

    epsilon: float = 0.1
    decay: float | None = None

    def __check_init__(self) -> None:
        if not 0 <= self.epsilon <= 1 or (self.decay is not None and self.decay <= 0):
            raise UsageError(f"ε must lie in [0, 1] and its decay be above 0, not {self.epsilon} and {self.decay}.")

    def __call__(
        self, q: Row, visits: Int[Array, " action"], prior: Row | None, allowed: Bool[Array, " action"]
    ) -> Row:
        """Probabilities of the actions. The prior plays no part."""
        epsilon = jnp.asarray(self.epsilon, q.dtype)
        if self.decay is not None:
            epsilon = epsilon * self.decay / (self.decay + jnp.sum(visits))
        return (1 - epsilon) * soft_policy(q, 0.0, mask=allowed) + epsilon * allowed / jnp.sum(allowed)

    @property
    def explores_forever(self) -> bool:
        """Whether every allowed action of a state visited infinitely often is taken infinitely often."""
        return self.epsilon > 0


class Boltzmann(eqx.Module):
    """π₀ exp(Q/α) normalised: the soft policy of the table at a temperature above 0."""

    temperature: ScalarLike

    def __check_init__(self) -> None:
        if isinstance(self.temperature, int | float) and not self.temperature > 0:
            raise UsageError(f"A Boltzmann behaviour needs a temperature above 0, not {self.temperature}.")

    def __call__(
        self, q: Row, visits: Int[Array, " action"], prior: Row | None, allowed: Bool[Array, " action"]
    ) -> Row:
        """Probabilities of the actions."""
        return soft_policy(q, self.temperature, prior, allowed)

    @property
    def explores_forever(self) -> bool:
        """Bounded values keep every probability away from 0."""
        return True


Behaviour = EpsilonGreedy | Boltzmann
