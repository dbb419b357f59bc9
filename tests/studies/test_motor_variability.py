"""Motor variability: covariances and effort against simulation and closed forms, and numbers that refute."""

import numpy as np
import pytest

from entrax.exact import regulator
from entrax.studies import motor_variability
from entrax.studies.motor_variability import (
    TASKS,
    effectors,
    judge,
    matched,
    mean_movement,
    optimal,
    simulate,
    tracker,
    via_points,
)


@pytest.mark.parametrize("build", TASKS.values(), ids=TASKS)
def test_the_closed_loop_is_what_simulated_episodes_do(build, x64):
    motor, episodes = build(1000), 20_000
    loop = optimal(motor)
    assert motor_variability.sampled_errors(motor, loop, episodes, 1) < 5
    x = simulate(motor, loop.policy, episodes, 1)
    wrong = loop._replace(covariances=1.3 * loop.covariances)
    assert motor_variability.sampled_errors(motor, wrong, episodes, 1) > 12
    gains, noise = np.asarray(loop.policy.gain), np.asarray(loop.policy.covariance)
    costs = np.broadcast_to(motor.problem.Q, (len(gains), x.shape[2], x.shape[2]))
    error = sum(np.einsum("ei,ij,ej->e", at, q, at) for at, q in zip(x, costs, strict=False))
    error = error + np.einsum("ei,ij,ej->e", x[-1], motor.problem.final_Q, x[-1])
    assert abs(error.mean() - loop.task_error) < 5 * error.std() / episodes**0.5
    pushed = [np.einsum("ei,ij,ej->e", at @ k.T, motor.problem.R, at @ k.T) for at, k in zip(x, gains, strict=False)]
    effort = np.sum(pushed, axis=0) + np.sum(motor.problem.R * noise.sum(axis=0))
    assert abs(effort.mean() - loop.effort) < 5 * effort.std() / episodes**0.5


def test_the_optimum_has_the_value_of_the_regulator(x64):
    """Task error plus soft effort of deviations is −V at a start without cost."""
    motor = effectors(1001)
    loop, value = optimal(motor), regulator(motor.problem, motor.alpha).value.at(0)
    assert loop.task_error + loop.soft_effort == pytest.approx(-float(value(np.zeros(motor.problem.states))), rel=1e-10)


def test_the_tracker_has_the_same_task_error_and_pays_more(x64):
    motor = effectors(1000)
    best = optimal(motor)
    tracking, weight = matched(motor, best.task_error)
    assert tracking.task_error == pytest.approx(best.task_error, rel=1e-6)
    assert tracking.soft_effort > best.soft_effort
    assert motor.spread(tracking.covariances) == pytest.approx(1.0)
    assert tracker(motor, 2 * weight).task_error < best.task_error


def test_the_mean_movement_passes_the_via_points(x64):
    motor = via_points(1000)
    movement = mean_movement(motor.problem, optimal(motor).policy)[:, 0]
    places = [-motor.problem.q[t, 0] / motor.problem.Q[t, 0, 0] for t in motor_variability.VIA[:-1]]
    places.append(-motor.problem.final_q[0] / motor.problem.final_Q[0, 0])
    np.testing.assert_allclose(movement[list(motor_variability.VIA)], places, atol=0.02)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "supported"),
        ({"spread": {"optimum": 1.5, "tracker": 1.0}}, "undecided"),
        ({"spread": {"optimum": 0.9, "tracker": 1.0}}, "refuted"),
        ({"soft_effort": {"optimum": 2.0, "tracker": 1.9}}, "refuted"),
        ({"sampled_errors": 8.0}, "undecided"),
        ({"sampled_errors": 20.0}, "refuted"),
        ({"task_difference": 0.1}, "undecided"),
    ],
)
def test_the_verdict_can_fail(changed, verdict):
    fine = {
        "spread": {"optimum": 4.0, "tracker": 1.0},
        "soft_effort": {"optimum": 1.0, "tracker": 2.0},
        "sampled_errors": 3.0,
        "task_difference": 0.0,
    }
    assert judge({"rows": {"effectors": [fine, fine | changed], "via-points": [fine]}}) == verdict


def test_the_control_is_seen(x64):
    assert motor_variability.control().seen
