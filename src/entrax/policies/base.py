"""What acts: the protocol that every policy satisfies, and the base of the memoryless ones."""

from abc import abstractmethod
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray, PyTree, Scalar

from entrax.spec import Progress


@runtime_checkable
class Policy(Protocol):
    """How to act, step by step: a small pytree, and all that evaluation, video and export ever see of an agent.

    The carry is what a policy keeps from one step of an episode to the next: a memory, correlated noise, a plan. It is
    a pytree of arrays whose shapes and dtypes do not change. The caller keeps one for each environment, starts every
    episode with the initial one, and hands it on from step to step.
    """

    def initial_carry(self) -> PyTree:
        """Return the carry before the first observation of an episode; `()` for a memoryless policy."""
        ...

    def act(
        self, carry: PyTree, obs: Array, progress: Progress, key: PRNGKeyArray | None, greedy: bool
    ) -> tuple[Array, PyTree, dict[str, Scalar]]:
        """Act on one observation.

        Args:
            carry: what the step before returned, or the initial carry.
            obs: flat and scaled, [obs].
            progress: of the run, for schedules.
            key: random, for the draw; None if `greedy`.
            greedy: a Python bool, so that each has a program of its own: take the best action instead of drawing one.

        Returns:
            The action [action], in [-1, 1] if it is continuous; the next carry; and extras such as the log-probability.
        """
        ...


class Memoryless(eqx.Module):
    """A `Policy` of the latest observation alone: `sample` draws an action, `mode` is the greedy one."""

    def initial_carry(self) -> tuple[()]:
        """Return the empty carry."""
        return ()

    def act(
        self, carry: PyTree, obs: Array, progress: Progress, key: PRNGKeyArray | None, greedy: bool
    ) -> tuple[Array, PyTree, dict[str, Scalar]]:
        """Act on one observation, as `Policy` says."""
        if greedy:
            return self.mode(obs), carry, {}
        action, info = self.sample(obs, progress, key)
        return action, carry, info

    @abstractmethod
    def sample(self, obs: Any, progress: Progress, key: Any) -> tuple[Array, dict[str, Scalar]]:
        """Draw an action; return it and extras such as its log-probability."""

    @abstractmethod
    def mode(self, obs: Any) -> Array:
        """Return the greedy action."""
