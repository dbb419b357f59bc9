"""Lucky demonstrations: enumerated trajectories, the control, and numbers that refute."""

from dataclasses import replace

import numpy as np
import pytest

from entrax.exact import evaluate, plan
from entrax.studies import lucky_demonstrations as study


def test_all_trajectories_have_the_visits_of_the_policy(x64):
    mdp, phi, planted = study.problem(3, 0.2)
    true = replace(mdp, reward=phi @ planted)
    policy = np.asarray(plan(true, 1.0, convention="kl").policy)
    demos = study.all_trajectories(mdp, policy)
    assert demos.weight.sum() == pytest.approx(1.0)
    assert len(demos.weight) == 4 * 4**3
    visits = np.zeros(policy.shape)
    np.add.at(visits, (demos.time, demos.state, demos.action), demos.weight[demos.trajectory])
    np.testing.assert_allclose(visits, evaluate(true, policy).visits, atol=1e-12)


def test_the_models_agree_without_luck_and_only_the_causal_one_is_right_with_it(x64):
    certain, lucky = (study.infer(11, chance) for chance in (0.0, 0.5))
    assert max(certain["causal_error"], certain["not_causal_error"], lucky["causal_error"]) < study.CLOSE
    assert lucky["not_causal_error"] > study.FAR
    assert lucky["causal_loss"] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(lucky["causal_policy"], lucky["policy"], atol=1e-6)


def test_the_control_is_seen(x64):
    result = study.control()
    assert result.seen
    assert result.numbers["lucky"][0] == pytest.approx(2.0, abs=1e-6)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "supported"),
        ({"causal_error": 0.01}, "refuted"),
        ({"causal_error": 1e-4}, "undecided"),
        ({"not_causal_error": 5e-3}, "undecided"),
        ({"not_causal_error": 1e-4}, "refuted"),
    ],
)
def test_the_verdict_can_fail(changed, verdict):
    sure = {"chance": 0.0, "causal_error": 0.0, "not_causal_error": 0.0}
    row = {"chance": 0.5, "causal_error": 0.0, "not_causal_error": 0.3}
    assert study.judge({"rows": [sure, row, row | changed]}) == verdict


def test_without_luck_an_error_of_either_model_refutes():
    sure = {"chance": 0.0, "causal_error": 0.0, "not_causal_error": 0.1}
    row = {"chance": 0.5, "causal_error": 0.0, "not_causal_error": 0.3}
    assert study.judge({"rows": [sure, row]}) == "refuted"
