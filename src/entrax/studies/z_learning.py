"""Z-learning against Q-learning, on classical problems and their linearly solvable form.

Q-learning learns the hard optimum of a maze whose moves may slip. Todorov's embedding gives a linearly solvable problem
in which each of those moves costs the same, and Z-learning learns its desirability. Each learner is compared with its
own optimum, as a share of the mean cost to the goal:

    error = Σ_s |v̂(s) − v(s)| / Σ_s v(s)                                                                   (1)

Z-learning samples the passive dynamics, Q-learning random moves; greedy Z-learning and ε-greedy Q-learning follow what
they have learned. Greedy Z-learning knows the passive dynamics, which its weights require. In mazes without slips,
where Q-learning's targets have no noise, the same learners are measured and not judged.

Source: Todorov (2009), Efficient computation of optimal actions, figure 2; Todorov (2006), Linearly-solvable Markov
decision problems, section 4. The mazes, the measure and the step sizes are our own.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from entrax.exact import linearly_solvable, plan
from entrax.problems import FiniteMDP, Layout, LinearlySolvable
from entrax.problems.layout import GOAL
from entrax.studies.mazes import random_layout
from entrax.studies.power import ControlResult, median_power
from entrax.studies.study import MIN_SEEDS, Numbers, Study, Verdict, decide, summarise_seeds
from entrax.tabular import EpsilonGreedy, StepSize, q_learning, z_learning
from entrax.tabular.simulator import allowed_actions

SIDE, FREE = 10, 80  # cells of a side, and of all that are not walls
SLIPS = {"slips": 0.2, "no slips": 0.0}
TEMPERATURE = 0.5  # in units of the cost of a move; above 1/log 4 = 0.72 wandering would pay
QUICK, FULL = 30_000, 100_000  # transitions
RECORDS = 20
PAIRS = {"z-learning": "q-learning", "greedy z-learning": "greedy q-learning"}
SMALLEST = 1e-7  # stands for errors that 32-bit floats do not resolve
FACTOR = 2.0
"""How much larger Q-learning's error must be in the median maze."""
STEP_SIZES: dict[str, dict[str, StepSize]] = {
    "slips": {
        "z-learning": StepSize(power=1.0, offset=10.0),
        "greedy z-learning": StepSize(power=0.75, offset=100.0),
        "q-learning": StepSize(power=1.0, offset=10.0),
        "greedy q-learning": StepSize(power=1.0, offset=10.0),
    },
    "no slips": {
        "z-learning": StepSize(power=1.0, offset=10.0),
        "greedy z-learning": StepSize(power=0.75, offset=100.0),
        "q-learning": StepSize(power=0.5, offset=100.0),
        "greedy q-learning": StepSize(power=0.5, offset=100.0),
    },
}
"""The best of `CANDIDATES` for each learner on `TUNING_SEEDS`, which are never judged."""
CANDIDATES = (*((power, offset) for power in (0.5, 0.75, 1.0) for offset in (1.0, 10.0, 100.0)), (0.0, 1.0))
TUNING_SEEDS = range(1000, 1004)

Course = Float[np.ndarray, " record"]


class Maze(NamedTuple):
    """A classical problem, its embedding, and the optimal costs of both."""

    classical: FiniteMDP
    embedded: LinearlySolvable
    hard: Float[np.ndarray, " state"]
    value: Float[np.ndarray, " state"]

    @property
    def live(self) -> Bool[np.ndarray, " state"]:
        """The cells except the goal."""
        return ~np.asarray(self.classical.terminal)


def make_maze(seed: int, slip: float) -> Maze:
    """Build a random maze in which every cell can reach the goal."""
    classical = moves_between_cells(random_layout(seed, SIDE, FREE), slip)
    embedded = LinearlySolvable.embed(classical, TEMPERATURE)
    with jax.enable_x64(True):
        hard = -np.asarray(plan(classical, 0.0).value)
    value = linearly_solvable(embedded, TEMPERATURE).value
    return Maze(classical=classical, embedded=embedded, hard=hard, value=value)


def moves_between_cells(layout: Layout, slip: float) -> FiniteMDP:
    """Return the problem with one move of cost 1 to each free neighbour; a slip leads to a random neighbour.

    There is no move into walls: the outcomes of the moves of a cell are linearly independent, as `embed` requires.
    """
    steps = np.stack([layout.step(move) for move in layout.moves], axis=1)
    goal = layout.where(GOAL)
    rows = []
    for cell in np.flatnonzero(~goal):
        neighbours = steps[cell][steps[cell] != cell]
        for move, aim in enumerate(neighbours):
            for there in neighbours:
                chance = (1 - slip) * (there == aim) + slip / len(neighbours)
                rows.append((int(cell), move, chance, int(there), -1.0, False))
    rows = [row for row in rows if row[2] > 0]
    return FiniteMDP.from_transitions(rows, states=len(goal), actions=len(layout.moves), terminal=goal)


def learners(maze: Maze, steps: int, key: Any) -> dict[str, Callable[[StepSize], Course]]:
    """Return functions from a step size to the error (1) along training."""
    recorded = {"steps": steps, "key": key, "records": RECORDS}
    allowed = allowed_actions(maze.classical)

    def error(cost: Float[np.ndarray, "record state"], truth: Float[np.ndarray, " state"]) -> Course:
        apart = np.abs(cost - truth)[:, maze.live].mean(axis=1)
        return np.asarray(apart / truth[maze.live].mean(), float)

    def z(step_size: StepSize, share: float) -> Course:
        result = z_learning(maze.embedded, TEMPERATURE, passive_share=share, step_size=step_size, **recorded)
        return error(-TEMPERATURE * np.asarray(result.history, float), maze.value)

    def q(step_size: StepSize, epsilon: float) -> Course:
        result = q_learning(maze.classical, behaviour=EpsilonGreedy(epsilon), step_size=step_size, **recorded)
        best = np.max(np.asarray(result.history, float), axis=2, where=allowed, initial=-np.inf)
        return error(-best, maze.hard)

    return {
        "z-learning": lambda step_size: z(step_size, 1.0),
        "greedy z-learning": lambda step_size: z(step_size, 0.0),
        "q-learning": lambda step_size: q(step_size, 1.0),
        "greedy q-learning": lambda step_size: q(step_size, 0.1),
    }


