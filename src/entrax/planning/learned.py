"""Planning with a learned ensemble by trajectory sampling (Chua et al. 2018, arXiv:1805.12114).

The state of the model is a set of particles with the same actions. In each step a particle moves by a draw from one
elite of the ensemble:

    TS1    at random in each step: uncertainty about the model counts like noise
    TS∞    the same one for the whole plan: a plan is judged by each of the possible models

The reward is the mean over the particles; those that have terminated count 0. In TS1 the particles are dealt out to the
elites, as many to each, which leaves the distribution of each particle as it is.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Scalar

from entrax.errors import require, require_one_of
from entrax.nets.ensemble import Ensemble
from entrax.planning.lookahead import Lookahead
from entrax.planning.termination import terminated

SAMPLING = ("ts1", "tsinf")


class Particles(NamedTuple):
    """Observations of the particles, and which have not terminated."""

    obs: Float[Array, "particle obs"]
    alive: Bool[Array, " particle"]


class Spread(eqx.Module):
    """Places all particles at an observation."""

    particles: int = eqx.field(static=True)

    def __call__(self, obs: Float[Array, " obs"]) -> Particles:
        return Particles(
            obs=jnp.broadcast_to(obs, (self.particles, len(obs))), alive=jnp.ones(self.particles, jnp.bool_)
        )


class TrajectorySampling(eqx.Module):
    """An ensemble as a model function, for one set of particles and one action.

    Args:
        ensemble: the learned model.
        sampling: 'ts1' or 'tsinf'.
        termination: whether an episode ends, from the next observation; None for the learned termination.
        reward: r(s, a, s'); None for the learned reward.
    """

    ensemble: Ensemble
    sampling: str = eqx.field(static=True)
    termination: Any = eqx.field(static=True, default=None)
    reward: Any = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        require_one_of("sampling", self.sampling, SAMPLING)

    def __call__(
        self, state: Particles, action: Float[Array, " action"], key: PRNGKeyArray
    ) -> tuple[Particles, Scalar, Bool[Array, ""]]:
        actions = jnp.broadcast_to(action, (len(state.obs), len(action)))
        step = self.ensemble.step(state.obs, actions, key, deal=self.sampling == "ts1")
        reward = step.reward
        if self.reward is not None:
            reward = jax.vmap(self.reward)(state.obs, actions, step.next_obs)
        mean_reward = jnp.mean(jnp.where(state.alive, reward, 0.0))
        alive = state.alive & ~terminated(self.termination, step.next_obs, step.log_odds)
        return Particles(obs=step.next_obs, alive=alive), mean_reward, ~jnp.any(alive)


def ensemble_lookahead(
    ensemble: Ensemble,
    action_size: int,
    horizon: int,
    *,
    particles_per_elite: int = 1,
    sampling: str = "tsinf",
    termination: Any = None,
    reward: Any = None,
    **options: Any,
) -> Lookahead:
    """Return the mean return of plans under an ensemble.

    Args:
        ensemble: the learned model.
        action_size: the number of entries of an action.
        horizon: the number of actions of a plan.
        particles_per_elite: the number of particles for each elite.
        sampling: 'ts1' or 'tsinf'.
        termination: see `TrajectorySampling`.
        reward: see `TrajectorySampling`.
        **options: further arguments of `Lookahead`, such as `discount`. `final_reward` is a function of `Particles`.
    """
    require(particles_per_elite >= 1, "particles_per_elite", "at least 1", particles_per_elite)
    model = TrajectorySampling(ensemble=ensemble, sampling=sampling, termination=termination, reward=reward)
    spread = Spread(particles=particles_per_elite * len(ensemble.elites))
    return Lookahead(model, action_size=action_size, horizon=horizon, state_of=spread, **options)
