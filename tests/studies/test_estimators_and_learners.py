"""The studies of estimators, learners and games: their numbers at small sizes, and numbers that refute."""

import copy
from pathlib import Path

import jax
import numpy as np
import pytest

from entrax.problems import garnet, random_walk
from entrax.studies import (
    certainty_equivalence,
    entropy_collapse,
    policy_gradient_is_soft_q,
    stochastic_needed,
    variance,
)
from entrax.tabular import sample_transitions

DISCOUNT = policy_gradient_is_soft_q.DISCOUNT


def changed(numbers, value, *path):
    """The numbers with one of them replaced."""
    numbers = copy.deepcopy(numbers)
    place = numbers
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return numbers


def test_the_gradients_are_one_on_policy_and_off(x64):
    study = policy_gradient_is_soft_q
    start = study.at_random(garnet(8, 3, 3, seed=4, discount=DISCOUNT), 4)
    numbers = {"at_random": [start], "training": [{"on_policy": [start["on_policy"]], "off_policy": []}]}
    assert study.judge(numbers) == "supported"
    assert min(start["off_policy"][term] for term in ("soft_q", "policy_term", "value_term")) > 0.01
    for path in (("gradient_error",), ("off_policy", "identity_error"), ("on_policy", "target_difference")):
        assert study.judge(changed(numbers, 1e-3, "at_random", 0, *path)) == "refuted"
    assert study.judge(changed(numbers, 0.0, "at_random", 0, "off_policy", "target_difference")) == "undecided"


def test_estimators_agree_in_the_mean_and_differ_in_variance(x64, monkeypatch):
    monkeypatch.setattr(variance, "STEPS", 3)
    numbers = variance.run(True, range(3), Path())
    assert max(max(errors) for errors in numbers["mean_error"].values()) < variance.EXACT
    assert max(each["errors"] for each in numbers["sampled"].values()) < variance.ERRORS
    for name in ("whole", "causal", "advantage"):
        sampled, exact = numbers["sampled"][name]["variance"], numbers["variance"][name][0]
        assert sampled == pytest.approx(exact, rel=0.25)  # 500 batches
    assert variance.judge(numbers) == "undecided"  # three problems have no median to speak of
    several = changed(numbers, [1.0] * 4, "variance", "whole")
    for median, verdict in ((0.5, "supported"), (1.5, "refuted")):
        for low, high in variance.SHOULD:
            several = changed(several, median, "ratios", f"{low} / {high}", "median")
        assert variance.judge(several) == verdict
    assert variance.judge(changed(numbers, [0.1], "mean_error", "causal")) == "refuted"
    assert variance.judge(changed(numbers, [1.1], "ratios", "advantage / causal, value", "values")) == "refuted"
    assert variance.judge(changed(numbers, 9.0, "sampled", "causal", "errors")) == "undecided"


def test_batch_td_is_the_certainty_equivalent(x64):
    study = certainty_equivalence
    mdp = random_walk(study.WALK, exit_rewards=(0.0, 1.0), discount=study.DISCOUNT)
    policy = np.full(mdp.reward.shape, 0.5)
    data = sample_transitions(mdp, policy, steps=200, key=jax.random.key(0))
    result = study.distances(study.whole_episodes(data, 200), mdp, np.zeros(mdp.states))
    row = {name: {"values": [value], "median": value} for name, value in result.items()}
    assert study.judge({"rows": [row]}) == "supported"
    assert result["td_error"] > 0.5
    assert study.judge(changed({"rows": [row]}, [0.1], "rows", 0, "td_to_model", "values")) == "refuted"
    assert study.judge(changed({"rows": [row]}, 0.0, "rows", 0, "monte_carlo_to_model", "median")) == "undecided"


def test_what_is_predictable_is_exploited_and_even_odds_are_best(x64):
    study = stochastic_needed
    numbers = {"game": study.game(20_000, range(2)), "gridworld": study.gridworld(5_000, range(2))}
    assert numbers["game"]["cycle"] == pytest.approx(1.0)
    assert len(numbers["gridworld"]["deterministic"]) == 256
    assert study.judge(changed(numbers, [0.01], "game", "soft", "values")) == "supported"
    # From the five cells at even odds it takes 5, 4, 1, 4, 5 steps; discounting makes them cost a little less.
    assert -3.8 < max(numbers["gridworld"]["stochastic"]) < -3.6
    assert study.judge(changed(numbers, [0.0], "gridworld", "deterministic")) == "refuted"
    assert study.judge(changed(numbers, [2.0], "game", "soft", "values")) == "refuted"
    assert study.judge(changed(numbers, [0.1], "game", "soft", "values")) == "undecided"


def test_the_entropy_term_is_judged_by_paired_starts(x64, monkeypatch):
    study = entropy_collapse
    monkeypatch.setattr(study, "RECORDS", 4)
    monkeypatch.setattr(study, "LENGTH", 3)
    monkeypatch.setattr(study, "TEMPERATURES", (0.1,))
    numbers = study.run(True, range(20), Path())
    hard, soft = numbers["rows"]
    assert hard["more_reached"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert soft["entropy"]["median"][0] == hard["entropy"]["median"][0]
    assert soft["entropy"]["median"][1] > hard["entropy"]["median"][1]
    decided = changed(numbers, {"low": 0.1, "high": 0.2}, "rows", 1, "more_reached")
    decided = changed(decided, {"low": 2.0, "high": 3.0, "values": [2.5] * 10}, "rows", 1, "half_entropy")
    assert study.judge(decided) == "supported"
    assert study.judge(changed(decided, {"low": -0.2, "high": -0.1}, "rows", 1, "more_reached")) == "refuted"
    assert study.judge(changed(decided, {"low": -0.2, "high": 0.1}, "rows", 1, "more_reached")) == "undecided"
    assert study.judge(changed(decided, 0.0, "rows", 1, "half_entropy", "low")) == "refuted"
    assert study.judge(changed(decided, [2.5] * 9, "rows", 1, "half_entropy", "values")) == "undecided"
