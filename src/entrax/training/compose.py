"""A policy for a combined task out of trained runs, without a step of learning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from entrax.agents.base import optional
from entrax.agents.lookup import agents_with
from entrax.environments.source import EnvSource, as_source
from entrax.errors import UsageError, require, require_one_of
from entrax.evaluation.episodes import EvaluationResult, evaluate
from entrax.policies.composed import COMBINATIONS, ComposedChoices, ComposedEnergy, EnergyPart, SoftQ, TablePart
from entrax.policies.controller import Controller, Scaling, act_in_episodes, identity_scaling
from entrax.runs.pytree import subtree
from entrax.training.devices import set_up
from entrax.training.normaliser import Normaliser
from entrax.training.precision import in_32_bits
from entrax.training.source_checkpoint import (
    SourceCheckpoint,
    check_spaces,
    load_source_checkpoint,
    spec_of_environment,
)

BLOCK = 256
"""States whose gap or entropy is computed at once."""


@dataclass(frozen=True)
class Bound:
    """How far the composed policy may fall short of the best one: a mean over episodes.

    In units of the discounted soft return of the combined reward, which is reward plus α times entropy, from an
    episode's first state on. `value` is the mean of G of `entrax.policies.composed`, `error` its standard error;
    `divergence` is the mean gap g of the states. What would come after a time limit is left out.
    """

    value: float
    error: float
    divergence: float
    episodes: int


@dataclass(frozen=True)
class Composed:
    """A composed policy, and the environment it is for. `no_bound` is the reason why a bound is missing, or None."""

    controller: Controller
    source: EnvSource
    combine: str
    temperature: float
    discount: float
    no_bound: str | None
    step_timeout: float | None = None
    """The longest limit of seconds for a step that a composed run had."""

    @in_32_bits
    def evaluate(
        self, episodes: int = 20, *, seed: int = 0, workers: int | None = None
    ) -> tuple[EvaluationResult, Bound | None]:
        """Evaluate whole episodes of sampled actions, and estimate the bound from the states that they visit."""
        act = act_in_episodes(self.controller, sample=True, seed=seed)
        seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

        def watched(obs: np.ndarray, episode: np.ndarray, t: np.ndarray) -> np.ndarray:
            seen.append((np.array(obs), np.array(episode), np.array(t)))
            return act(obs, episode, t)

        limit = self.source.step_limit(self.step_timeout, workers)
        played = evaluate(
            watched, self.source, episodes=episodes, seed=seed, policy="sampled", workers=workers, step_timeout=limit
        )
        if self.no_bound is not None:
            return played, None
        obs, episode, t = (np.concatenate(part) for part in zip(*seen, strict=True))
        # A row that has run out of episodes plays its last one again, which is not counted: the first time is.
        _, first = np.unique(np.stack([episode, t]), axis=1, return_index=True)
        first = first[episode[first] < episodes]
        return played, self.bound(obs[first], episode[first], t[first], episodes)

    @in_32_bits
    def bound(
        self,
        obs: Float[np.ndarray, "state obs"],
        episode: Int[np.ndarray, " state"],
        t: Int[np.ndarray, " state"],
        episodes: int,
    ) -> Bound:
        """Estimate the bound from the states in which the policy acted, each of an episode and a step of it."""
        gaps = self.gaps(obs)
        discounts = self.discount ** t.astype(float)
        totals = np.bincount(episode, (t >= 1) * discounts * gaps, minlength=episodes)
        error = float(np.std(totals, ddof=1) / np.sqrt(episodes)) if episodes > 1 else float("nan")
        return Bound(value=float(totals.mean()), error=error, divergence=float(gaps.mean()), episodes=episodes)

    @in_32_bits
    def gaps(self, obs: Float[np.ndarray, "state obs"]) -> Float[np.ndarray, " state"]:
        """Return g of every state."""
        return self._of_states(_gaps, obs)

    @in_32_bits
    def entropies(self, obs: Float[np.ndarray, "state obs"]) -> Float[np.ndarray, " state"]:
        """Return the policy's entropy in every state, in nats; for continuous actions, in the unit box."""
        return self._of_states(_entropies, obs)

    def _of_states(
        self, function: Callable[..., Any], obs: Float[np.ndarray, "state obs"]
    ) -> Float[np.ndarray, " state"]:
        """Compute in blocks of one shape, so that one program serves all."""
        policy, keys = self.controller.policy, jr.split(jr.key(0), BLOCK)
        padded = np.resize(obs, (-(-len(obs) // BLOCK) * BLOCK, obs.shape[1]))
        blocks = [np.asarray(function(policy, padded[i : i + BLOCK], keys)) for i in range(0, len(padded), BLOCK)]
        return np.concatenate(blocks)[: len(obs)].astype(float)


@eqx.filter_jit
def _gaps(policy: Any, obs: Float[Array, "state obs"], keys: Key[Array, " state"]) -> Float[Array, " state"]:
    return jax.vmap(policy.gap)(obs, keys)


@eqx.filter_jit
def _entropies(policy: Any, obs: Float[Array, "state obs"], keys: Key[Array, " state"]) -> Float[Array, " state"]:
    return jax.vmap(policy.entropy)(obs, keys)


@in_32_bits
def compose(
    paths: Sequence[str | Path],
    env: str | Callable[..., gymnasium.Env],
    *,
    combine: str = "mean",
    temperature: float | None = None,
    candidates: int = 256,
    checkpoint: str = "latest",
    env_args: Mapping[str, Any] | None = None,
) -> Composed:
    """Compose a policy for a combined task from the soft Q-functions of several runs, without learning.

    Args:
        paths: directories of runs of agents that learn a soft Q-function (`entrax agents`), with a temperature.
        env: the environment of the combined task; its observations and actions must be the runs'.
        combine: "mean" or "sum" for the mean or sum of the runs' rewards, "or" for any of their tasks.
        temperature: α; by default the one that the runs share.
        candidates: for continuous actions, how many are proposed of which one is drawn; see
            `entrax.policies.composed.ComposedEnergy` for the error.
        checkpoint: "latest", "final", or a checkpoint's name.
        env_args: keyword arguments of the environment.

    Returns a policy (`controller`) whose `evaluate` gives returns and an estimate of the bound in
    `entrax.policies.composed`. Raises EntraxError for runs that cannot be composed, with the reason.
    """
    require_one_of("combine", combine, COMBINATIONS)
    if len(paths) < 2:
        raise UsageError(f"A composition needs at least 2 runs, got {len(paths)}.")
    require(candidates >= 2, "candidates", "at least 2", candidates)
    set_up(None, None)
    sources = [load_source_checkpoint(path, checkpoint, None) for path in paths]
    spec = spec_of_environment(env, env_args or {})
    for source in sources:
        if optional(source.agent, "soft_q") is None:
            name, able = source.run.config["agent"], ", ".join(agents_with("soft_q"))
            raise UsageError(f"{source.run.path} is of {name}; runs of {able} can be composed.")
        if source.spec.image is not None:
            raise UsageError(f"{source.run.path} observes images: runs of vectors can be composed.")
        if source.run.config["training"].get("normalise_rewards"):
            raise UsageError(f"{source.run.path} scaled its rewards: its values are in units of its own.")
        if "prior" in source.run.config:
            raise UsageError(f"{source.run.path} has a prior: its values are relative to that, and cannot be composed.")
        if not source.whole:
            raise UsageError(
                f"{source.name} holds a policy only. Choose a resumable or final checkpoint, which has critics."
            )
        check_spaces(source.spec, spec, str(source.run.path))
    alpha, common = _temperature(sources, temperature)
    discounts = sorted({float(source.config.discount) for source in sources})
    policy = _policy(sources, combine, alpha, candidates)
    limits = [source.run.config["training"].get("step_timeout") for source in sources]
    return Composed(
        controller=Controller(policy=policy, scaling=identity_scaling(spec), spec=spec),
        source=as_source(env, env_args or {}),
        combine=combine,
        temperature=alpha,
        discount=discounts[-1],
        no_bound=_no_bound(combine, isinstance(policy, ComposedEnergy), common, discounts),
        step_timeout=max((limit for limit in limits if limit is not None), default=None),
    )


def _temperature(sources: Sequence[SourceCheckpoint], given: float | None) -> tuple[float, bool]:
    """Return the temperature to compose at, and whether all runs had it."""
    alphas = [source.temperature for source in sources]
    for source, alpha in zip(sources, alphas, strict=True):
        if alpha is None or alpha <= 0:
            raise UsageError(f"{source.run.path} has temperature {alpha}: only soft Q-functions can be composed.")
    known = [alpha for alpha in alphas if alpha is not None]
    same = max(known) <= min(known) * (1 + 1e-3)
    if given is None and not same:
        names = ", ".join(f"{alpha:.4g}" for alpha in known)
        raise UsageError(f"The runs have the temperatures {names}: choose one for the composition by `temperature`.")
    if given is not None and not given > 0:
        raise UsageError(f"`temperature` must be positive, got {given}.")
    alpha = known[0] if given is None else given
    return alpha, same and abs(alpha - known[0]) <= 1e-3 * alpha


def _no_bound(combine: str, densities: bool, common: bool, discounts: Sequence[float]) -> str | None:
    if combine == "or":
        return "'or' has none"
    if combine == "sum" and densities:
        return "a product of densities may integrate to more than 1"
    if not common:
        return "it needs runs of the temperature that they are composed at"
    return "it needs runs of one discount" if len(discounts) > 1 else None


def _policy(
    sources: Sequence[SourceCheckpoint], combine: str, alpha: float, candidates: int
) -> ComposedChoices | ComposedEnergy:
    parts: list[SoftQ] = [
        source.agent.soft_q(source.config, source.load_state(), _scaling(source)) for source in sources
    ]
    energies = tuple(part for part in parts if isinstance(part, EnergyPart))
    tables = tuple(part for part in parts if isinstance(part, TablePart))
    if tables and energies:
        raise UsageError("Soft Q-functions of discrete and of continuous actions cannot be composed.")
    if energies:
        return ComposedEnergy(parts=energies, temperature=alpha, candidates=candidates, combine=combine)
    choices = tables[0].choices
    if any(table.choices != choices for table in tables):
        raise UsageError("The runs choose among their actions in different ways: train them with one `joint_limit`.")
    if combine == "or" and len(choices.sizes) > 1:
        raise UsageError("'or' needs one choice among all actions: train with a greater `joint_limit`.")
    return ComposedChoices(parts=tables, temperature=alpha, choices=choices, combine=combine)


def _scaling(source: SourceCheckpoint) -> Scaling:
    normaliser = Normaliser(source.spec.scaled_size, source.run.config["training"]["normalise_obs"])
    normaliser.restore(subtree("normaliser", source.arrays))
    return normaliser.scaling()
