"""Premature collapse with deep networks and sampled gradients: PPO and REINFORCE with and without the entropy term.

In `entrax/Corridor-v0` a small reward is near the start and a large one far away. A random walk of discounted rewards
favours the small one by far, so that the first lessons are to turn back, and a policy without entropy never sees the
other end again. With the entropy term in the rewards, r - α log π(a|s), a step of both odds is worth α log 2 wherever
the policy is: turning back, which ends the episode, is worth less than walking on, and the walk finds the far end.

The window for α is known from the exact answers of the same corridor: with α log 2 / (1 - γ) below the small reward the
trap remains, with α log 2 above (1 - γ) V the soft optimum itself dawdles. The study computes the soft optimum at its α
as a check. Both arms of an agent differ in α only, and a seed gives both the same initial network.

Source: Williams and Peng (1991), Function optimization using connectionist reinforcement learning algorithms, on the
entropy term with sampled gradients; Mnih et al. (2016), arXiv:1602.01783, and Schulman et al. (2017), arXiv:1707.06347,
with deep networks.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from entrax.exact import evaluate, plan
from entrax.problems import FiniteMDP
from entrax.studies.entropy_collapse import course, paired_interval, quartiles
from entrax.studies.power import MIN_PAIRS, ControlResult, Power, gained_share
from entrax.studies.runs import trained_run
from entrax.studies.study import Numbers, Study, Verdict, decide, summarise_seeds

Settings = dict[str, Any]

ENV = "entrax/Corridor-v0"
CORRIDOR: dict[str, Any] = {"length": 30, "start": 2, "near_reward": 0.05, "far_reward": 1.0}
DISCOUNT, TEMPERATURE = 0.97, 0.015
NEARLY = 0.95  # of the optimal return: reached the optimum

SHARED: Settings = {"discount": DISCOUNT, "gae_lambda": 0.95, "hidden": (64, 64), "final_learning_rate": 0.0}
AGENTS: dict[str, tuple[str, Settings]] = {
    "PPO": (
        "ppo",
        {"learning_rate": 1e-3, "clip": 0.2, "value_coefficient": 1.0, "entropy_coefficient": 0.0, "epochs": 4}
        | {"max_gradient_norm": 0.5, "batch_size": 128, "rollout_steps": 512, "normalise_advantages": True},
    ),
    "REINFORCE": (
        "reinforce",
        {"learning_rate": 1e-2, "value_learning_rate": 1e-2, "value_steps": 10, "rollout_steps": 512, "memory": 0}
        | {"objective": "usual", "baseline": "learned", "causal": True},
    ),
}
"""By the name in this study, the agent and its own settings."""
LOOP: Settings = {"envs": 16, "workers": 0, "eval_episodes": 1, "eval_envs": None, "checkpoint_every": 0}
LOOP |= {"checkpoint_seconds": 60.0, "normalise_obs": False, "normalise_rewards": False}
ROWS = 20  # of metrics, and as many evaluations
STEPS = {"quick": 30_720, "full": 153_600}


def settings_of(name: str, alpha: float, steps: int) -> tuple[str, Settings]:
    """Return an agent's name and all of its settings at temperature `alpha`."""
    agent, own = AGENTS[name]
    loop = LOOP | {"steps": steps, "log_every": steps // ROWS, "eval_every": steps // ROWS}
    return agent, loop | SHARED | own | {"temperature": alpha}


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Record entropy, return and success of both agents with and without the entropy term."""
    steps = STEPS["quick" if quick else "full"]
    arms = []
    for name in AGENTS:
        for alpha in (0.0, TEMPERATURE):
            agent, settings = settings_of(name, alpha, steps)
            runs = [trained_run(ENV, agent, settings, seed, out, env_args=CORRIDOR) for seed in seeds]
            arms.append({"agent": name, "temperature": alpha} | measure([each.metrics() for each in runs]))
    return {
        "environment": CORRIDOR | {"discount": DISCOUNT},
        "settings": {name: settings_of(name, TEMPERATURE, steps)[1] for name in AGENTS},
        "steps": np.linspace(0, steps, ROWS + 1)[1:],
        "seeds": len(seeds),
        "exact": exact_answers(),
        "arms": arms,
        "more_reached": {name: paired_interval(gains(arms, name)) for name in AGENTS},
    }


def measure(runs: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return courses over training and final results from the metrics of each seed.

    Entropy and `returns` are those of the rollouts, whose actions are drawn; success is that of the policy's mode.
    """
    entropy = np.array([[row["entropy"] for row in rows if "entropy" in row] for rows in runs])
    returns = np.array([filled([row["return"] for row in rows if "return" in row]) for rows in runs])
    evaluations = [[row["evaluation"] for row in rows if "evaluation" in row] for rows in runs]
    success = np.array([[each["success_rate"] for each in rows] for rows in evaluations])
    final = np.array([rows[-1]["mean"] for rows in evaluations])
    return {
        "entropy": quartiles(entropy),
        "half_entropy": summarise_seeds(entropy[:, entropy.shape[1] // 2]),
        "returns": quartiles(returns),
        "last_returns": returns[:, -1],
        "success": success.mean(axis=0),
        "final": final,
        "reached": reached(final),
    }


def filled(returns: Sequence[float | None]) -> Float[np.ndarray, " row"]:
    """Return the returns, with 0 until the first episode has ended and the last known one where none has."""
    kept = [0.0]
    for each in returns:
        kept.append(kept[-1] if each is None else each)
    return np.array(kept[1:], float)


def reached(final: Float[np.ndarray, " seed"]) -> Bool[np.ndarray, " seed"]:
    """Return which seeds end with nearly the optimal return."""
    return final >= NEARLY * CORRIDOR["far_reward"]


def gains(arms: Sequence[Mapping[str, Any]], name: str) -> Float[np.ndarray, " seed"]:
    """Return by seed whether the agent reaches the optimum with the entropy term, minus whether it does without."""
    hard, soft = (
        next(arm for arm in arms if arm["agent"] == name and arm["temperature"] == alpha)
        for alpha in (0.0, TEMPERATURE)
    )
    return np.asarray(soft["reached"], float) - np.asarray(hard["reached"], float)


def corridor(discount: float = DISCOUNT, **changed: float) -> FiniteMDP:
    """Return the corridor as a finite problem."""
    from entrax.environments.corridor import Corridor

    return FiniteMDP.from_gymnasium(Corridor(**CORRIDOR | changed), trust_table=True, discount=discount)


def exact_answers() -> dict[str, float]:
    """Return the optimum, the soft optimum at the study's α, and the uniform policy.

    `optimum` is the hard optimum's undiscounted return, `soft_success` and `uniform_success` are the chances of the
    soft optimum and of the uniform policy to reach the far end, and `soft_mode` is the return of the soft optimum's
    mode. None is limited in time.
    """
    with jax.enable_x64(True):
        mdp, undiscounted = corridor(), corridor(1.0)
        far = corridor(1.0, near_reward=0.0, far_reward=1.0)
        hard, soft = plan(mdp, 0.0).policy, plan(mdp, TEMPERATURE).policy
        mode = jax.nn.one_hot(jnp.argmax(soft, axis=1), mdp.actions)
        return {
            "optimum": float(evaluate(undiscounted, hard).expected_return),
            "soft_success": float(evaluate(far, soft).expected_return),
            "soft_mode": float(evaluate(undiscounted, mode).expected_return),
            "uniform_success": float(evaluate(far, jnp.full(mdp.reward.shape, 0.5)).expected_return),
        }


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    if numbers["seeds"] < MIN_PAIRS:
        return "undecided"
    half = {(arm["agent"], arm["temperature"]): arm["half_entropy"] for arm in numbers["arms"]}
    keeps = {name: half[name, TEMPERATURE]["low"] > half[name, 0.0]["high"] for name in AGENTS}
    loses = {name: half[name, TEMPERATURE]["high"] < half[name, 0.0]["low"] for name in AGENTS}
    more = numbers["more_reached"]
    return decide(
        supported=all(keeps[name] and more[name]["low"] > 0 for name in AGENTS),
        refuted=any(loses[name] or more[name]["high"] < 0 for name in AGENTS),
    )


def control() -> ControlResult:
    """Ascend the exact gradient in the same corridor from the uniform policy, with and without entropy."""
    with jax.enable_x64(True):
        mdp = corridor()
        optimum = float(plan(mdp, 0.0).value @ mdp.initial)
        logits = jnp.zeros(mdp.reward.shape)
        ascend = jax.jit(jax.vmap(partial(course, mdp, 4_000), (None, 0)))
        hard, soft = (float(each[-1]) / optimum for each in ascend(logits, jnp.array([0.0, TEMPERATURE]))[1])
    return ControlResult(seen=soft >= NEARLY > hard, numbers={"hard": hard, "soft": soft})


STUDY = Study(
    name="sampled-collapse",
    claim="Without the entropy term PPO and REINFORCE lose their entropy early and miss a better, farther reward.",
    criterion=(
        f"Supported if for both agents half-way the entropy with the term (α = {TEMPERATURE:g}) is above that without "
        f"(disjoint 95 % intervals), and in the end more of the same seeds have {NEARLY:.0%} of the optimal return by "
        "the policy's mode (95 % interval of the difference above 0). Refuted if for one of them fewer have, or the "
        f"entropy with the term is below that without (intervals likewise). Undecided with fewer than {MIN_PAIRS} "
        "seeds."
    ),
    look=(
        "From left to right: the entropy, the return of drawn actions, the share of seeds whose mode reaches the far "
        "end, and the share that end with the optimal return, with the entropy term (full lines) and without (dashed). "
        "The full lines should be above the dashed ones of their colour half-way and in the end, where runs without "
        "the term have settled for the near reward."
    ),
    run=run,
    judge=judge,
    power=Power(
        effect="With the entropy term more of the same seeds reach the far reward, and entropy lasts longer.",
        detectable=partial(gained_share, agents=len(AGENTS)),
        measure="the share of seeds of each agent that reach the far reward with the entropy term only",
        assumption="seeds and agents are independent, and none reaches it without the term only",
        case="the exact gradient in the same corridor, from the uniform policy, at the same temperature",
        control=control,
    ),
    seeds=20,
    exact=False,
)
