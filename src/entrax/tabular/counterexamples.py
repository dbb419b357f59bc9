"""Two small problems on which fitted Q-iteration fails, with closed forms.

**A wrong limit without realisability** (`wrong_limit`). Two states share an observation. In the first, action 0 earns 1
and ends the episode; action 1 earns 0 and leads to the second state, where both actions earn 2 and end. With γ = 0.9
the first state has Q* = (1, 1.8), so action 1 is optimal. A table by observation can represent this choice: the
least-squares fit to Q* on n transitions of the first state for each one of the second has Q(1) = (1.8 n + 2)/(n + 1) >
Q(0) = (n + 2)/(n + 1). But the fixed point of fitted Q-iteration is

    Q(0) = (n + 2)/(n + 1),   Q(1) = (γ n max(Q(0), Q(1)) + 2)/(n + 1)                                       (1)

For n = 9 it is (1.1, 1.091): action 0, which earns 1 instead of 1.8. More data or iterations do not help.

**Divergence although the truth is realisable** (`divergence`). Two states with observations 1 and 2, one action, and a
linear Q = w · obs. Both states lead to the second; with rewards 1 − 2γ and 2 − 2γ the truth is w = 1. Least squares on
one transition of each state gives

    w_{k+1} − 1 = (6γ/5) (w_k − 1)                                                                           (2)

which diverges if γ > 5/6.

References:
    Tsitsiklis and Van Roy (1996), Feature-based methods for large scale dynamic programming, for a similar example of
        divergence.
"""

from typing import NamedTuple

import numpy as np

from entrax.errors import UsageError
from entrax.problems.finite import FiniteMDP
from entrax.spec import Transition
from entrax.tabular.fitted import Encode


class CounterExample(NamedTuple):
    """A problem on which fitted Q-iteration fails.

    Attributes:
        mdp: the problem.
        data: a data set with all its transitions.
        encode: the regressor's inputs.
    """

    mdp: FiniteMDP
    data: Transition
    encode: Encode


def wrong_limit(samples: int = 9, discount: float = 0.9) -> CounterExample:
    """Build the example of a wrong limit, equation (1).

    Args:
        samples: n, the number of transitions of each action in the first state; the second state has one each.
        discount: γ.

    Raises:
        UsageError: `samples` is below 1.
    """
    if samples < 1:
        raise UsageError(f"`samples` must be at least 1, got {samples}.")
    rows = [(0, 0, 1.0, 0, True)] * samples + [(0, 1, 0.0, 1, False)] * samples
    rows += [(1, 0, 2.0, 0, True), (1, 1, 2.0, 0, True)]
    mdp = FiniteMDP.from_transitions(
        [(0, 0, 1, 0, 1.0, True), (0, 1, 1, 1, 0.0, False), (1, 0, 1, 0, 2.0, True), (1, 1, 1, 0, 2.0, True)],
        initial=0,
        discount=discount,
    )
    return CounterExample(mdp=mdp, data=_data(rows), encode=lambda obs, action: np.eye(2)[action])


def divergence(discount: float = 0.95) -> CounterExample:
    """Build the example of divergence, equation (2), with discount γ."""
    first, second = 1 - 2 * discount, 2 - 2 * discount
    mdp = FiniteMDP.from_transitions(
        [(0, 0, 1, 1, first, False), (1, 0, 1, 1, second, False)], initial=0, discount=discount
    )
    data = _data([(0, 0, first, 1, False), (1, 0, second, 1, False)])
    return CounterExample(mdp=mdp, data=data, encode=lambda obs, action: np.asarray(obs, float)[:, None] + 1)


def _data(rows: list[tuple[int, int, float, int, bool]]) -> Transition:
    state, action, reward, next_state, terminated = map(np.array, zip(*rows, strict=True))
    return Transition(
        obs=state,
        action=action,
        reward=reward,
        next_obs=next_state,
        terminated=terminated,
        truncated=np.zeros(len(rows), bool),
    )
