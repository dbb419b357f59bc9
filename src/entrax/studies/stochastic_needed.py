"""Some problems need a stochastic policy.

Rock, paper, scissors: pairs of learners play each other, greedily and softly. Then an opponent who remembers the last
round plays the best response to the learned strategies, and to the cycle rock, paper, scissors, whose frequencies are
those of the equilibrium. The aliased gridworld: every deterministic policy of the observations is evaluated exactly,
and so are policies that go either way with some probability where cells look alike, and those that Q-learning learns.

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
from entrax.studies.power import ControlResult, exact_power
from entrax.studies.study import Numbers, Study, Verdict, decide, summarise_seeds
from entrax.tabular import StepSize, q_learning, self_play

TEMPERATURE, DISCOUNT = 0.5, 0.99
SAFE, LOST = 0.05, 0.5  # points per round that a remembering opponent wins: from soft self-play, and from the others
LIVE = 4  # observations in which an action is taken
UP, RIGHT, DOWN, LEFT = range(4)


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Measure what opponents win from each player, and returns in the gridworld."""
    return {
        "game": game(200_000 if quick else 1_000_000, seeds),
        "gridworld": gridworld(50_000 if quick else 500_000, seeds),
    }


def game(steps: int, seeds: range) -> dict[str, Any]:
    """Measure the points per round that an opponent with a memory of one round wins."""
    played = rock_paper_scissors()
    keys = jax.random.split(jax.random.key(seeds.start), len(seeds))
    learn = partial(self_play, matrix_game(played.row), steps=steps, step_size=StepSize(power=0.9), records=20)
    pairs = jax.vmap(jax.vmap(lambda alpha, key: learn(alpha, key=key), (None, 0)), (0, None))
    learned = pairs(jnp.array([TEMPERATURE, 0.0]), keys)
    soft, greedy = np.asarray(learned.row)
    cycle = np.broadcast_to(np.roll(np.eye(3), 1, axis=1)[:, None], (3, 3, 3))
    return {
        "soft": summarise_seeds([exploited(_memoryless(row)) for row in soft]),
        "greedy": summarise_seeds([exploited(_memoryless(row)) for row in greedy]),
        "cycle": exploited(cycle),
        "soft_distance": summarise_seeds(np.abs(soft - 1 / 3).max(axis=1)),
        "soft_history": learned.row_history[0, 0],
    }


def _memoryless(strategy: np.ndarray) -> np.ndarray:
    return np.broadcast_to(strategy, (3, 3, 3))


def exploited(policy: np.ndarray) -> float:
    """Return the points per round that a best response wins from a policy.

    The opponent remembers one round; `policy[own, other]` are the probabilities after that round.
    """
    mdp = remembering_opponent(rock_paper_scissors(), policy, discount=DISCOUNT)
    return float((1 - DISCOUNT) * np.asarray(plan(mdp, 0.0).value).mean())


def gridworld(steps: int, seeds: range) -> dict[str, Any]:
    """Compute exact discounted returns from a start in any of the five cells."""
    mdp = aliased_gridworld(discount=DISCOUNT)
    returns = jax.jit(jax.vmap(partial(_return, mdp)))
    every = np.eye(mdp.actions)[np.array(list(itertools.product(range(mdp.actions), repeat=LIVE)))]
    chances = np.linspace(0.01, 0.99, 99)
    learn = partial(q_learning, mdp, steps=steps, observation=np.array(ALIASED_OBSERVATION))
    learned = jax.vmap(lambda key: learn(key=key))(jax.random.split(jax.random.key(seeds.start), len(seeds)))
    greedy = np.eye(mdp.actions)[np.argmax(np.asarray(learned.q)[:, :LIVE], axis=2)]
    odds = np.stack([either_way(chance) for chance in chances])
    values = np.asarray(returns(np.concatenate([every, odds, greedy])))
    deterministic, mixed, of_learned = np.split(values, [len(every), len(every) + len(odds)])
    return {
        "optimum_of_states": float(plan(mdp, 0.0).value @ mdp.initial),
        "deterministic": np.sort(deterministic)[::-1],
        "chance": chances,
        "stochastic": mixed,
        "best_chance": float(chances[np.argmax(mixed)]),
        "q_learning": summarise_seeds(of_learned),
    }


def either_way(chance: float) -> np.ndarray:
    """Return the policy that goes east with probability `chance` in aliased cells."""
    policy = np.zeros((LIVE, 4))
    policy[0, RIGHT] = policy[2, DOWN] = policy[3, LEFT] = 1.0
    policy[1, [RIGHT, LEFT]] = chance, 1 - chance
    return policy


def _return(mdp: FiniteMDP, policy: jax.Array) -> jax.Array:
    """Return the expected return of a policy of the first `LIVE` observations."""
    rows = jnp.concatenate([policy, jnp.full((2, mdp.actions), 1 / mdp.actions)])
    return evaluate(mdp, rows[jnp.array(ALIASED_OBSERVATION)]).expected_return


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    played, grid = numbers["game"], numbers["gridworld"]
    predictable = min(min(played["greedy"]["values"]), played["cycle"])
    stochastic, deterministic = max(grid["stochastic"]), max(grid["deterministic"])
    learned = max(grid["q_learning"]["values"])
    return decide(
        supported=max(played["soft"]["values"]) <= SAFE
        and predictable >= LOST
        and stochastic > max(deterministic, learned)
        and abs(grid["best_chance"] - 0.5) <= 0.02,
        refuted=deterministic >= stochastic or min(played["soft"]["values"]) >= predictable,
    )


def control() -> ControlResult:
    """Compute what a best response wins from the uniform strategy and from rock alone."""
    uniform, rock = (exploited(_memoryless(np.array(row))) for row in ([1 / 3] * 3, [1.0, 0.0, 0.0]))
    return ControlResult(seen=uniform <= SAFE and rock >= LOST, numbers={"uniform": uniform, "rock": rock})


STUDY = Study(
    name="stochastic-needed",
    claim="Some problems need a stochastic policy: against an opponent who learns, and where states look alike.",
    criterion=(
        f"Supported if a remembering opponent wins at most {SAFE:g} a round from every pair of soft learners and at "
        f"least {LOST:g} from every greedy one and from the cycle, and in the aliased gridworld even odds (within "
        "0.02) are best and earn more than all 256 deterministic policies and Q-learning's. Refuted if a deterministic "
        "policy earns as much, or soft learners lose as much as predictable ones."
    ),
    look=(
        "Left: what an opponent who remembers one round wins, which must be close to nothing against soft self-play "
        "and close to a point against greedy self-play and the cycle. Right: the return over the odds where two cells "
        "look alike; the curve must be highest at even odds, and there above the dashed line, the best deterministic "
        "policy."
    ),
    run=run,
    judge=judge,
    power=exact_power(
        effect="What is predictable is exploited, and a mixed strategy is not.",
        case="rock, paper, scissors: the best response wins 0 a round from the uniform strategy and 1 from rock alone",
        control=control,
    ),
)
