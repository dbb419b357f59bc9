"""Self-play in a matrix game: two learners who see nothing but what their own actions paid.

Each keeps a Q of its actions and plays the soft policy of it. After every round, with η the step size of the round,

    Q(a) ← Q(a) + min(1, η/π(a)) (r − Q(a))    for the action a it played                                    (1)

Dividing by the probability moves every action's Q at the same mean rate, so that on average the pair follows the
smooth best-response dynamics. In zero-sum games these end in the logit equilibrium of the temperature [Leslie and
Collins 2005; Hofbauer and Hopkins 2005]; in others they may circle. At temperature 0 both are greedy and play no
equilibrium: each repeats what paid last, and is exploited.

Sources: Leslie and Collins (2005), Individual Q-learning in normal form games, equation (9); Hofbauer and Hopkins
(2005), Learning in perturbed asymmetric games.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, ScalarLike

from entrax.errors import UsageError
from entrax.problems.games import MatrixGame
from entrax.soft import soft_policy
from entrax.tabular.schedules import StepSize

Row = Float[Array, " action"]
Scalar = Float[Array, ""]


class SelfPlay(eqx.Module):
    """Both players' Q and strategies at the end, and the strategies after each of the records."""

    row_q: Row
    column_q: Row
    row: Row
    column: Row
    row_history: Float[Array, "record row"]
    column_history: Float[Array, "record column"]


class _Players(NamedTuple):
    row: Row
    column: Row
    round: Int[Array, ""]


def self_play(
    game: MatrixGame,
    temperature: ScalarLike,
    *,
    steps: int,
    key: PRNGKeyArray,
    step_size: StepSize | None = None,
    start: tuple[np.ndarray, np.ndarray] | None = None,
    records: int = 1,
) -> SelfPlay:
    """Play `steps` rounds, equation (1), rounded up to whole records; both Q begin at 0, or at `start`.

    Raises EntraxError for a negative temperature and for steps or records below 1. Vmap over keys for many pairs.
    """
    if steps < 1 or records < 1 or (isinstance(temperature, int | float) and temperature < 0):
        raise UsageError(
            f"Self-play needs a step, a record and a temperature of at least 0: {steps}, {records}, {temperature}."
        )
    step_size = jax.tree.map(lambda x: jnp.asarray(x, float), step_size or StepSize())
    row, column = (np.zeros(size) for size in game.row.shape) if start is None else start
    players = _Players(row=jnp.asarray(row, float), column=jnp.asarray(column, float), round=jnp.int32(0))
    payoffs = (jnp.asarray(game.row, float), jnp.asarray(game.column, float))
    return _play(payoffs, jnp.asarray(temperature, float), step_size, players, key, (records, -(-steps // records)))


@eqx.filter_jit
def _play(
    payoffs: tuple[Array, Array],
    temperature: Scalar,
    step_size: StepSize,
    players: _Players,
    key: PRNGKeyArray,
    sizes: tuple[int, int],
) -> SelfPlay:
    def one_round(players: _Players, uniform: Float[Array, "2"]) -> tuple[_Players, None]:
        row, column = strategies(players)
        a, b = _draw(row, uniform[0]), _draw(column, uniform[1])
        eta = step_size(players.round + 1)
        return _Players(
            row=_moved(players.row, a, payoffs[0][a, b], eta / row[a]),
            column=_moved(players.column, b, payoffs[1][a, b], eta / column[b]),
            round=players.round + 1,
        ), None

    def strategies(players: _Players) -> tuple[Row, Row]:
        return soft_policy(players.row, temperature), soft_policy(players.column, temperature)

    def one_record(players: _Players, key: PRNGKeyArray) -> tuple[_Players, tuple[Row, Row]]:
        players = jax.lax.scan(one_round, players, jr.uniform(key, (sizes[1], 2)))[0]
        return players, strategies(players)

    players, (rows, columns) = jax.lax.scan(one_record, players, jr.split(key, sizes[0]))
    return SelfPlay(
        row_q=players.row,
        column_q=players.column,
        row=rows[-1],
        column=columns[-1],
        row_history=rows,
        column_history=columns,
    )


def _draw(probability: Row, uniform: Scalar) -> Int[Array, ""]:
    cumulative = jnp.cumsum(probability)
    below = jnp.minimum(uniform * cumulative[-1], jnp.nextafter(cumulative[-1], 0))
    return jnp.argmax(cumulative > below).astype(jnp.int32)


def _moved(q: Row, action: Int[Array, ""], reward: Scalar, rate: Scalar) -> Row:
    return q.at[action].add(jnp.minimum(1, rate) * (reward - q[action]))
