"""The adversary of rewards and dynamics: closed forms, errors that are seen, and numbers that refute."""

import copy

import jax
import numpy as np
import pytest

from entrax.exact import evaluate, plan
from entrax.problems import FiniteMDP, garnet
from entrax.report.study_figures import draw_study
from entrax.studies import dynamics_robustness, reward_robustness
from entrax.studies.controls import one_decision
from entrax.studies.study import conduct


@pytest.fixture(scope="module")
def numbers():
    with jax.enable_x64(True):
        mdp = garnet(6, 3, 3, seed=1, discount=0.9)
        rows = [reward_robustness.changed_rewards(mdp, alpha, 1) for alpha in (0.2, 1.0)]
        return {"rows": rows, "dynamics": [dynamics_robustness.changed_dynamics(1)]}


def test_a_random_problem_supports_the_claim(numbers):
    assert reward_robustness.judge(numbers) == "supported"
    for row in numbers["rows"]:
        policies = row["policies"]
        assert policies["hard"]["nominal"] > policies["soft"]["nominal"]
        assert policies["hard"]["found"] < policies["soft"]["found"] - 0.01
        assert policies["uniform"]["found"] == pytest.approx(policies["uniform"]["nominal"])  # whatever α


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda n: n["rows"][0]["policies"]["drawn"].update(found=0.0), "refuted"),
        (lambda n: n["rows"][0]["policies"]["hard"].update(found=1e3, found_averaged=1e3, formula=1e3), "refuted"),
        (lambda n: n["rows"][0].update(gain=0.1), "refuted"),
        (lambda n: n["rows"][0].update(gain=1e-5), "undecided"),
        (lambda n: n["rows"][1]["policies"]["drawn"].update(constraint=0.1), "refuted"),
        (lambda n: n["dynamics"][0].update(below=0.1), "refuted"),
        (lambda n: n["dynamics"][0].update(better=0.1), "refuted"),
    ],
)
def test_every_part_of_the_claim_can_fail(numbers, change, verdict):
    changed = copy.deepcopy(numbers)
    change(changed)
    assert reward_robustness.judge(changed) == verdict


def test_losses_that_are_not_proportional_to_the_temperature_refute(numbers):
    changed = copy.deepcopy(numbers)
    for key in ("nominal", "found", "found_averaged", "formula"):
        changed["rows"][0]["policies"]["drawn"][key] += 1.0 if key == "nominal" else 0.0
    assert reward_robustness.proportion_error(numbers["rows"]) < 1e-6
    assert reward_robustness.judge(changed) == "refuted"


def test_the_formula_of_another_temperature_is_seen_to_be_wrong(numbers, x64):
    mdp = garnet(6, 3, 3, seed=1, discount=0.9)
    policy = reward_robustness.policies_of(mdp, 1.0, 1)["drawn"]
    found = numbers["rows"][1]["policies"]["drawn"]["found"]
    assert found == pytest.approx(reward_robustness.formula(mdp, policy, 1.0), abs=1e-6)
    assert abs(found - reward_robustness.formula(mdp, policy, 1.1)) > 0.01


def test_rewards_within_the_set_never_go_below_the_worst_case(x64):
    rng, alpha = np.random.default_rng(0), 0.7
    decision, policy = one_decision([0.0, 1.0, 2.0]), np.array([[0.2, 0.5, 0.3]])
    less = rng.normal(scale=2.0, size=(1000, 3))
    less -= alpha * reward_robustness.constraint(less, alpha)[:, None]  # onto the edge
    np.testing.assert_allclose(reward_robustness.constraint(less, alpha), 0.0, atol=1e-12)
    returns = (np.array([0.0, 1.0, 2.0]) - less) @ policy[0]
    worst = reward_robustness.formula(decision, policy, alpha)
    assert returns.min() >= worst
    assert returns.min() < worst + 0.1
    assert reward_robustness.constraint(np.zeros(3), alpha) == pytest.approx(0.0)
    assert less.max() <= alpha * np.log(3.0)  # no action loses more


def test_dynamics_of_the_set_stay_above_the_bound(numbers, x64):
    problem = dynamics_robustness.random_problem(1)
    policy = dynamics_robustness.policies_of(problem, 1)["drawn"]
    rng, own = np.random.default_rng(2), np.log(problem.dynamics).ravel()
    weight = dynamics_robustness.visits_of(problem, policy).sum(axis=(0, 2))
    assert weight.sum() == pytest.approx(dynamics_robustness.HORIZON)
    for size in (0.0, 0.1, 0.5, 1.0):
        z = own + size * rng.normal(size=own.shape)
        room = float(dynamics_robustness._divergence(z, problem.dynamics, weight)[0])
        value = float(dynamics_robustness._return(z, problem.reward, problem.initial, policy)[0])
        assert value >= dynamics_robustness.lower_bound(problem, policy, room)
        if size == 0.0:
            assert room == pytest.approx(0.0, abs=1e-12)
            assert value == pytest.approx(dynamics_robustness.returned(problem, policy))
    rows = [row for row in numbers["dynamics"][0]["rows"] if row["policy"] == "drawn"]
    assert [row["found"] for row in rows] == sorted((row["found"] for row in rows), reverse=True)
    assert rows[-1]["found"] < 0.95 * rows[-1]["nominal"]


@pytest.mark.long
def test_returns_and_optima_are_those_of_the_exact_functions(x64):
    mdp = garnet(6, 3, 3, seed=1, discount=0.9)
    policy = reward_robustness.policies_of(mdp, 1.0, 1)["drawn"]
    found = evaluate(mdp, policy, 0.3, convention="kl")
    assert reward_robustness.formula(mdp, policy, 0.3) == pytest.approx(float(found.expected_return))
    np.testing.assert_allclose(reward_robustness.visits_of(mdp, policy), np.asarray(found.visits).sum(axis=1))
    problem = dynamics_robustness.random_problem(1)
    rewards = dynamics_robustness.pessimistic(problem)
    finite = FiniteMDP.from_dense(problem.dynamics, rewards, initial=problem.initial, horizon=4)
    soft = plan(finite, 1.0)
    np.testing.assert_allclose(dynamics_robustness.optimum(problem, rewards, 1.0), soft.policy, atol=1e-10)
    value = float(np.asarray(soft.value)[0] @ problem.initial)
    bound = dynamics_robustness.lower_bound(problem, np.asarray(soft.policy), 0.0)
    assert bound == pytest.approx(4 * np.exp(value - 4 * np.log(6)))


@pytest.mark.long
def test_the_study_runs_and_is_drawn(tmp_path):
    outcome = conduct(reward_robustness.STUDY, quick=True, seeds=1, out=tmp_path)
    assert outcome.verdict == "supported"
    draw_study(outcome.to_json(), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
