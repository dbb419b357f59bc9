"""Simple oracles with dictionaries and loops that share no code with the package."""

from collections import defaultdict
from typing import Any

import numpy as np

END = "end"


def branches(mdp):
    """Return {(s, a): {(successor, reward): probability}} of the possible branches."""
    found: dict[Any, dict] = defaultdict(dict)
    for s in range(mdp.states):
        for a in range(mdp.actions):
            for k in range(mdp.successor.shape[2]):
                if mdp.probability[s, a, k] > 0:
                    to = int(mdp.successor[s, a, k])
                    paid = mdp.reward[s, a] if mdp.outcome_reward is None else mdp.outcome_reward[s, a, k]
                    key = (END if to == mdp.states else to, float(paid))
                    assert key not in found[s, a], "branches that agree must be one"
                    found[s, a][key] = float(mdp.probability[s, a, k])
    return dict(found)


def hard_values(mdp, sweeps=3000):
    """Value iteration at temperature 0."""
    value = np.zeros(mdp.states + 1)
    for _ in range(sweeps):
        q = mdp.reward + mdp.discount * (mdp.probability * value[mdp.successor]).sum(-1)
        q = q if mdp.mask is None else np.where(mdp.mask, q, -np.inf)
        value[:-1] = np.where(mdp.terminal, 0, q.max(1))
    return value[:-1]


def random_table(seed):
    """Return a random (transition, reward, options) with zeros, ends, terminal states, masks and a prior."""
    rng = np.random.default_rng(seed)
    states, actions = rng.integers(1, 7), rng.integers(1, 4)
    transition = rng.dirichlet(np.ones(states + 1), (states, actions))
    transition *= rng.random(transition.shape) < 0.5
    transition[..., -1] += transition.sum(-1) == 0
    transition /= transition.sum(-1, keepdims=True)
    mask = rng.random((states, actions)) < 0.7
    mask[np.arange(states), rng.integers(actions, size=states)] = True
    options = {
        "terminal": np.append(rng.random(states - 1) < 0.3, False),
        "initial": rng.dirichlet(np.ones(states)),
        "mask": mask if rng.random() < 0.5 else None,
        "prior": rng.random((states, actions)) + 0.1 if rng.random() < 0.5 else None,
        "discount": float(rng.random()),
        "horizon": int(rng.integers(1, 9)) if rng.random() < 0.5 else None,
    }
    return transition, rng.normal(size=(states, actions)), options


def agree(one, other):
    """Assert that two problems have the same fields, bit for bit."""
    names = ("successor", "probability", "reward", "initial", "terminal", "outcome_reward", "prior", "mask")
    for name in names:
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, err_msg=name)
    assert (one.discount, one.horizon) == (other.discount, other.horizon)
    return True
