"""Action masks: an environment that observes which actions are allowed is never given another one.

Where the observation has a part `action_mask` (`Spec.mask`), networks over options answer `FORBIDDEN` for those that it
does not allow. So they have probability 0 in every policy, and neither the values nor the entropies of the soft Bellman
equations count them: it is a prior with zeros, which leaves the entropy of the others alone (Huang and Ontañón 2022,
arXiv:2006.14171, for the policy gradient).
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from entrax.policies.choices import Choices
from entrax.spec import Spec

FORBIDDEN = -1e9


class Masked(eqx.Module):
    """A network with an output for each option, or several times as many."""

    network: Any
    choices: Choices = eqx.field(static=True)
    place: tuple[int, int] = eqx.field(static=True)

    def __call__(self, obs: Num[Array, " obs"]) -> Float[Array, "*option"]:
        values, allowed = self.network(obs), self.allowed(obs)
        return jnp.where(allowed.ravel() if values.ndim == 1 else allowed, values, FORBIDDEN)

    def allowed(self, obs: Num[Array, " obs"]) -> Bool[Array, "choice option"]:
        """Return the options that the mask in an observation allows."""
        return self.choices.allowed(obs[slice(*self.place)])


def masked(network: Any, spec: Spec, choices: Choices) -> Any:
    """Return the network, masked where the environment observes a mask."""
    return network if spec.mask is None else Masked(network=network, choices=choices, place=spec.mask)


def uniform(network: Any, choices: Choices, obs: Num[Array, " obs"]) -> Float[Array, "choice option"]:
    """Return the policy that takes every allowed action equally often."""
    if not isinstance(network, Masked):
        return jnp.asarray(choices.uniform())
    allowed = network.allowed(obs)
    return allowed / jnp.sum(allowed, axis=1, keepdims=True)
