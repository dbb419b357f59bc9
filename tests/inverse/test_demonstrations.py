"""Demonstrations: what is refused, and sampling by enumeration."""

from dataclasses import replace

import numpy as np
import pytest

from entrax.errors import UsageError
from entrax.exact import plan
from entrax.inverse import Demonstrations, demonstrate
from entrax.problems import FiniteMDP, garnet


def toy(**options):
    """0 → 1 (or stays, half the time) by action 0; 1 → end state 2 by either action; action 1 of state 0 ends."""
    rows = [(0, 0, 0.5, 1, 0.0, False), (0, 0, 0.5, 0, 0.0, False), (0, 1, 1.0, 2, 0.0, True)]
    rows += [(1, 0, 1.0, 2, 0.0, False), (1, 1, 1.0, 2, 0.0, False)]
    return FiniteMDP.from_transitions(rows, **{"terminal": [2], "states": 3, "initial": 0, **options})


@pytest.mark.parametrize(
    ("trajectory", "words"),
    [
        (([0, 1, 2], [0, 1]), None),
        (([0, 1], [0, 1]), None),
        (([0, 3], [1]), None),
        (([0, 2], [1]), None),  # the state that Gymnasium returns with `terminated`
        (([0, 7], [0]), "decision 0 has next state 7; the problem has states 0 to 3"),
        (([5, 1], [0]), "decision 0 has state 5; the problem has states 0 to 2"),
        (([-1, 1], [0]), "decision 0 has state -1"),
        (([0, 1, 2], [0, 2]), "decision 1 has action 2; the problem has actions 0 to 1"),
        (([2, 2], [0]), "acts in state 2, in which the episode is over"),
        (([0, 2], [0]), "from state 0 by action 0 to state 2, which has probability 0"),
        (([1, 0], [0]), "probability 0"),
    ],
)
def test_impossible_demonstrations_are_named(trajectory, words):
    demos = Demonstrations.from_trajectories([([0, 1, 2], [0, 0]), trajectory])
    if words is None:
        demos.check(toy())
        return
    with pytest.raises(UsageError, match=f"Trajectory 1.*{words}"):
        demos.check(toy())


@pytest.mark.parametrize(
    "options",
    [
        {"mask": [[True, False], [True, True], [True, True]]},
        {"prior": [[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]]},
    ],
)
def test_excluded_actions_are_named(options):
    demos = Demonstrations.from_trajectories([([0, 2], [1])])
    with pytest.raises(UsageError, match=r"takes action 1 in state 0.*mask.*prior.*-inf"):
        demos.check(toy(**options))
    forbidden = toy()
    reward = np.array(forbidden.reward)
    reward[0, 1] = -np.inf
    with pytest.raises(UsageError, match="takes action 1 in state 0"):
        demos.check(replace(forbidden, reward=reward))


def test_trajectories_longer_than_the_horizon_are_refused():
    with pytest.raises(UsageError, match=r"at most 1 decisions.*it has 2"):
        Demonstrations.from_trajectories([([0, 1, 2], [0, 0])]).check(toy(horizon=1))


@pytest.mark.parametrize(
    ("trajectories", "weight", "words"),
    [
        ([], None, "at least one trajectory"),
        ([([0], [])], None, "Trajectory 0 must have at least one action"),
        ([([0, 1, 2, 2], [0])], None, "4 states and 1 actions"),
        ([([0.5, 1], [0])], None, "`states` of trajectory 0 must be a list of whole numbers"),
        ([([0, 1], ["up"])], None, "`actions` of trajectory 0"),
        ([([0, [1]], [0])], None, "`states` of trajectory 0"),
        ([([0, 1], [0])], [0.0], "`weight` of trajectory 0 must be finite and above 0"),
        ([([0, 1], [0])], [1.0, 1.0], "`weight` must have 1 numbers"),
    ],
)
def test_malformed_trajectories_are_refused(trajectories, weight, words):
    with pytest.raises(UsageError, match=words):
        Demonstrations.from_trajectories(trajectories, weight)


def test_trajectories_come_back():
    given = [([0, 1, 2], [0, 1]), ([0, 0], [0, 0]), ([1], [1])]
    back = Demonstrations.from_trajectories(given).trajectories()
    assert [(s.tolist(), a.tolist()) for s, a in back] == given


def test_sampled_episodes_have_the_probabilities_of_the_problem():
    """From state 0, action 0 with ½: the share that ends by action 1, and the mean length, within 4 errors."""
    mdp, count = toy(), 20_000
    policy = np.full((3, 2), 0.5)
    demos = demonstrate(mdp, policy, count, seed=0)
    demos.check(mdp)
    first = demos.first
    assert abs(np.mean(demos.action[first]) - 0.5) < 4 * 0.5 / count**0.5
    # E length = 1 + ½ (½ · 1 + ½ E length), so 5/3
    length = demos.lengths
    assert abs(length.mean() - 5 / 3) < 4 * length.std() / count**0.5
    assert demonstrate(mdp, policy, 3, seed=0, steps=1).lengths.tolist() == [1, 1, 1]


def test_a_policy_over_time_is_followed():
    mdp = garnet(5, 2, 2, seed=0, horizon=4)
    policy = np.zeros((4, 5, 2))
    for t, action in enumerate((0, 1, 1, 0)):
        policy[t, :, action] = 1.0
    assert demonstrate(mdp, policy, 2, seed=1).action.tolist() == [0, 1, 1, 0] * 2
    assert demonstrate(mdp, plan(mdp, 1.0).policy, 2, seed=1).lengths.tolist() == [4, 4]
    with pytest.raises(UsageError, match="shape"):
        demonstrate(mdp, np.zeros((2, 2)), 1, seed=0)
    with pytest.raises(UsageError, match="at least 1"):
        demonstrate(mdp, policy, 0, seed=0)
    with pytest.raises(UsageError, match="start in a terminal state"):
        demonstrate(toy(initial=[0.5, 0.0, 0.5]), np.full((3, 2), 0.5), 1, seed=0)
