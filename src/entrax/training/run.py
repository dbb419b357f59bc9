"""A trained policy and the directory it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Num, PRNGKeyArray

from entrax.environments.observations import Flattener
from entrax.environments.recorded import Given
from entrax.environments.source import EnvSource
from entrax.environments.spaces import as_env_actions, leaves_of
from entrax.errors import UsageError, damage_of
from entrax.evaluation.episodes import EvaluationResult, evaluate
from entrax.policies.controller import CompiledController, Controller, act_in_episodes
from entrax.runs import checkpoints
from entrax.runs.directory import RunDirectory
from entrax.runs.pytree import subtree, unflatten
from entrax.training.devices import set_up
from entrax.training.from_record import config_of, policy_template, recorded_count, source_of
from entrax.training.normaliser import Normaliser
from entrax.training.player import Player, flatten_rows
from entrax.training.precision import in_32_bits


@in_32_bits
def load(
    path: str | Path,
    checkpoint: str = "latest",
    *,
    agent: str | Any | None = None,
    env: Given | None = None,
    env_args: Mapping[str, Any] | None = None,
) -> "Run":
    """Load the run in directory `path` with the policy of one of its checkpoints.

    Args:
        path: the run's directory.
        checkpoint: "latest", "best", "final", or a checkpoint's name.
        agent: the agent again, needed when it is a third party's: nothing that a file names is imported.
        env: the environment again, needed when it is not one of entrax or Gymnasium.
        env_args: arguments of the environment again, needed for those that name a file, a module or an environment.

    Raises EntraxError when there is no such run or checkpoint, or it cannot be read.
    """
    directory = RunDirectory.open(path)
    arrays, _ = checkpoints.load_finite(directory, checkpoint, groups=("policy", "normaliser"))
    set_up(None, None)
    module, resolved = config_of(directory, agent)
    spec = directory.spec
    template = policy_template(module, resolved, spec, directory.config.get("prior"))
    normaliser = Normaliser(spec.scaled_size, directory.config["training"]["normalise_obs"])
    with damage_of(f"The checkpoint {checkpoint!r} of {directory.path}"):
        normaliser.restore(subtree("normaliser", arrays))
        policy = unflatten(template, subtree("policy", arrays))
    controller = Controller(policy=policy, scaling=normaliser.scaling(), spec=spec)
    return Run(
        directory=directory,
        controller=controller,
        checkpoint=checkpoint,
        env=env,
        env_args=env_args,
        agent=module,
    )


@dataclass(frozen=True)
class Run:
    """A trained policy and the directory it comes from."""

    directory: RunDirectory
    controller: Controller
    checkpoint: str = "latest"
    env: Given | None = None
    env_args: Mapping[str, Any] | None = None
    agent: ModuleType | None = None

    @property
    def path(self) -> Path:
        """The run's directory."""
        return self.directory.path

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, with versions."""
        return self.directory.config

    def metrics(self) -> list[dict[str, Any]]:
        """All rows of the run, oldest first."""
        return self.directory.metrics()

    @in_32_bits
    def policy(self, obs: Any, sample: bool = False, key: PRNGKeyArray | None = None) -> np.ndarray:
        """Return actions within the environment's bounds, for one observation or a batch of them.

        Args:
            obs: what the environment returns, or a batch of it: an array [batch, *shape], a dictionary or tuple of such
                arrays, or a list of observations. Flat observations [batch, obs], as `entrax.transitions` has them, are
                taken where they cannot be mistaken for the environment's.
            sample: draw from the policy instead of taking its mode.
            key: a JAX random key, needed to sample.

        Returns an array of the action's shape (0-d for one Discrete action), or [batch, *shape]. Raises EntraxError for
        what does not fit the policy's observations, and for a policy whose actions depend on the episode so far.
        """
        if self._compiled.uses_carry[not sample]:
            raise UsageError(
                "This policy acts on an episode so far, not on one observation: player = run.player() acts step by "
                "step by player.act(obs), and player.reset() begins an episode."
            )
        if sample and not _is_key(key):
            raise UsageError("A sampled action requires a `key`: run.policy(obs, sample=True, key=jax.random.key(0)).")
        rows, single = flatten_rows(self._flattener, obs)
        rows, count = _padded(rows), len(rows)
        carry = self._compiled.initial_carries(len(rows))
        action, _ = self._compiled(rows, carry, np.zeros(len(rows), np.int32), key=key if sample else None)
        shaped = as_env_actions(self._compiled.spec.action, action[:count])
        return np.asarray(shaped[0]) if single else shaped

    @in_32_bits
    def player(self, *, sample: bool = False, seed: int | None = None) -> Player:
        """Return the policy for a loop over an environment, with its memory of an episode.

        Args:
            sample: draw from the policy instead of taking its mode.
            seed: of the draws; by default the run's.

        `player.reset()` begins an episode; `player.act(obs)` returns an action.
        """
        seed = self.config["seed"] if seed is None else seed
        return Player(self._compiled, self._flattener, sample=sample, seed=seed)

    @in_32_bits
    def evaluate(
        self,
        episodes: int = 20,
        *,
        sample: bool = False,
        seed: int | None = None,
        workers: int | None = None,
        env: Given | None = None,
        eval_envs: int | None = None,
    ) -> EvaluationResult:
        """Evaluate whole episodes. Their seeds differ from those that chose the best checkpoint.

        Args:
            episodes: their number.
            sample: draw from the policy instead of taking its mode.
            seed: by default the run's.
            workers: processes for the environments; 0 runs them in this process. By default at most one for each core.
            env: the environment again, needed if it cannot be made from the run's configuration.
            eval_envs: environments to make, by default as many as the run's evaluations had; another number changes the
                returns by rounding only.
        """
        seed = self.config["seed"] if seed is None else seed
        source = self.source(env)
        return evaluate(
            act_in_episodes(self.controller, sample=sample, seed=seed),
            source,
            episodes=episodes,
            seed=seed,
            policy="sampled" if sample else "mode",
            envs=recorded_count(self.directory, "eval_envs") if eval_envs is None else eval_envs,
            workers=workers,
            step_timeout=self.step_timeout(source, workers),
        )

    def step_timeout(self, source: EnvSource, workers: int | None) -> float | None:
        """Return the run's time limit for a step in seconds, if the environments run in processes; else None."""
        return source.step_limit(self.config["training"]["step_timeout"], workers)

    def source(self, env: Given | None = None) -> EnvSource:
        """Return how to make the run's environment; see `source_of`."""
        return source_of(self.directory, self.env if env is None else env, self.env_args)

    @cached_property
    def _compiled(self) -> CompiledController:
        return CompiledController(self.controller, jax.devices("cpu")[-1])

    @cached_property
    def _flattener(self) -> Flattener:
        leaves = self.controller.spec.observation
        if any(leaf.path is None for leaf in leaves) and not (len(leaves) == 1 and leaves[0].is_plain):
            env = self.source().make()  # a record of an older version lacks what flattening needs
            leaves = leaves_of(env.observation_space)
            env.close()
        return Flattener(leaves)


def _is_key(key: Any) -> bool:
    """Return whether it is one JAX random key, of either kind."""
    if not isinstance(key, jax.Array | np.ndarray):
        return False
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return key.shape == () if typed else key.dtype == np.uint32 and key.ndim == 1


def _padded(rows: Num[np.ndarray, "batch obs"]) -> Num[np.ndarray, "padded obs"]:
    """Append zeros up to the next power of two, so that batches of many sizes share a few programs."""
    count = 1 << max(len(rows) - 1, 0).bit_length()
    if count == len(rows):
        return rows
    padded = np.zeros((count, rows.shape[1]), rows.dtype)
    padded[: len(rows)] = rows
    return padded
