"""The quick form of `robustness`: between two passages, the one that a policy prefers is closed at test.

Soft Q-learning learns `entrax/TwoPassage-v0` with both passages open, as in `two-passages`. Its hard twin
continues from it, with its replay, to a low temperature; both explored alike, so that they differ in softness only. TD3
is trained for longer. The return of every way to the goal is about the same, so that agents that reach it match.

Then the passage is closed that a policy takes more often from a start, for each of `STARTS` starts. It looks open from
outside, and no agent has seen a closed one before. The scores are the mean return relative to that with both open, and
the share of episodes that reach the goal. Over all starts a hard policy may take both passages too, like the exact hard
optimum, since the nearer one is the shorter way. From one start it has one path.

The positive control plays the exact soft and hard optimum of the maze on a grid (`entrax.studies.passages_optimum`),
computed with both passages open, with their own preferred passage closed.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from entrax.environments.maze import PLUGS
from entrax.environments.point import RADIUS
from entrax.evaluation.episodes import Act
from entrax.policies.controller import act_in_episodes
from entrax.studies.passages import POINT, SIDES, PassageSetup, at_goal, first_passage, last_places, lesser_share
from entrax.studies.passages_optimum import BESIDE, STEPS, Maze, make_maze, solve, transitions, use_of_passages
from entrax.studies.runs import play
from entrax.training.run import Run

ARMS = {"soft": ("soft", True), "soft, mode": ("soft", False), "twin": ("twin", False), "td3": ("td3", False)}
"""By name, the kind of agent and whether its actions are sampled."""
MATCH = 0.05  # how far a seed's unperturbed return may be from the soft arm's median, relative to it
ATTEMPTS = 4  # runs of TD3 for each seed, of which the first that matches counts
APART = 1_000  # between the seeds of these runs, and between those of two seeds' starts
ROLLOUTS = 50  # with both passages open
STARTS, DRAWS = 5, 12
"""Starts from which the preferred passage is closed, and episodes from each one."""


def run_passages(seeds: range, out: Path, setup: PassageSetup = POINT) -> dict[str, Any]:
    """Measure every arm with both passages open and with its preferred one closed.

    The soft run's last policy is used, and the best checkpoint of the others by the return of the mode.
    """
    arms = {"soft": [measure(setup, setup.trained("soft", seed, out), True, seed) for seed in seeds]}
    reference = float(np.median([each["nominal"] for each in arms["soft"]]))
    arms["soft, mode"] = [measure(setup, setup.trained("soft", seed, out), False, seed) for seed in seeds]
    arms["twin"] = [measure(setup, setup.best("twin", seed, out), False, seed) for seed in seeds]
    arms["td3"] = [first_match(setup, reference, seed, out) for seed in seeds]
    return {
        "form": "passages",
        "reference": reference,
        "arms": {name: described(setup, name) | in_columns(each, reference) for name, each in arms.items()},
    }


def first_match(setup: PassageSetup, reference: float, seed: int, out: Path) -> dict[str, Any]:
    """Measure the first of `ATTEMPTS` runs of TD3 whose unperturbed return matches; the last one if none does."""
    result: dict[str, Any] = {}
    for attempt in range(ATTEMPTS):
        policy = setup.best("td3", seed + APART * attempt, out)
        result = measure(setup, policy, False, seed) | {"attempts": attempt + 1}
        if matches(result["nominal"], reference):
            break
    return result


def matches(nominal: float, reference: float) -> bool:
    """Return whether an unperturbed return is close enough to the reference to be compared."""
    return abs(nominal - reference) <= MATCH * abs(reference)


def described(setup: PassageSetup, arm: str) -> dict[str, Any]:
    """Return the agent of an arm and its settings."""
    kind, sample = ARMS[arm]
    agent, settings = setup.agents["soft" if kind == "twin" else kind]
    after = setup.hard if kind == "twin" else None
    return {"agent": agent, "settings": setup.loop | settings, "after": after, "sampled": sample}


def in_columns(each: list[dict[str, Any]], reference: float) -> dict[str, Any]:
    """Return what was measured by name, a list over seeds, and which seeds match; the first seed's paths only."""
    columns = {name: [one[name] for one in each] for name in each[0] if name != "paths"}
    matched = [matches(one["nominal"], reference) for one in each]
    return columns | {"matched": matched, "paths": each[0]["paths"]}


