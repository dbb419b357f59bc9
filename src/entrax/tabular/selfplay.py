"""Self-play in a matrix game by two learners that observe their own payoffs.

Each learner has a table Q of its actions and plays its soft policy. After every round, with η the step size of the
round, it updates the action a that it played:

    Q(a) ← Q(a) + min(1, η/π(a)) (r − Q(a))                                                                  (1)

Division by the probability makes the mean rate equal for all actions, so the mean of the pair follows the smooth
best-response dynamics. In zero-sum games these converge to the logit equilibrium at the temperature; in other games
they may cycle. At temperature 0 both learners are greedy and exploitable, and do not reach an equilibrium.

References:
    Leslie and Collins (2005), Individual Q-learning in normal form games, equation (9).
    Hofbauer and Hopkins (2005), Learning in perturbed asymmetric games.
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
from entrax.tabular.simulator import sample_index

Row = Float[Array, " action"]
Scalar = Float[Array, ""]


class SelfPlay(eqx.Module):
    """The final Q and strategies of self-play, and the recorded strategies."""

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
    """Run self-play, equation (1); use `jax.vmap` over keys for many pairs.

    Args:
        game: the game.
        temperature: α ≥ 0, in units of payoff.
        steps: the number of rounds, rounded up to whole records.
        key: the key of all random numbers.
        step_size: η of each round; by default `StepSize()`.
        start: the initial Q of the row player and the column player; by default 0.
        records: how many times the strategies are recorded, evenly spaced.

    Raises:
        UsageError: `temperature` is negative, or `steps` or `records` is below 1.
    """
    if steps < 1 or records < 1:
        raise UsageError(f"`steps` and `records` must be at least 1, got {steps} and {records}.")
    if isinstance(temperature, int | float) and temperature < 0:
        raise UsageError(f"`temperature` must be at least 0, got {temperature}.")
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
        a, b = sample_index(row, uniform[0]), sample_index(column, uniform[1])
        eta = step_size(players.round + 1)
        return _Players(
            row=_updated(players.row, a, payoffs[0][a, b], eta / row[a]),
            column=_updated(players.column, b, payoffs[1][a, b], eta / column[b]),
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


def _updated(q: Row, action: Int[Array, ""], reward: Scalar, rate: Scalar) -> Row:
    return q.at[action].add(jnp.minimum(1, rate) * (reward - q[action]))
