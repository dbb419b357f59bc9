"""The soft and the hard optimum between two passages, on a grid: the positive control of two studies.

The point is taken without momentum: in a step of 0.1 s an action a moves it by 0.2 u, u = a / max(1, |a|), its distance
at top speed. Places lie on a grid of 0.1, and a place between grid points is one of the four around it with the
probabilities of bilinear interpolation, so that the mean move is exact. Walls, goal and reward are those of
`entrax/TwoPassage-v0`. Actions are the midpoints of N × N equal cells of the unit box, each with an area of 4/N², so
that soft values are those of a density over the box, as in `soft-q`:

    Q(s, a) = r(s, a) + γ Σ_s' p(s'|s, a) V(s'),    V(s) = α log Σ_a (4/N²) exp(Q(s, a)/α)

or V(s) = max_a Q(s, a) at temperature 0, by value iteration. `entrax.exact.plan` gives the same values (a test compares
them), and takes half a minute to compile where these few lines take a second.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from entrax.environments import maze
from entrax.environments.point import DT, RADIUS, TOP_SPEED

CELL = 0.1
ACTIONS = 7  # along each axis
STEPS = 400
"""The steps of an episode."""
BESIDE = (0.1, 0.0)
"""The start of positive controls: a standard deviation of the starts off the middle."""
TOLERANCE = 1e-6  # of the values, which are up to 100


class Maze(NamedTuple):
    """Free places, and the probabilities of their successors and the reward for each action.

    `successor` is the number of places where the goal is reached.
    """

    places: Float[np.ndarray, "place 2"]
    successor: Int[np.ndarray, "place action 4"]
    probability: Float[np.ndarray, "place action 4"]
    reward: Float[np.ndarray, "place action"]


class PassageUse(NamedTuple):
    """The shares of episodes that first enter the left and the right passage, and that reach the goal in time."""

    left: float
    right: float
    arrived: float

    @property
    def lesser(self) -> float:
        """The less used passage's share of the episodes that enter one."""
        return min(self.left, self.right) / (self.left + self.right)


def free_points() -> tuple[Float[np.ndarray, "x y 2"], Bool[np.ndarray, "x y"]]:
    """Return grid points, symmetric about the middle, and which ones the walls leave free for the point's body."""
    half = int((maze.HIGH[0] - RADIUS) / CELL + 1e-9)
    x = CELL * np.arange(-half, half + 1)
    y = np.arange(maze.LOW[1] + RADIUS, maze.HIGH[1] - RADIUS + 1e-9, CELL)
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    inside = np.zeros(points.shape[:2], bool)
    for low, high in maze.WALLS:
        inside |= np.all((points > low - RADIUS + 1e-9) & (points < high + RADIUS - 1e-9), axis=-1)
    return points, ~inside


def make_maze() -> Maze:
    """Return the problem on the grid, with both passages open."""
    points, free = free_points()
    places, number = points[free], np.where(free, np.cumsum(free).reshape(free.shape) - 1, -1)
    steps = (np.arange(ACTIONS) + 0.5) * 2.0 / ACTIONS - 1.0
    actions = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    moves = TOP_SPEED * DT / CELL * actions / np.maximum(np.linalg.norm(actions, axis=1, keepdims=True), 1.0)
    target = np.clip((places[:, None] - points[0, 0]) / CELL + moves, 0.0, np.array(free.shape) - 1.0)
    corner = np.minimum(np.floor(target), np.array(free.shape) - 2.0).astype(int)
    part = target - corner
    successors, weights = [], []
    for dx, dy in ((0, 0), (0, 1), (1, 0), (1, 1)):
        reached = number[corner[..., 0] + dx, corner[..., 1] + dy]
        successors.append(np.where(reached < 0, np.arange(len(places))[:, None], reached))  # a wall stops the move
        weights.append(np.abs(1 - dx - part[..., 0]) * np.abs(1 - dy - part[..., 1]))
    successor, probability = np.stack(successors, axis=-1), np.stack(weights, axis=-1)
    after = places[successor]
    unseen, before = np.zeros_like(after), np.broadcast_to(places[:, None, None], after.shape)
    gain, arrived = maze.progress(before, unseen, after, unseen)
    return Maze(
        places=places,
        successor=np.where(arrived, len(places), successor),
        probability=probability,
        reward=np.sum(probability * (gain / DT + maze.BONUS * arrived), axis=-1),
    )


def solve(
    problem: Maze, temperature: float, discount: float
) -> tuple[Float[np.ndarray, " place"], Float[np.ndarray, "place action"]]:
    """Return the optimal value, soft at a positive temperature and hard at 0, and the optimal policy."""
    value, change = np.zeros(len(problem.places)), np.inf
    q = problem.reward
    while change > TOLERANCE:
        later = np.append(value, 0.0)[problem.successor]
        q = problem.reward + discount * np.einsum("paj,paj->pa", problem.probability, later)
        new = top = q.max(axis=1)
        if temperature > 0.0:
            mean = np.mean(np.exp((q - top[:, None]) / temperature), axis=1)
            new = top + temperature * np.log(4.0 * mean)
        value, change = new, float(np.abs(new - value).max())
    if temperature == 0.0:
        return value, np.eye(q.shape[1])[np.argmax(q, axis=1)]
    weight = np.exp((q - q.max(axis=1, keepdims=True)) / temperature)
    return value, weight / weight.sum(axis=1, keepdims=True)


def use_of_passages(temperature: float, discount: float, start: tuple[float, float]) -> PassageUse:
    """Return which passage the optimum enters first from a start, and whether it arrives.

    Args:
        temperature: α; the optimum is hard at 0.
        discount: γ.
        start: a place; the nearest grid point is taken.
    """
    problem = make_maze()
    _, policy = solve(problem, temperature, discount)
    places, count, moves = problem.places, len(problem.places), transitions(problem, policy)
    within = (places[:, 1] >= maze.NOTICE) & (places[:, 1] < maze.EXIT)
    side = np.append(np.where(within, np.sign(places[:, 0]), 0.0), 0.0)
    share = np.zeros((3, count + 1))  # of episodes that entered no passage yet, the left one, the right one
    share[0, np.argmin(np.sum((places - np.array(start)) ** 2, axis=1))] = 1.0
    for _ in range(STEPS):
        share = share @ moves
        for row, sign in ((1, -1.0), (2, 1.0)):
            share[row] += np.where(side == sign, share[0], 0.0)
        share[0] = np.where(side == 0.0, share[0], 0.0)
    _, left, right = (float(each) for each in share.sum(axis=1))
    return PassageUse(left=left, right=right, arrived=float(share[:, count].sum()))


def transitions(problem: Maze, policy: Float[np.ndarray, "place action"]) -> Any:
    """Return the policy's sparse matrix of transitions; its last place is the goal, which is not left."""
    from scipy.sparse import csr_array  # takes a second to import

    count = len(policy)
    flow = policy[:, :, None] * problem.probability
    places = np.broadcast_to(np.arange(count)[:, None, None], flow.shape)
    rows, columns = np.append(places.ravel(), count), np.append(problem.successor.ravel(), count)
    return csr_array((np.append(flow.ravel(), 1.0), (rows, columns)), shape=(count + 1, count + 1))