def measure(setup: PassageSetup, policy: Run, sample: bool, seed: int) -> dict[str, Any]:
    """Measure one policy from the task's starts with both passages open, and from `STARTS` starts with one closed."""
    act = act_in_episodes(policy.controller, sample=sample, seed=seed)
    known = play(act, setup.source("none"), ROLLOUTS, seed=seed)
    draws = DRAWS if sample else 1  # without draws all episodes of a start are the same
    starts = [close_preferred(act, setup, draws, APART * seed + 1 + place) for place in range(STARTS)]
    columns = {name: [each[name] for each in starts] for name in starts[0] if name != "paths"}
    return {
        "nominal": float(known.rewards.sum(axis=1).mean()),
        "nominal_arrived": float(np.mean(at_goal(last_places(known.paths), setup.scale))),
        "lesser": lesser_share(first_passage(known.paths)),
        "kept": float(np.mean(columns["closed_return"]) / np.mean(columns["open_return"])),
        "arrived": float(np.mean(columns["closed_arrived"])),
        "starts": columns,
        "paths": starts[0]["paths"],
    }


def close_preferred(act: Act, setup: PassageSetup, draws: int, seed: int) -> dict[str, Any]:
    """Play from one start with both passages open, then with the one closed that more of the episodes took first."""
    known = play(act, setup.source("none"), draws, seed=seed, same_start=True)
    first = first_passage(known.paths)
    preferred = SIDES[int(np.sum(first) > 0)]
    closed = play(act, setup.source(preferred), draws, seed=seed, same_start=True)
    arrived = at_goal(last_places(closed.paths), setup.scale)
    misled = first_passage(closed.paths) == (1 if preferred == "right" else -1)
    return {
        "preferred": preferred,
        "lesser": lesser_share(first),
        "open_return": float(known.rewards.sum(axis=1).mean()),
        "closed_return": float(closed.rewards.sum(axis=1).mean()),
        "closed_arrived": float(np.mean(arrived)),
        "turned_back": float(np.mean(arrived[misled])) if misled.any() else None,
        "paths": np.round(closed.paths[:, :, :2].astype(float), 3),
    }


def exact_arrival(temperature: float, discount: float) -> dict[str, float]:
    """Return the share of the exact optimum's episodes that reach the goal, and with its preferred passage closed."""
    use = use_of_passages(temperature, discount, BESIDE)
    problem = make_maze()
    _, policy = solve(problem, temperature, discount)
    closed = with_closed(problem, SIDES[int(use.right > use.left)])
    return {"lesser": use.lesser, "open": use.arrived, "closed": arrival(closed, policy)}


def with_closed(problem: Maze, side: str) -> Maze:
    """Return the maze on the grid with the plug of this passage: a move into it does not happen."""
    low, high = PLUGS[SIDES.index(side)]
    places = problem.places
    inside = np.all((places > low - RADIUS + 1e-9) & (places < high + RADIUS - 1e-9), axis=1)
    own = np.arange(len(places))[:, None, None]
    blocked = np.append(inside, False)[problem.successor]
    return problem._replace(successor=np.where(blocked, own, problem.successor))


def arrival(problem: Maze, policy: Float[np.ndarray, "place action"]) -> float:
    """Return the share of episodes from `BESIDE` that reach the goal in time."""
    moves = transitions(problem, policy)
    share = np.zeros(len(policy) + 1)
    share[np.argmin(np.sum((problem.places - np.array(BESIDE)) ** 2, axis=1))] = 1.0
    for _ in range(STEPS):
        share = share @ moves
    return float(share[-1])
