"""Two small problems on which fitted Q-iteration goes wrong, and in closed form how.

**A wrong limit without realisability** (`wrong_limit`). Two states look alike. In the first, action 0 pays 1 and ends,
action 1 pays 0 and leads to the second, where both actions pay 2 and end. With γ = 0.9 the first state has Q* = (1,
1.8): action 1. A table by observation could say so: the least-squares fit to Q* on n transitions of the first state
for one of the second has Q(1) = (1.8 n + 2)/(n + 1), more than Q(0) = (n + 2)/(n + 1). But the fixed point of fitted
Q-iteration has

    Q(0) = (n + 2)/(n + 1),   Q(1) = (γ n max(Q(0), Q(1)) + 2)/(n + 1)                                       (1)

for n = 9 (1.1, 1.091): action 0, which earns 1 where 1.8 can be had. More data or iterations change nothing.

**Divergence where the truth is realisable** (`divergence`) [after Tsitsiklis and Van Roy 1996]. Two states, seen as the
numbers 1 and 2, one action, and a linear Q = w · obs. Both lead to the second; the rewards 1 − 2γ and 2 − 2γ make w = 1
exactly right. Least squares on one transition of each gives

    w_{k+1} − 1 = (6γ/5) (w_k − 1)                                                                           (2)

which runs away from the truth when γ > 5/6, at the rate 6γ/5.
"""

from typing import NamedTuple

import numpy as np

from entrax.errors import UsageError
from entrax.problems.finite import FiniteMDP
from entrax.spec import Transition
from entrax.tabular.fitted import Encode


class CounterExample(NamedTuple):
    """A problem, a data set with all of its transitions, and the regressor's inputs on which it goes wrong."""

    mdp: FiniteMDP
    data: Transition
    encode: Encode


def wrong_limit(samples: int = 9, discount: float = 0.9) -> CounterExample:
    """The first example, with `samples` = n transitions of each action in the first state, one in the second."""
    if samples < 1:
        raise UsageError(f"The example needs at least one transition of the first state, not {samples}.")
    rows = [(0, 0, 1.0, 0, True)] * samples + [(0, 1, 0.0, 1, False)] * samples
    rows += [(1, 0, 2.0, 0, True), (1, 1, 2.0, 0, True)]
    mdp = FiniteMDP.from_transitions(
        [(0, 0, 1, 0, 1.0, True), (0, 1, 1, 1, 0.0, False), (1, 0, 1, 0, 2.0, True), (1, 1, 1, 0, 2.0, True)],
        initial=0,
        discount=discount,
    )
    return CounterExample(mdp, _data(rows), lambda obs, action: np.eye(2)[action])


def divergence(discount: float = 0.95) -> CounterExample:
    """The second example."""
    first, second = 1 - 2 * discount, 2 - 2 * discount
    mdp = FiniteMDP.from_transitions(
        [(0, 0, 1, 1, first, False), (1, 0, 1, 1, second, False)], initial=0, discount=discount
    )
    data = _data([(0, 0, first, 1, False), (1, 0, second, 1, False)])
    return CounterExample(mdp, data, lambda obs, action: np.asarray(obs, float)[:, None] + 1)


def _data(rows: list[tuple[int, int, float, int, bool]]) -> Transition:
    state, action, reward, next_state, terminated = map(np.array, zip(*rows, strict=True))
    truncated = np.zeros(len(rows), bool)
    return Transition(state, action, reward, next_state, terminated, truncated)
