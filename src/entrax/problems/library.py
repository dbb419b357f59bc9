"""Small problems that the field tests its methods on, and random ones of any size."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
from jaxtyping import Float, Int

from entrax.errors import EntraxError
from entrax.problems.assemble import settings
from entrax.problems.finite import FiniteMDP, Number, Options


def garnet(states: int, actions: int, branches: int, *, seed: int, **options: Unpack[Options]) -> FiniteMDP:
    """A random problem: each (s, a) leads to `branches` distinct states and its reward is standard normal.

    Successors are a uniform choice; their probabilities are the parts that uniform cuts make of [0, 1]. Source:
    Archibald, McKinnon and Thomas (1995), On the generation of Markov decision processes; with Gaussian rewards as in
    Bhatnagar et al. (2009), Natural actor-critic algorithms.
    """
    if not 1 <= branches <= states:
        raise EntraxError(f"{branches} branches to distinct states need 1 ≤ branches ≤ states = {states}.")
    fields = settings(states, actions, options)
    rng = np.random.default_rng(seed)
    rows = states * actions
    successor = distinct(rng, rows, branches, states)
    cuts = np.sort(rng.random((rows, branches - 1)), axis=1)
    probability = np.diff(cuts, axis=1, prepend=0.0, append=1.0)
    reward = rng.normal(size=(states, actions))
    shape = (states, actions, branches)
    nothing = fields["terminal"] if fields["mask"] is None else fields["terminal"][:, None] | ~fields["mask"]
    nothing = np.broadcast_to(nothing.reshape(states, -1), (states, actions))
    return FiniteMDP(
        successor=np.where(nothing[..., None], states, successor.reshape(shape)).astype(np.int32),
        probability=np.where(nothing[..., None], 0.0, probability.reshape(shape)),
        reward=np.where(nothing, 0.0, reward),
        **fields,
    )


def distinct(rng: np.random.Generator, rows: int, count: int, size: int) -> Int[np.ndarray, "row branch"]:
    """For each row, `count` different numbers below `size`, in order, every choice equally likely."""
    if count * count > 4 * size:  # drawing again until all differ would take long
        chunk = max(1, 10_000_000 // size)
        parts = [rng.random((min(chunk, rows - at), size)) for at in range(0, rows, chunk)]
        return np.sort(np.concatenate([part.argpartition(count - 1, axis=1)[:, :count] for part in parts]), axis=1)
    chosen = np.sort(rng.integers(size, size=(rows, count)), axis=1)
    while (again := np.flatnonzero((np.diff(chosen, axis=1) == 0).any(1))).size:
        chosen[again] = np.sort(rng.integers(size, size=(len(again), count)), axis=1)
    return chosen


def forest(
    ages: int = 3,
    *,
    wait_reward: Number = 4.0,
    cut_reward: Number = 2.0,
    fire: Number = 0.1,
    **options: Unpack[Options],
) -> FiniteMDP:
    """A forest that is let grow (action 0) or cut (action 1) each year, and burns down with probability `fire`.

    States are its age. Waiting earns `wait_reward` at the oldest age; cutting earns `cut_reward` there, 1 before, and
    nothing at age 0. As the example of Chadès et al. (2014), MDPtoolbox.
    """
    if ages < 2:
        raise EntraxError(f"A forest needs at least 2 ages, not {ages}.")
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
    **options: Unpack[Options],
) -> FiniteMDP:
    """Stock is ordered each month before a random demand: state s is the stock, action a the units ordered, a ≤ M − s.

    `demand[d]` is the probability that d units are asked for; what is not in stock is not sold. A month earns
    price · sold − order_cost [a > 0] − unit_cost · a − holding_cost · (s + a). The defaults are the numbers of
    Puterman (1994), Markov decision processes, section 3.2.
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
    **options: Unpack[Options],
) -> FiniteMDP:
    """States in a row; action 0 steps left and 1 right, the other way with probability `slip`. It never ends.

    A step left off the first state earns `left_reward` and a step right off the last one `right_reward`, by action;
    both stay. With a small left reward it takes patience to be right.
    """
    if length < 1:
        raise EntraxError(f"A chain needs a length of at least 1, not {length}.")
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
    length: int, *, cost: Number = 0.0, exit_rewards: tuple[Number, Number] = (0.0, 0.0), **options: Unpack[Options]
) -> FiniteMDP:
    """States 0 to `length`, of which the first and last are exits; action 0 steps down and 1 up, at `cost` a step.

    Under a uniform prior it is the linearly solvable walk of Todorov (2009), whose passive dynamics go either way;
    with one exit reward of −∞ in the limit, the gambler's ruin. `exit_rewards` are earned on entering 0 and `length`.
    """
    if length < 2:
        raise EntraxError(f"A random walk needs a length of at least 2, not {length}.")
    state = np.repeat(np.arange(1, length), 2)
    action = np.tile([0, 1], length - 1)
    reached = state + 2 * action - 1
    bonus = exit_rewards[0] * (reached == 0) + exit_rewards[1] * (reached == length)
    settled: Options = {"terminal": [0, length], **options}
    return FiniteMDP.from_columns(
        state=state,
        action=action,
        probability=1.0,
        next_state=reached,
        reward=bonus - cost,
        terminated=False,
        states=length + 1,
        **settled,
    )


def safe_or_risky(
    *, win: Number = 2.0, loss: Number = -4.0, chance: Number = 0.5, **options: Unpack[Options]
) -> FiniteMDP:
    """One decision: safe (action 0) earns nothing; risky (action 1) earns `win` with probability `chance`, else `loss`.

    At temperature 1 with the default numbers the variational policy takes the risk with probability .2689, and the
    exact posterior with .7874, because it believes that it will win. After Levine (2018), arXiv:1805.00909, on why
    the posterior is optimistic.
    """
    branches = [(0, 0, 1.0, 0, 0.0, True), (0, 1, chance, 0, win, True), (0, 1, 1 - chance, 0, loss, True)]
    return FiniteMDP.from_transitions(branches, **options)


def pendulum(angles: int = 101, velocities: int = 101, torques: int = 9, **options: Unpack[Options]) -> FiniteMDP:
    """Gymnasium's Pendulum-v1 on a grid: state angle · velocities + velocity, and torques from −2 to 2.

    Angles are −π + 2π i / angles, upright 0, going round; velocities lie evenly from −8 to 8. A step leads to a point
    between four grid points, and with the weights of bilinear interpolation to these, so that the values of the
    problem are interpolated. Episodes begin at any angle, with a velocity of at most 1 as nearly as the grid has it.
    Source: Munos and Moore (2002), Variable resolution discretization in optimal control.
    """
    if angles < 3 or velocities < 2 or torques < 2:
        raise EntraxError("A pendulum needs at least 3 angles, 2 velocities and 2 torques.")
    angle, velocity = -np.pi + 2 * np.pi * np.arange(angles) / angles, np.linspace(-8, 8, velocities)
    th, thdot, u = np.meshgrid(angle, velocity, np.linspace(-2, 2, torques), indexing="ij")
    reward = -(th**2 + 0.1 * thdot**2 + 0.001 * u**2)
    thdot = np.clip(thdot + (15 * np.sin(th) + 3 * u) * 0.05, -8, 8)
    successor, probability = interpolated(th + 0.05 * thdot, thdot, angles, velocities)
    states = angles * velocities
    slow = np.abs(velocity) <= max(1.0, np.abs(velocity).min())
    start: Options = {"initial": np.tile(slow / (slow.sum() * angles), angles)}
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
    """The four grid points about each point, the angle going round, and their weights."""
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
