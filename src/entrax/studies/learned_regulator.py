"""Soft actor-critic and soft Q-learning learn the maximum-entropy regulator of a linear-quadratic problem.

Both agents are trained on `entrax/LinearQuadratic-v0` from samples only. Then, at a grid of states x, their policies
and values are compared with the exact ones (`entrax.exact.regulator`):

    mean action −K̂x, by least squares                 K
    covariance of the actions in a state              Σ = ½α M⁻¹                  soft Q-learning
                                                      Σ = ½α diag(M)⁻¹            soft actor-critic            (1)
    V̂(x), Q̂(x, u) at the agent's actions              V(x), Q(x, u)                                            (2)

The problem has two states and two actions whose effects overlap, so that Σ has a correlation. Soft actor-critic's
Gaussian has independent entries and cannot have it: the one nearest to exp(Q/α) is (1). Its mean is the same, and its
entropy lower by I = ½ log(M₁₁M₂₂/det M) in every step, so that V is lower by αI/(1 − γ) and Q by γ times that.

Actions are in units of the environment's limit L, for which each step's entropy is lower by log L for each entry.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from entrax.exact import regulator
from entrax.policies.controller import FINISHED
from entrax.problems import LinearQuadratic
from entrax.studies.power import ControlResult, median_power
from entrax.studies.runs import trained_run
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide, summarise_seeds
from entrax.training.source_checkpoint import load_source_checkpoint

ENV = "entrax/LinearQuadratic-v0"
MATRICES: dict[str, Any] = {
    "A": [[0.7, 0.2], [0.0, 0.6]],
    "B": [[0.5, 0.4], [0.0, 0.5]],
    "Q": [[1.0, 0.0], [0.0, 1.0]],
    "R": [[0.5, 0.0], [0.0, 0.5]],
    "W": [[0.05, 0.0], [0.0, 0.05]],
}
START, LIMIT = 1.5, 3.0
ALPHA, GAMMA = 1.0, 0.8
GRID = np.stack(np.meshgrid(*[np.linspace(-1.0, 1.0, 5)] * 2), axis=-1).reshape(-1, 2)
SHOWN = 400  # drawn actions in the figure
DRAWS, CELLS = 2_000, 121  # sampled actions in a state, and cells of each entry for integrals over actions

LOOP: dict[str, Any] = {"envs": 8, "workers": 0, "eval_every": 0, "max_episode_steps": 10}
LEARNING: dict[str, Any] = LOOP | {
    "discount": GAMMA,
    "temperature": ALPHA,
    "learning_rate": 1e-3,
    "learning_starts": 1_000,
    "batch_size": 128,
}
SAC: dict[str, Any] = LEARNING | {"hidden": (64, 64), "target_rate": 0.02}
SOFT_Q: dict[str, Any] = LEARNING | {"hidden": (64, 64, 64), "target_rate": 0.05, "critics": 1, "particles": 16}
QUICK = {"sac": SAC | {"steps": 15_000}, "soft-q": SOFT_Q | {"steps": 10_000}}
FULL = {"sac": SAC | {"steps": 60_000}, "soft-q": SOFT_Q | {"steps": 60_000}}
"""By agent, the settings, chosen on seed 10."""
INDEPENDENT = {"sac": True, "soft-q": False}
"""By agent, whether the entries of its policy's actions are independent in a state."""
ENOUGH = {"gain": 0.1, "covariance": 0.2, "value": 0.15, "q": 0.3}
TOO_LARGE = 2.0  # times `ENOUGH`


class Optimum(NamedTuple):
    """What an agent should learn: gain, covariance, and the values of equation (2), per state and per action."""

    gain: Float[np.ndarray, "2 2"]
    covariance: Float[np.ndarray, "2 2"]
    value: Any
    q: Any


class Learned(NamedTuple):
    """What an agent has learned: drawn actions [state, draw, 2] in the environment's units, V and Q of them."""

    actions: Float[np.ndarray, "state draw 2"]
    value: Float[np.ndarray, " state"]
    q: Float[np.ndarray, "state draw"]


