"""The temperature's limit and ties: small problems, and numbers that refute."""

import jax
import numpy as np
import pytest

from entrax.problems import garnet
from entrax.studies import temperature_limit, ties


@pytest.fixture(scope="module")
def limit():
    with jax.enable_x64(True):
        temperatures = np.array([1.0, 0.1, 1e-3])
        problem = temperature_limit.along(garnet(6, 3, 3, seed=1, discount=0.9), temperatures)
    return {"temperatures": temperatures, "problems": {"random 1": problem}}


def test_the_temperature_limit_is_supported_by_a_random_problem(limit):
    assert temperature_limit.judge(limit) == "supported"
    result = limit["problems"]["random 1"]
    assert result["value_gap"][0] > 0.5
    assert result["loss"][0] > 0.01 > result["loss"][-1]


@pytest.mark.parametrize(
    ("name", "place", "value", "verdict"),
    [
        ("policy_difference", 1, 0.1, "refuted"),
        ("policy_difference", 1, 1e-5, "undecided"),
        ("value_gap", 0, 1e3, "refuted"),  # above its bound
        ("value_gap", 0, 1e-6, "refuted"),  # rises as the temperature falls
        ("least_gap", 1, -0.1, "refuted"),
        ("loss", -1, 0.5, "undecided"),
    ],
)
def test_the_temperature_limit_can_fail(limit, name, place, value, verdict):
    changed = np.array(limit["problems"]["random 1"][name], float)
    changed[place] = value
    problem = limit["problems"]["random 1"] | {name: changed}
    assert temperature_limit.judge({"problems": {"random 1": problem}}) == verdict


def test_ties_share_and_advantages_multiply_the_odds(x64):
    optimise = jax.jit(jax.value_and_grad(ties._loss))
    rows = [
        ties.odds(ties.copied(3, advantage), 1.0, 3, optimise) | {"alpha": 1.0, "advantage": advantage}
        for advantage in (0.0, 1.0)
    ]
    assert ties.judge({"rows": rows}) == "supported"
    assert set(rows[0]["hard_share"]) == {0.5}
    assert set(rows[1]["hard_share"]) == {1.0}
    off = [rows[0] | {"ascended": np.full(ties.STATES, 0.05)}]
    assert ties.judge({"rows": off}) == "undecided"
    assert ties.judge({"rows": [off[0] | {"planned": np.full(ties.STATES, -0.2)}]}) == "refuted"
