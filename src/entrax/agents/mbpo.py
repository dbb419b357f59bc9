"""Model-based policy optimisation: an agent that learns from short rollouts of a model (Janner et al. 2019).

It wraps another agent, the inner one, by default soft actor-critic (`--inner` names another). An update does this:

    1. one step of Adam for each network of a probabilistic ensemble, on the replay     (`entrax.nets.ensemble_fit`)
    2. from states of the replay, k steps of the inner agent's policy in the ensemble   (`branched`)
    3. one update of the inner agent, on a batch with a share of real transitions and the rest from 2   (`mixed`)

The length k grows linearly from `first_length` to `final_length`. Each step of a rollout is drawn from one of the
elites at random, and a rollout ends where it terminates.

References:
    Janner et al. (2019), When to trust your model: model-based policy optimization, arXiv:1906.08253.
    Sutton (1991), Dyna, an integrated architecture for learning, planning, and reacting, doi:10.1145/122344.122377.

Departs from the paper:
- rollouts are made for each update, by the policy as it is, instead of kept in a replay of their own; a batch is drawn
  from all their steps;
- the model learns at each update, instead of from time to time until it stops improving, without weight decay;
- rewards are the model's means, not draws; termination is learned unless it is named.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Scalar

from entrax import fields
from entrax.agents.base import TRANSFERRED, continuous_size, optional, vectors_only, wrapping
from entrax.errors import UsageError
from entrax.fields import UNIT, Settings, at_least, field
from entrax.nets.ensemble import Ensemble, create_ensemble
from entrax.nets.ensemble_fit import Learning, fit, start_learning
from entrax.planning.termination import CHOICES, terminated, termination_named
from entrax.policies.base import Policy
from entrax.policies.controller import act, initial_carries
from entrax.policies.schedule import Anneal
from entrax.replay import Split, Uniform
from entrax.spec import Progress, Spec, Transition


class ModelSettings(Settings):
    """Hyperparameters besides those of the inner agent."""

    model_learning_rate: float = fields.learning_rate(1e-3, "of the model")
    model_hidden: tuple[int, ...] = fields.hidden((200, 200, 200), note=" of the model")
    members: int = fields.members(7)
    elites: int = field(5, "Networks of the model that are used: the best ones.", at_least(1), static=True)
    bootstrap: bool = fields.bootstrap(False)
    model_batch_size: int = field(64, "Transitions in a fit, for each network of the model.", at_least(1), static=True)
    held_out: int = fields.held_out(64)
    termination: str = fields.termination(CHOICES)
    first_length: int = field(1, "Steps of a rollout of the model at the start.", at_least(1), symbol="k", static=True)
    final_length: int = field(1, "Steps of a rollout in the end.", at_least(1), static=True)
    growth_fraction: float = field(0.5, "Part of the run in which the length changes.", UNIT)
    starts: int = field(128, "Rollouts of the model for each update.", at_least(1), static=True)
    real_share: float = field(0.05, "Share of a batch that was experienced.", UNIT, static=True)


class State(eqx.Module):
    inner: Any
    model: Learning


class Rollouts(NamedTuple):
    """Steps [time, row] in the model, and which of them were made before their rollout ended."""

    steps: Transition
    made: Bool[Array, "time row"]


def wrap(inner: ModuleType) -> ModuleType:
    """Return the agent around `inner`."""
    kind: Any = type(ModelSettings)
    attributes = {"__doc__": "Hyperparameters of the inner agent and of the model.", "__module__": __name__}
    own = (resolve, init, policy, data, update, loop_defaults, transferred_paths)
    names = {function.__name__: _bound(function, inner) for function in own}
    names |= {name: _bound(given, found) for name, given in LIFTED.items() if (found := optional(inner, name))}
    return wrapping(inner, Config=kind("Config", (ModelSettings, inner.Config), attributes), **names)


def _bound(function: Callable[..., Any], first: Any) -> Callable[..., Any]:
    """Return the function with its first argument given, with its docstring."""
    rest = partial(function, first)
    rest.__doc__ = function.__doc__
    return rest


LIFTED: dict[str, Callable[..., Any]] = {
    "temperature": lambda own, config, state, progress: own(config, None if state is None else state.inner, progress),
    "with_temperature": lambda own, config, state, alpha: _replaced(state, *own(config, state.inner, alpha)),
    "continued": lambda own, *arguments: own(*arguments),
    "soft_q": lambda own, config, state, scaling: own(config, state.inner, scaling),
    "action_value": lambda own, config, state, obs, action: own(config, state.inner, obs, action),
    "finite": lambda own, state: replace(state, inner=own(state.inner)),
}
"""The optional names of an inner agent that this one has, too, as functions of the inner agent's own."""


def _replaced(state: State, config: Any, inner: Any) -> tuple[Any, State]:
    return config, replace(state, inner=inner)


def resolve(inner: ModuleType, config: Any, spec: Spec) -> Any:
    """Resolve the configuration of both. Raises UsageError for an environment or inner agent that does not suit."""
    vectors_only(spec, "mbpo")
    continuous_size(spec, "mbpo")
    if config.elites > config.members:
        raise UsageError(f"`elites` must be at most the {config.members} `members`, got {config.elites}.")
    resolved = inner.resolve(config, spec)
    if not isinstance(inner.data(resolved), Uniform):
        raise UsageError("`inner` must be an agent that learns from single transitions of a replay, such as sac.")
    return resolved