def optimum(independent: bool) -> Optimum:
    """Return the exact soft optimum, or the best Gaussian policy with independent entries of an action."""
    problem = LinearQuadratic(**MATRICES, discount=GAMMA)
    with jax.enable_x64(True):
        solution = regulator(problem, ALPHA)
        p, c, m = (np.asarray(each) for each in (solution.value.P, solution.value.c, solution.curvature))
        gain, covariance = np.asarray(solution.policy.gain), np.asarray(solution.policy.covariance)
    lost = 2 * ALPHA * np.log(LIMIT)
    if independent:
        covariance = np.diag(ALPHA / 2 / np.diag(m))
        lost += ALPHA / 2 * np.log(np.prod(np.diag(m)) / np.linalg.det(m))
    constant = float(c) + lost / (1 - GAMMA)

    def value(x: Any) -> Any:
        return -np.einsum("...i,ij,...j", x, p, x) - constant

    def q(x: Any, u: Any) -> Any:
        after = x @ problem.A.T + u @ problem.B.T
        cost = np.einsum("...i,ij,...j", x, problem.Q, x) + np.einsum("...i,ij,...j", u, problem.R, u)
        return -cost + GAMMA * (value(after) - np.sum(p * problem.W))

    return Optimum(gain=gain, covariance=covariance, value=value, q=q)


def learned(agent: str, seed: int, settings: Mapping[str, Any], out: Path) -> Learned:
    """Train an agent, and return what it has learned at the states of `GRID`."""
    arguments = MATRICES | {"start": START, "limit": LIMIT}
    run = trained_run(ENV, agent, settings, seed, out, env_args=arguments)
    source = load_source_checkpoint(run.path, "latest", None)
    state: Any = source.load_state()
    policy: Any = source.agent.policy(source.config, state)
    q = jax.vmap(partial(source.agent.action_value, source.config, state), (None, 0))

    @eqx.filter_jit
    @partial(jax.vmap, in_axes=(0, 0))
    def at(x: Array, key: PRNGKeyArray) -> tuple[Array, Array, Array]:
        actions, info = jax.vmap(partial(policy.sample, x, FINISHED))(jr.split(key, DRAWS))
        values = q(x, actions)
        if "log_prob" in info:
            return actions, jnp.mean(values - ALPHA * info["log_prob"]), values
        # A policy without a density stands for exp(Q/α), whose V is the soft maximum of Q over the box.
        value = ALPHA * (jax.nn.logsumexp(q(x, cells()) / ALPHA) + 2 * jnp.log(2.0 / CELLS))
        return actions, value, values

    actions, value, values = (np.asarray(each, float) for each in at(jnp.asarray(GRID, jnp.float32), keys_of(seed)))
    return Learned(actions=LIMIT * actions, value=value, q=values)


def keys_of(seed: int) -> Any:
    """Return a key for each state of `GRID`."""
    return jr.split(jr.key(seed), len(GRID))


def cells() -> Float[Array, "cell 2"]:
    """Return the middles of the cells of the unit box of actions."""
    middle = (2 * jnp.arange(CELLS) + 1.0) / CELLS - 1.0
    return jnp.stack(jnp.meshgrid(middle, middle), axis=-1).reshape(-1, 2)


