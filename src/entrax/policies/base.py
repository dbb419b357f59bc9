"""What acts: the protocols that policies satisfy."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, PRNGKeyArray, Scalar

from entrax.spec import Progress


@runtime_checkable
class Policy(Protocol):
    """How to act, for one observation: a small pytree. All that evaluation, video and export ever see of an agent."""

    def sample(self, obs: Array, progress: Progress, key: PRNGKeyArray) -> tuple[Array, dict[str, Scalar]]:
        """An action and extras such as its log-probability."""
        ...

    def mode(self, obs: Array) -> Array:
        """The action taken when no randomness is wanted."""
        ...


@runtime_checkable
class HistoryPolicy(Protocol):
    """How to act on an episode so far: what is remembered of it takes the place of a `Policy`'s observation.

    The caller starts each episode with `begin` and calls `remember` at every observation, before it acts.
    What is remembered is an array, and a function of the policy and of the episode's observations alone. In training
    it begins with the rows that `Rollout.context` keeps, so the agent's data are a `Rollout`.
    """

    def begin(self) -> Array:
        """What is remembered before the first observation."""
        ...

    def remember(self, memory: Array, obs: Array) -> Array:
        """What is remembered after one more observation."""
        ...

    def sample(self, memory: Array, progress: Progress, key: PRNGKeyArray) -> tuple[Array, dict[str, Scalar]]:
        """An action and extras, after the latest observation was remembered."""
        ...

    def mode(self, memory: Array) -> Array:
        """The action taken when no randomness is wanted."""
        ...


@runtime_checkable
class CorrelatedPolicy(Policy, Protocol):
    """A `Policy` that explores with noise that is correlated from step to step, in training only.

    The noise is an Ornstein-Uhlenbeck process for each entry of an action and each environment, in its stationary law
    from the first step of an episode on: n_t = ρ n_{t-1} + √(1 - ρ²) ε_t with ε_t ~ N(0, 1).
    """

    correlation: Scalar  # ρ

    def explore(self, obs: Array, noise: Array) -> Array:
        """An action, given standard normal noise n_t."""
        ...