def tune(steps: int = FULL) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean final error of every candidate on the tuning seeds, by slips and learner."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name, slip in SLIPS.items():
        result[name] = {}
        runs = [learners(make_maze(seed, slip), steps, jax.random.key(seed)) for seed in TUNING_SEEDS]
        for learner in runs[0]:
            result[name][learner] = {
                f"{power:g}, {offset:g}": float(
                    np.mean([run[learner](StepSize(power=power, offset=offset))[-1] for run in runs])
                )
                for power, offset in CANDIDATES
            }
    return result


def run(quick: bool, seeds: range, out: Path) -> dict[str, Any]:
    """Train every learner in the maze of each seed, with and without slips."""
    steps = QUICK if quick else FULL
    errors = {name: measure(slip, STEP_SIZES[name], seeds, steps) for name, slip in SLIPS.items()}
    transitions = np.arange(1, RECORDS + 1) * steps / RECORDS
    return {"transitions": transitions, "errors": errors, "ratios": ratios(errors["slips"])}


def measure(slip: float, sizes: Mapping[str, StepSize], seeds: range, steps: int) -> dict[str, Any]:
    """Return the errors along training, by learner and seed."""
    runs = [learners(make_maze(seed, slip), steps, jax.random.key(seed)) for seed in seeds]
    return {name: [run[name](size) for run in runs] for name, size in sizes.items()}


def ratios(errors: Mapping[str, Any]) -> dict[str, Any]:
    """Return by how much Q-learning's final error is larger, for each pair and seed."""
    final = {name: np.maximum(np.asarray(courses, float)[:, -1], SMALLEST) for name, courses in errors.items()}
    return {ours: summarise_seeds(final[theirs] / final[ours]) for ours, theirs in PAIRS.items()}


def judge(numbers: Numbers) -> Verdict:
    """Apply the criterion of `STUDY`."""
    pairs = ratios(numbers["errors"]["slips"]).values()
    enough = all(len(each["values"]) >= MIN_SEEDS for each in pairs)
    least = min(each["median"] for each in pairs)
    return decide(supported=enough and least >= FACTOR, refuted=enough and least <= 1.0)


def control() -> ControlResult:
    """Judge made-up errors with known ratios, and let Z-learning and Q-learning solve a corridor of three cells."""
    verdicts = {}
    for name, factor in (("larger", 3.0), ("smaller", 0.8), ("between", 1.5)):
        spread = np.exp(np.random.default_rng(0).normal(scale=0.2, size=(4, 21, 1)))
        spread /= np.median(spread, axis=1, keepdims=True)
        scale = {"z-learning": 0.01, "greedy z-learning": 0.001}
        made_up = {each: scale[each] * np.ones((21, 1)) for each in PAIRS}
        made_up |= {PAIRS[each]: factor * made_up[each] * spread[i] for i, each in enumerate(PAIRS)}
        verdicts[name] = judge({"errors": {"slips": made_up}})
    classical = moves_between_cells(Layout.parse("..G"), 0.0)
    embedded = LinearlySolvable.embed(classical, TEMPERATURE)
    value = linearly_solvable(embedded, TEMPERATURE).value
    maze = Maze(classical=classical, embedded=embedded, hard=np.array([2.0, 1.0, 0.0]), value=value)
    corridor = {name: run(StepSize())[-1] for name, run in learners(maze, 20_000, jax.random.key(0)).items()}
    seen = verdicts == {"larger": "supported", "smaller": "refuted", "between": "undecided"}
    return ControlResult(
        seen=seen and max(corridor.values()) < 0.05,
        numbers={"verdicts": verdicts, "corridor": {name: float(each) for name, each in corridor.items()}},
    )


STUDY = Study(
    name="z-learning",
    claim="If moves slip, Z-learning comes nearer to its optimum than Q-learning from as many samples, greedy or not.",
    criterion=(
        "Errors are mean absolute errors of the cost to the goal, relative to its mean, after the last transition, in "
        f"random mazes with slips. Supported if in the median maze Q-learning's error is at least {FACTOR:g} times "
        "Z-learning's, both under random moves and where both follow what they have learned. Refuted if for one of "
        "the two pairs it is no larger than Z-learning's."
    ),
    look=(
        "Left: the error over transitions where moves may slip; the lines of Z-learning must end below those of "
        "Q-learning in the same style. Middle: the same without slips, where Q-learning has no noise to average, and "
        "Z-learning still has that of the passive dynamics. Right, which decides: by how much Q-learning's final error "
        "is larger, maze by maze."
    ),
    run=run,
    judge=judge,
    power=median_power(
        effect=f"Q-learning's final error is at least {FACTOR:g} times Z-learning's, greedy or not.",
        case=(
            "made-up errors three, 0.8 and 1.5 times as large are judged supported, refuted and "
            "undecided, and all learners solve a corridor of three cells"
        ),
        control=control,
    ),
    seeds=20,
    exact=False,
)