def init(inner: ModuleType, config: Any, spec: Spec, key: PRNGKeyArray) -> State:
    """Return the initial state of both."""
    inner_key, model_key = jr.split(key)
    ensemble = create_ensemble(
        spec.obs_size,
        continuous_size(spec, "mbpo"),
        members=config.members,
        elites=config.elites,
        hidden=config.model_hidden,
        key=model_key,
    )
    return State(inner=inner.init(config, spec, inner_key), model=start_learning(ensemble))


def policy(inner: ModuleType, config: Any, state: State) -> Policy:
    """Return the inner agent's policy."""
    actor: Policy = inner.policy(config, state.inner)
    return actor


def data(inner: ModuleType, config: Any) -> Split:
    """Return batches for each network of the model, and held-out ones."""
    return Split(
        batch_size=config.model_batch_size,
        members=config.members,
        held_out=config.held_out,
        capacity=inner.data(config).capacity,
        bootstrap=config.bootstrap,
    )


def loop_defaults(inner: ModuleType, config: Any, spec: Spec) -> dict[str, int | float | bool]:
    """Make twenty updates per step; other options as the inner agent's."""
    own = optional(inner, "loop_defaults")
    return ({} if own is None else own(config, spec)) | {"updates_per_step": 20.0}


def transferred_paths(inner: ModuleType, config: Any, source: Any, keep_temperature: bool) -> tuple[str, ...]:
    """Carry over the model, and what the inner agent carries over."""
    own = optional(inner, "transferred_paths")
    paths = TRANSFERRED if own is None else own(config, source, keep_temperature)
    return *(f"inner/{path}" for path in paths), "model/params", "model/losses", "model/fits"


def rollout_length(config: Any, progress: Progress) -> Int[Array, ""]:
    """Return k at a point of the run."""
    length = Anneal(start=config.first_length, end=config.final_length, fraction=config.growth_fraction)(progress)
    return jnp.round(length).astype(jnp.int32)


def branched(
    config: Any,
    actor: Policy,
    ensemble: Ensemble,
    starts: Float[Array, "row obs"],
    progress: Progress,
    key: PRNGKeyArray,
) -> Rollouts:
    """Return rollouts of a policy in the ensemble: k steps from each start, or up to its termination."""
    rule, rows, longest = (
        termination_named(config.termination),
        len(starts),
        max(config.first_length, config.final_length),
    )

    def step(t: int | Array, before: tuple[Rollouts, Array, Any, Array]) -> tuple[Rollouts, Array, Any, Array]:
        rollouts, obs, carry, alive = before
        act_key, model_key = jr.split(jr.fold_in(key, t))
        action, carry = act(actor, carry, obs, progress, jr.split(act_key, rows))
        drawn = ensemble.step(obs, action, model_key, deal=True)
        ended = terminated(rule, drawn.next_obs, drawn.log_odds)
        now = Transition(obs, action, drawn.reward, drawn.next_obs, terminated=ended, truncated=jnp.zeros_like(ended))
        steps = jax.tree.map(lambda all, x: all.at[t].set(x), rollouts.steps, now)
        return Rollouts(steps, rollouts.made.at[t].set(alive)), drawn.next_obs, carry, alive & ~ended

    nothing = jnp.zeros((longest, rows))
    empty = jnp.zeros((longest, *starts.shape))
    action = jnp.zeros((longest, rows, ensemble.action_size))
    over = nothing > 0
    steps = Transition(empty, action, nothing, empty, terminated=over, truncated=over)
    start = Rollouts(steps, over), starts, initial_carries(actor, rows), jnp.ones(rows, jnp.bool_)
    return jax.lax.fori_loop(0, rollout_length(config, progress), step, start)[0]


def drawn_from(rollouts: Rollouts, count: int, key: PRNGKeyArray) -> Transition:
    """Draw steps uniformly from those that were made, [count, ...]."""
    total = jnp.cumsum(rollouts.made.ravel())
    place = jnp.searchsorted(total, jr.randint(key, (count,), 0, total[-1]), side="right")
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[place], rollouts.steps)


def mixed(
    inner: ModuleType, config: Any, state: State, real: Transition, progress: Progress, key: PRNGKeyArray
) -> Transition:
    """Return the inner agent's batch: a share of the real transitions, [row, ...], and steps in the model."""
    start_key, model_key, draw_key, real_key = jr.split(key, 4)
    size: int = inner.data(config).batch_size
    experienced = round(config.real_share * size)
    count = -(-config.starts // config.elites) * config.elites  # as many for each elite

    def some(rows: int, key: PRNGKeyArray) -> Transition:
        place = jr.randint(key, (rows,), 0, len(real.reward))
        return jax.tree.map(lambda x: x[place], real)

    starts = some(count, start_key).obs
    rollouts = branched(config, policy(inner, config, state), state.model.params, starts, progress, model_key)
    parts = some(experienced, real_key), drawn_from(rollouts, size - experienced, draw_key)
    return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def update(
    inner: ModuleType, config: Any, state: State, batch: Transition, progress: Progress, key: PRNGKeyArray
) -> tuple[State, dict[str, Scalar]]:
    """Fit the model, then update the inner agent on a batch that is mostly of the model's."""
    mix_key, inner_key = jr.split(key)
    training, held_out = data(inner, config).parts(batch)
    model, model_info = fit(state.model, training, held_out, config.model_learning_rate)
    state = State(inner=state.inner, model=model)
    real = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), training)
    batch = mixed(inner, config, state, real, progress, mix_key)
    after, info = inner.update(config, state.inner, batch, progress, inner_key)
    length = rollout_length(config, progress).astype(jnp.float32)
    return State(inner=after, model=model), model_info | info | {"rollout_length": length}
