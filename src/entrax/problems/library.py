"""Small benchmark problems of the field, and random problems of any size."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
from jaxtyping import Float, Int

from entrax.errors import UsageError
from entrax.problems.assemble import live_rows, settings
from entrax.problems.finite import FiniteMDP, Number, ProblemOptions


def garnet(states: int, actions: int, branches: int, *, seed: int, **options: Unpack[ProblemOptions]) -> FiniteMDP:
    """Sample a problem in which each (s, a) leads to `branches` distinct states.

    Successors are chosen uniformly. Their probabilities are the lengths of the pieces of [0, 1] between uniform cuts.
    Rewards are standard normal.

    Args:
        states: S.
        actions: A.
        branches: the number of successors of each (s, a), at most `states`.
        seed: the seed of the random numbers.
        **options: see `ProblemOptions`.

    Raises:
        UsageError: `branches` is not in 1 … `states`, or an option is not valid.

    References:
        Archibald, McKinnon and Thomas (1995), On the generation of Markov decision processes.
        Bhatnagar et al. (2009), Natural actor-critic algorithms, for the Gaussian rewards.
    """
    if not 1 <= branches <= states:
        raise UsageError(f"`branches` must be from 1 to the number of states, {states}, got {branches}.")
    fields = settings(states, actions, options)
    rng = np.random.default_rng(seed)
    rows = states * actions
    successor = distinct(rng, rows, branches, states)
    cuts = np.sort(rng.random((rows, branches - 1)), axis=1)
    probability = np.diff(cuts, axis=1, prepend=0.0, append=1.0)
    reward = rng.normal(size=(states, actions))
    shape = (states, actions, branches)
    live = live_rows(fields, actions)
    return FiniteMDP(
        successor=np.where(live[..., None], successor.reshape(shape), states).astype(np.int32),
        probability=np.where(live[..., None], probability.reshape(shape), 0.0),
        reward=np.where(live, reward, 0.0),
        **fields,
    )


def distinct(rng: np.random.Generator, rows: int, count: int, size: int) -> Int[np.ndarray, "row branch"]:
    """Draw `count` distinct sorted numbers below `size` for each row, uniformly."""
    if count * count > 4 * size:  # redrawing rows until all numbers differ would be slow
        chunk = max(1, 10_000_000 // size)
        parts = [rng.random((min(chunk, rows - at), size)) for at in range(0, rows, chunk)]
        return np.sort(np.concatenate([part.argpartition(count - 1, axis=1)[:, :count] for part in parts]), axis=1)
    chosen = np.sort(rng.integers(size, size=(rows, count)), axis=1)
    while (repeated := np.flatnonzero((np.diff(chosen, axis=1) == 0).any(1))).size:
        chosen[repeated] = np.sort(rng.integers(size, size=(len(repeated), count)), axis=1)
    return chosen


def forest(
    ages: int = 3,
    *,
    wait_reward: Number = 4.0,
    cut_reward: Number = 2.0,
    fire: Number = 0.1,
    **options: Unpack[ProblemOptions],
) -> FiniteMDP:
    """Build the forest problem: each year wait (action 0) or cut (action 1).

    The state is the age of the forest. While waiting it burns down with probability `fire`. Waiting earns
    `wait_reward` at the oldest age and 0 before. Cutting earns `cut_reward` at the oldest age, 0 at age 0 and 1 in
    between.

    Args:
        ages: the number of states, at least 2.
        wait_reward: the reward of waiting at the oldest age.
        cut_reward: the reward of cutting at the oldest age.
        fire: the probability of a fire in a year.
        **options: see `ProblemOptions`.

    References:
        Chadès et al. (2014), MDPtoolbox, for the example.
    """
    if ages < 2:
        raise UsageError(f"`ages` must be at least 2, got {ages}.")
    age = np.arange(ages)
    oldest = age == ages - 1
    zero, one = np.zeros(ages, int), np.ones(ages)
    return FiniteMDP.from_columns(
        state=np.tile(age, 3),
        action=np.repeat([0, 0, 1], ages),
        probability=np.concatenate([(1 - fire) * one, fire * one, one]),
        next_state=np.concatenate([np.minimum(age + 1, ages - 1), zero, zero]),
        reward=np.concatenate([wait_reward * oldest, wait_reward * oldest, np.where(oldest, cut_reward, age > 0)]),
        terminated=False,
        **options,
    )


def inventory(
    capacity: int = 3,
    demand: Sequence[Number] = (0.25, 0.5, 0.25),
    *,
    price: Number = 8.0,
    order_cost: Number = 4.0,
    unit_cost: Number = 2.0,
    holding_cost: Number = 1.0,
    **options: Unpack[ProblemOptions],
) -> FiniteMDP:
    """Build an inventory problem: order units each month before a random demand.

    State s is the stock and action a the number of units ordered, s + a ≤ `capacity`. Demand that exceeds the stock is
    lost. The reward of a month is price · sold − order_cost [a > 0] − unit_cost · a − holding_cost · (s + a).

    Args:
        capacity: the largest stock.
        demand: `demand[d]` is the probability that d units are demanded.
        price: the revenue of each unit sold.
        order_cost: the fixed cost of an order.
        unit_cost: the cost of each unit ordered.
        holding_cost: the cost of each unit in stock.
        **options: see `ProblemOptions`.

    References:
        Puterman (1994), Markov decision processes, section 3.2, for the default numbers.
    """
    sizes = (capacity + 1, capacity + 1, len(demand))
    stock, order, asked = (axis.ravel() for axis in np.indices(sizes))
    kept = stock + order <= capacity
    stock, order, asked = stock[kept], order[kept], asked[kept]
    sold = np.minimum(stock + order, asked)
    return FiniteMDP.from_columns(
        state=stock,
        action=order,
        probability=np.asarray(demand, float)[asked],
        next_state=stock + order - sold,
        reward=price * sold - order_cost * (order > 0) - unit_cost * order - holding_cost * (stock + order),
        terminated=False,
        **options,
    )


def chain(
    length: int,
    *,
    slip: Number = 0.0,
    left_reward: Number = 0.0,
    right_reward: Number = 1.0,
    **options: Unpack[ProblemOptions],
) -> FiniteMDP:
    """Build a chain of states, with steps left (action 0) and right (action 1).

    The problem never ends. Action 0 in the first state earns `left_reward`, and action 1 in the last state earns
    `right_reward`; steps off either end stay in place. With a small left reward, only a patient agent goes right.

    Args:
        length: the number of states, at least 1.
        slip: the probability of a step in the opposite direction.
        left_reward: the reward of action 0 in the first state.
        right_reward: the reward of action 1 in the last state.
        **options: see `ProblemOptions`.
    """
    if length < 1:
        raise UsageError(f"`length` must be at least 1, got {length}.")
    state, action, slipped = (axis.ravel() for axis in np.indices((length, 2, 2)))
    step = np.where(action == slipped, -1, 1)
    return FiniteMDP.from_columns(
        state=state,
        action=action,
        probability=np.where(slipped, slip, 1 - slip),
        next_state=np.clip(state + step, 0, length - 1),
        reward=np.where(action, right_reward * (state == length - 1), left_reward * (state == 0)),
        terminated=False,
        **options,
    )


def random_walk(
    length: int,
    *,
    cost: Number = 0.0,
    exit_rewards: tuple[Number, Number] = (0.0, 0.0),
    **options: Unpack[ProblemOptions],
) -> FiniteMDP:
    """Build a walk on the states 0 to `length`, whose first and last state are exits.

    Action 0 steps down and action 1 up. Under a uniform prior it is the linearly solvable random walk of Todorov
    (2009). As one exit reward tends to −∞ it becomes the gambler's ruin.

    Args:
        length: the last state, at least 2.
        cost: the cost of each step.
        exit_rewards: the rewards of entering state 0 and state `length`.
        **options: see `ProblemOptions`.

    References:
        Todorov (2009), Efficient computation of optimal actions.
    """
    if length < 2:
        raise UsageError(f"`length` must be at least 2, got {length}.")
    state = np.repeat(np.arange(1, length), 2)
    action = np.tile([0, 1], length - 1)
    reached = state + 2 * action - 1
    bonus = exit_rewards[0] * (reached == 0) + exit_rewards[1] * (reached == length)
    with_exits: ProblemOptions = {"terminal": [0, length], **options}
    return FiniteMDP.from_columns(
        state=state,
        action=action,
        probability=1.0,
        next_state=reached,
        reward=bonus - cost,
        terminated=False,
        states=length + 1,
        **with_exits,
    )


def safe_or_risky(
    *, win: Number = 2.0, loss: Number = -4.0, chance: Number = 0.5, **options: Unpack[ProblemOptions]
) -> FiniteMDP:
    """Build a problem of one decision: a safe action (0) or a risky action (1).

    At temperature 1 with the default numbers the variational policy takes the risk with probability .2689. The exact
    posterior takes it with probability .7874, because it believes that it will win.

    Args:
        win: the reward of the risky action with probability `chance`.
        loss: its reward otherwise. The safe action has reward 0.
        chance: the probability of winning.
        **options: see `ProblemOptions`.

    References:
        Levine (2018), arXiv:1805.00909, on the optimism of the posterior.
    """
    branches = [(0, 0, 1.0, 0, 0.0, True), (0, 1, chance, 0, win, True), (0, 1, 1 - chance, 0, loss, True)]
    return FiniteMDP.from_transitions(branches, **options)


def pendulum(
    angles: int = 101, velocities: int = 101, torques: int = 9, **options: Unpack[ProblemOptions]
) -> FiniteMDP:
    """Discretise Gymnasium's Pendulum-v1 on a grid of angles and velocities.

    State i · `velocities` + j has the angle −π + 2π i / `angles` (upright is 0) and the j-th of evenly spaced
    velocities from −8 to 8. Actions are evenly spaced torques from −2 to 2. A step leads to the four grid points around
    the next state, weighted by bilinear interpolation. Episodes start at any angle with a grid velocity of at most 1,
    or the smallest ones if the grid has none.

    Args:
        angles: the number of angles, at least 3.
        velocities: the number of velocities, at least 2.
        torques: the number of torques, at least 2.
        **options: see `ProblemOptions`.

    References:
        Munos and Moore (2002), Variable resolution discretization in optimal control.
    """
    if angles < 3 or velocities < 2 or torques < 2:
        raise UsageError(
            "A pendulum needs at least 3 `angles`, 2 `velocities` and 2 `torques`, "
            f"got {angles}, {velocities} and {torques}."
        )
    angle, velocity = -np.pi + 2 * np.pi * np.arange(angles) / angles, np.linspace(-8, 8, velocities)
    th, thdot, u = np.meshgrid(angle, velocity, np.linspace(-2, 2, torques), indexing="ij")
    reward = -(th**2 + 0.1 * thdot**2 + 0.001 * u**2)
    thdot = np.clip(thdot + (15 * np.sin(th) + 3 * u) * 0.05, -8, 8)
    successor, probability = interpolated(th + 0.05 * thdot, thdot, angles, velocities)
    states = angles * velocities
    slow = np.abs(velocity) <= max(1.0, np.abs(velocity).min())
    start: ProblemOptions = {"initial": np.tile(slow / (slow.sum() * angles), angles)}
    shape = (states, torques, 4)
    return FiniteMDP(
        successor=successor.reshape(shape),
        probability=probability.reshape(shape),
        reward=reward.reshape(states, torques),
        **settings(states, torques, {**start, **options}),
    )


def interpolated(
    angle: Float[np.ndarray, "..."], velocity: Float[np.ndarray, "..."], angles: int, velocities: int
) -> tuple[Int[np.ndarray, "... 4"], Float[np.ndarray, "... 4"]]:
    """Return the four grid points around each point, and their bilinear weights."""
    across = (angle + np.pi) * angles / (2 * np.pi)
    up = (velocity + 8) * (velocities - 1) / 16
    left, below = np.floor(across), np.minimum(np.floor(up), velocities - 2)
    successor, weight = [], []
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        column = (left.astype(np.int64) + i) % angles
        successor.append(column * velocities + below.astype(np.int64) + j)
        weight.append(np.abs(1 - i - (across - left)) * np.abs(1 - j - (up - below)))
    states, probability = angles * velocities, np.stack(weight, -1)
    return np.where(probability > 0, np.stack(successor, -1), states).astype(np.int32), probability
