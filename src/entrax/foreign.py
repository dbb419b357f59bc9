"""The names of settings in other libraries, for messages about unknown settings."""

from collections.abc import Iterable, Mapping

from entrax.errors import closest

FOREIGN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("gamma", "discount_factor"), ("discount",)),
    **dict.fromkeys(("tau", "polyak", "target_update_rate"), ("target_rate",)),
    **dict.fromkeys(("ent_coef", "entropy_coef"), ("temperature", "entropy_coefficient")),
    **dict.fromkeys(("alpha", "init_temperature"), ("temperature",)),
    **dict.fromkeys(("total_timesteps", "n_timesteps", "num_timesteps", "timesteps", "max_steps"), ("steps",)),
    **dict.fromkeys(("n_envs", "num_envs"), ("envs",)),
    **dict.fromkeys(("buffer_size", "replay_buffer_size", "memory_size"), ("replay_size",)),
    **dict.fromkeys(("lr", "q_lr", "critic_lr"), ("learning_rate",)),
    **dict.fromkeys(("policy_lr", "actor_lr", "pi_lr"), ("learning_rate", "policy_learning_rate")),
    **dict.fromkeys(("net_arch", "hidden_sizes", "hidden_dims", "policy_kwargs"), ("hidden",)),
    **dict.fromkeys(("train_freq", "gradient_steps", "utd_ratio", "update_every"), ("updates_per_step",)),
    **dict.fromkeys(("start_steps", "random_steps", "warmup_steps"), ("learning_starts",)),
    **dict.fromkeys(("n_steps", "num_steps"), ("rollout_steps", "n_step")),
    **dict.fromkeys(("n_epochs", "update_epochs"), ("epochs",)),
    **dict.fromkeys(("clip_range", "clip_coef", "clip_ratio"), ("clip",)),
    **dict.fromkeys(("lam", "lambda"), ("gae_lambda",)),
    **dict.fromkeys(("vf_coef", "value_coef"), ("value_coefficient",)),
    **dict.fromkeys(("max_grad_norm", "grad_clip"), ("max_gradient_norm",)),
    **dict.fromkeys(("epsilon", "exploration_initial_eps", "start_e"), ("exploration",)),
    **dict.fromkeys(("exploration_final_eps", "end_e"), ("final_exploration",)),
    "exploration_fraction": ("anneal_fraction",),
    **dict.fromkeys(("policy_frequency", "policy_freq"), ("policy_delay",)),
    **dict.fromkeys(("target_update_interval", "target_network_frequency"), ("target_period",)),
    **dict.fromkeys(("env", "env_id", "env_name"), ("env",)),
    **dict.fromkeys(("env_kwargs", "env_config"), ("env_args",)),
    **dict.fromkeys(("algo", "algorithm"), ("agent",)),
    **dict.fromkeys(("normalize", "normalize_obs"), ("normalise_obs",)),
    **dict.fromkeys(("eval_freq", "eval_interval"), ("eval_every",)),
    **dict.fromkeys(("n_eval_episodes", "eval_eps"), ("eval_episodes",)),
    **dict.fromkeys(("logdir", "log_dir", "exp_name"), ("run",)),
    "track": ("wandb",),
}
"""The names in entrax, of one agent or another, by the name in other libraries."""


def unknown(name: str, known: Iterable[str]) -> str:
    """Return the sentence about an unknown setting.

    It has the setting's name in entrax, or the closest of the `known` names.
    """
    known = list(known)
    return called(name, {ours: f"`{ours}`" for ours in known}) or f"There is no setting {name!r}{closest(name, known)}"


def called(name: str, known: Mapping[str, str], shown: str | None = None) -> str | None:
    """Return the sentence with the name in entrax of a setting of other libraries.

    Returns None if there is no such setting.

    Args:
        name: the name in another library.
        known: how to show each setting of entrax.
        shown: how to show `name`.
    """
    ours = [known[ours] for ours in FOREIGN.get(name, ()) if ours in known]
    return f"{shown or f'`{name}`'} is called {' or '.join(ours)} in entrax." if ours else None
