"""Some problems need a stochastic policy: against an opponent who learns, and where states look alike.

Rock, paper, scissors: pairs of learners play themselves, greedily and softly; then an opponent who remembers the last
round plays the best response to what they came to, and to the cycle rock, paper, scissors, whose frequencies are those
of the equilibrium. The aliased gridworld: every deterministic policy of what is seen is evaluated exactly, beside those
that go either way at even odds where cells look alike, and those that Q-learning comes to on observations.

Source: Silver (2015), lectures on reinforcement learning, lecture 7, for both problems.
"""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from entrax.exact import evaluate, plan
from entrax.problems import (
    ALIASED_OBSERVATION,
    FiniteMDP,
    aliased_gridworld,
    matrix_game,
    remembering_opponent,
    rock_paper_scissors,
)
from entrax.studies.study import Numbers, Study, Verdict, decided, interval
from entrax.tabular import StepSize, q_learning, self_play

TEMPERATURE, DISCOUNT = 0.5, 0.99
SAFE, LOST = 0.05, 0.5  # points a round that a remembering opponent wins: from soft self-play, from a predictable one
LIVE = 4  # observations in which an action is taken
UP, RIGHT, DOWN, LEFT = range(4)


def run(quick: bool, seeds: int, out: Path) -> dict[str, Any]:
    """What opponents win from each player, and what each policy earns in the aliased gridworld."""
    return {
        "game": game(200_000 if quick else 1_000_000, seeds),
        "gridworld": gridworld(50_000 if quick else 500_000, seeds),
    }


def game(steps: int, seeds: int) -> dict[str, Any]:
    """Points a round that an opponent with a memory of one round wins."""
    played = rock_paper_scissors()
    keys = jax.random.split(jax.random.key(0), seeds)
    learn = partial(self_play, matrix_game(played.row), steps=steps, step_size=StepSize(power=0.9), records=20)
    pairs = jax.vmap(jax.vmap(lambda alpha, key: learn(alpha, key=key), (None, 0)), (0, None))
    learned = pairs(jnp.array([TEMPERATURE, 0.0]), keys)
    soft, greedy = np.asarray(learned.row)
    cycle = np.broadcast_to(np.roll(np.eye(3), 1, axis=1)[:, None], (3, 3, 3))
    return {
        "soft": interval([exploited(_unmindful(row)) for row in soft]),
        "greedy": interval([exploited(_unmindful(row)) for row in greedy]),
        "cycle": exploited(cycle),
        "soft_distance": interval(np.abs(soft - 1 / 3).max(axis=1)),
        "soft_history": learned.row_history[0, 0],
    }


def _unmindful(strategy: np.ndarray) -> np.ndarray:
    return np.broadcast_to(strategy, (3, 3, 3))


def exploited(policy: np.ndarray) -> float:
    """What a best response with a memory of one round wins from `policy[own, other]`, points a round."""
    mdp = remembering_opponent(rock_paper_scissors(), policy, discount=DISCOUNT)
    return float((1 - DISCOUNT) * np.asarray(plan(mdp, 0.0).value).mean())


def gridworld(steps: int, seeds: int) -> dict[str, Any]:
    """Exact returns from a start in any of the five cells, discounted so that a policy that never ends has one."""
    mdp = aliased_gridworld(discount=DISCOUNT)
    returns = jax.jit(jax.vmap(partial(_return, mdp)))
    every = np.eye(mdp.actions)[np.array(list(itertools.product(range(mdp.actions), repeat=LIVE)))]
    chances = np.linspace(0.01, 0.99, 99)
    learn = partial(q_learning, mdp, steps=steps, observation=np.array(ALIASED_OBSERVATION))
    learned = jax.vmap(lambda key: learn(key=key))(jax.random.split(jax.random.key(0), seeds))
    greedy = np.eye(mdp.actions)[np.argmax(np.asarray(learned.q)[:, :LIVE], axis=2)]
    odds = np.stack([either_way(chance) for chance in chances])
    found = np.asarray(returns(np.concatenate([every, odds, greedy])))
    deterministic, mixed, of_learned = np.split(found, [len(every), len(every) + len(odds)])
    return {
        "optimum_of_states": float(plan(mdp, 0.0).value @ mdp.initial),
        "deterministic": np.sort(deterministic)[::-1],
        "chance": chances,
        "stochastic": mixed,
        "best_chance": float(chances[np.argmax(mixed)]),
        "q_learning": interval(of_learned),
    }


def either_way(chance: float) -> np.ndarray:
    """The policy of observations that goes east with `chance` where cells look alike, and straight on elsewhere."""
    policy = np.zeros((LIVE, 4))
    policy[0, RIGHT] = policy[2, DOWN] = policy[3, LEFT] = 1.0
    policy[1, [RIGHT, LEFT]] = chance, 1 - chance
    return policy


def _return(mdp: FiniteMDP, policy: jax.Array) -> jax.Array:
    """Of a policy of the observations in which something is done."""
    rows = jnp.concatenate([policy, jnp.full((2, mdp.actions), 1 / mdp.actions)])
    return evaluate(mdp, rows[jnp.array(ALIASED_OBSERVATION)]).expected_return


def judge(numbers: Numbers) -> Verdict:
    """See the criterion of `STUDY`."""
    played, grid = numbers["game"], numbers["gridworld"]
    predictable = min(min(played["greedy"]["values"]), played["cycle"])
    stochastic, deterministic = max(grid["stochastic"]), max(grid["deterministic"])
    learned = max(grid["q_learning"]["values"])
    return decided(
        supported=max(played["soft"]["values"]) <= SAFE
        and predictable >= LOST
        and stochastic > max(deterministic, learned)
        and abs(grid["best_chance"] - 0.5) <= 0.02,
        refuted=deterministic >= stochastic or min(played["soft"]["values"]) >= predictable,
    )


STUDY = Study(
    name="stochastic-needed",
    claim="Some problems need a stochastic policy: against an opponent who learns, and where states look alike.",
    criterion=(
        f"Supported if a remembering opponent wins at most {SAFE:g} a round from every pair of soft learners and at "
        f"least {LOST:g} from every greedy one and from the cycle, and in the aliased gridworld even odds (within "
        "0.02) are best and earn more than all 256 deterministic policies and Q-learning's. Refuted if a deterministic "
        "policy earns as much, or soft learners lose as much as predictable ones."
    ),
    run=run,
    judge=judge,
)