def compare(found: Learned, exact: Optimum) -> dict[str, Any]:
    """Return errors of an agent, each relative to the size of what it should be.

    Errors of V and Q are root mean squares, relative to the standard deviation of the exact ones.
    """
    mean = found.actions.mean(axis=1)
    design = np.column_stack([GRID, np.ones(len(GRID))])
    fit = np.linalg.lstsq(design, mean, rcond=None)[0]
    gain = -fit[:2].T
    apart = found.actions - mean[:, None]
    covariance = np.einsum("sdi,sdj->ij", apart, apart) / apart[..., 0].size
    value, q = exact.value(GRID), exact.q(GRID[:, None], found.actions)
    offset = float(np.mean(found.value - value))
    return {
        "gain": gain,
        "covariance": covariance,
        "value": found.value,
        "errors": {
            "gain": np.linalg.norm(gain - exact.gain) / np.linalg.norm(exact.gain),
            "covariance": np.linalg.norm(covariance - exact.covariance) / np.linalg.norm(exact.covariance),
            "value": np.std(found.value - value) / np.std(value),
            "q": np.std(found.q - q) / np.std(q),
            "offset": abs(offset) / np.std(value),
        },
        "offset": offset,
    }


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Train both agents with every seed, and compare what they have learned with the exact solution."""
    settings = QUICK if quick else FULL
    return {
        "grid": GRID,
        "enough": ENOUGH,
        "settings": settings,
        "agents": {agent: measure(agent, own, seeds, out) for agent, own in settings.items()},
    }


def measure(agent: str, settings: Mapping[str, Any], seeds: range, out: Path) -> dict[str, Any]:
    """Return the errors of one agent over the seeds, and what the figure shows."""
    exact = optimum(INDEPENDENT[agent])
    found = [learned(agent, seed, settings, out) for seed in seeds]
    rows = [compare(each, exact) for each in found]
    return {
        "errors": {name: summarise_seeds([row["errors"][name] for row in rows]) for name in rows[0]["errors"]},
        "offsets": [row["offset"] for row in rows],
        "gains": [row["gain"] for row in rows],
        "covariances": [row["covariance"] for row in rows],
        "means": [each.actions.mean(axis=1) for each in found],
        "values": [each.value for each in found],
        "exact": {"gain": exact.gain, "covariance": exact.covariance, "value": exact.value(GRID)},
        "drawn": np.round(found[0].actions[len(GRID) // 2, :SHOWN], 3),
    }


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    errors = [each["errors"] for each in numbers["agents"].values()]
    if any(len(each["gain"]["values"]) < MIN_SEEDS for each in errors):
        return "undecided"
    shares = [each[name]["median"] / most for each in errors for name, most in ENOUGH.items()]
    return decide(supported=max(shares) <= 1.0, refuted=max(shares) > TOO_LARGE)


def control() -> ControlResult:
    """Judge draws of the exact policies with exact values, and those at twice the temperature."""
    verdicts = {}
    for name, widening in (("exact", 1.0), ("twice as warm", 2.0)):
        agents = {}
        for agent in QUICK:
            exact, rng = optimum(INDEPENDENT[agent]), np.random.default_rng(0)
            noise = rng.normal(size=(len(GRID), DRAWS, 2)) @ np.linalg.cholesky(widening * exact.covariance).T
            actions = noise - (GRID @ exact.gain.T)[:, None]
            found = Learned(actions=actions, value=exact.value(GRID), q=exact.q(GRID[:, None], actions))
            row = compare(found, exact)
            agents[agent] = {"errors": {key: summarise_seeds([each] * 4) for key, each in row["errors"].items()}}
        verdicts[name] = judge({"agents": agents})
    return ControlResult(seen=verdicts == {"exact": "supported", "twice as warm": "refuted"}, numbers=verdicts)


STUDY = Study(
    name="learned-regulator",
    claim="Soft actor-critic and soft Q-learning learn the exact policy and value of a linear-quadratic problem.",
    criterion=(
        "Errors against the exact solution, of soft actor-critic against that with independent entries of an action, "
        "relative to its size; V and Q without their mean difference. Supported if for both agents, in the median over "
        f"seeds, the error of the gain is at most {ENOUGH['gain']:.0%}, of the covariance {ENOUGH['covariance']:.0%}, "
        f"of V {ENOUGH['value']:.0%} and of Q {ENOUGH['q']:.0%}. Refuted if one is more than {TOO_LARGE:g} times that. "
        f"Undecided with fewer than {MIN_SEEDS} seeds."
    ),
    look=(
        "First, the actions that each agent draws in the middle, with the exact ellipses: tilted for soft Q-learning, "
        "and not for a Gaussian with independent entries. Second and third, mean actions and soft values along one "
        "state against the exact lines; fourth, which decides, the errors of every seed, whose medians must lie below "
        "the black marks."
    ),
    run=run,
    judge=judge,
    power=median_power(
        effect="Gain, covariance, V and Q of both agents are those of the maximum-entropy regulator.",
        case="draws of the exact policies are judged supported, those at twice the temperature refuted",
        control=control,
    ),
    exact=False,
)
