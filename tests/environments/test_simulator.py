"""Simulators against the environments that they simulate: rewards, terminations, and states that are restored."""

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from entrax.environments.mujoco_rewards import FORMULAS, formula_of, half_cheetah
from entrax.environments.simulate_copies import Attributes, Deep, exact_way, failure_of
from entrax.environments.simulator import simulator_of
from entrax.environments.source import EnvSource
from entrax.environments.spaces import rescale, spec_of, to_env_action
from entrax.errors import UsageError

TABLE: dict[str, dict[str, Any]] = {
    "InvertedPendulum-v5": {},
    "InvertedDoublePendulum-v5": {},
    "Reacher-v5": {},
    "HalfCheetah-v5": {},
    "Hopper-v5": {},
    "Walker2d-v5": {},
    "Ant-v5": {},
}
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("InvertedDoublePendulum-v5", {"frame_skip": 2, "healthy_reward": 3.0}),
    ("Reacher-v5", {"reward_control_weight": 0.3, "reward_dist_weight": 2.0}),
    ("HalfCheetah-v5", {"frame_skip": 3, "ctrl_cost_weight": 0.7, "forward_reward_weight": 2.0}),
    ("Hopper-v5", {"terminate_when_unhealthy": False, "healthy_reward": 0.5}),
    ("Hopper-v5", {"healthy_state_range": (-1.0, 1.0)}),
    ("Walker2d-v5", {"healthy_angle_range": (-0.1, 0.1), "ctrl_cost_weight": 0.1}),
    ("Ant-v5", {"contact_force_range": (-100.0, 100.0), "contact_cost_weight": 0.01, "main_body": "torso"}),
    ("Ant-v5", {"healthy_z_range": (0.5, 0.8), "include_cfrc_ext_in_observation": False}),
]


def make(name: str, **arguments: Any) -> gymnasium.Env:
    return EnvSource(name, arguments).make()


def plans(env: gymnasium.Env, count: int, time: int = 25) -> np.ndarray:
    """Random plans that hold each action for several steps, so that they move far."""
    size = spec_of(env).action.size
    held = np.random.default_rng(1).uniform(-1.2, 1.2, (count, -(-time // 4), size)).repeat(4, axis=1)
    return held[:, :time].astype(np.float32)


def take(env: gymnasium.Env, unit: np.ndarray) -> tuple[float, bool]:
    action = spec_of(env).action
    _, reward, terminated, _, _ = env.step(to_env_action(action, rescale(action, unit)))
    return float(reward), bool(terminated)


def walk(env: gymnasium.Env, seed: int, steps: int) -> None:
    env.reset(seed=seed)
    for unit in np.random.default_rng(seed).uniform(-0.3, 0.3, (steps, spec_of(env).action.size)):
        take(env, unit.astype(np.float32))


def assert_predicted(env: gymnasium.Env, simulator: Any) -> int:
    """Compare predicted rewards with those of the environment; return the number of terminations."""
    ends = 0
    for seed, steps in ((0, 0), (1, 3), (2, 6)):
        for number in range(3):
            walk(env, seed, steps)
            several = plans(env, 3)
            rewards, terminated = simulator(None, several, np.zeros(3, np.uint64))
            for t, unit in enumerate(several[number]):
                reward, ended = take(env, unit)
                assert rewards[number, t] == pytest.approx(reward, abs=1e-10, rel=1e-10)
                assert terminated[number, t] == ended
                if ended:
                    ends += 1
                    break
    return ends


@pytest.mark.parametrize(("name", "arguments"), [*TABLE.items(), *OTHERS])
def test_the_model_predicts_the_rewards_of_the_environment(name, arguments):
    env = make(name, **arguments)
    simulator = simulator_of(env, simulator="model", threads=2)
    ends = assert_predicted(env, simulator)
    may_end = name not in ("Reacher-v5", "HalfCheetah-v5") and arguments.get("terminate_when_unhealthy", True)
    assert (ends > 0) == may_end or name == "Ant-v5"
    simulator.close()


def test_every_formula_is_compared():
    assert {formula_of(make(name)) for name in TABLE} == set(FORMULAS.values())


@pytest.mark.parametrize("name", ["InvertedPendulum-v5", "HalfCheetah-v5", "Hopper-v5", "Ant-v5"])
def test_model_and_copies_agree(name):
    env = make(name)
    walk(env, 4, 5)
    several, seeds = plans(env, 7), np.zeros(7, np.uint64)
    model, copies = (simulator_of(env, simulator=kind, threads=2) for kind in ("model", "copies"))
    (first, first_ends), (second, second_ends) = (each(None, several, seeds) for each in (model, copies))
    alive = np.cumsum(first_ends, axis=1) - first_ends == 0
    np.testing.assert_allclose(first[alive], second[alive], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(first_ends[alive], second_ends[alive])
    assert np.all(second[~alive] == 0)


@pytest.mark.parametrize(
    "name", ["Pendulum-v1", "MountainCarContinuous-v0", "Swimmer-v5", "Ant-v5", "entrax/MultiGoal-v0"]
)
def test_copies_predict_the_rewards_and_leave_the_environment_alone(name):
    env, untouched = make(name), make(name)
    simulator = simulator_of(env, simulator="copies", threads=2)
    assert_predicted(env, simulator)
    walk(env, 5, 6)
    walk(untouched, 5, 6)
    simulator(None, plans(env, 3), np.zeros(3, np.uint64))
    for unit in plans(env, 1)[0]:
        assert take(env, unit) == take(untouched, unit)


class Drift(gymnasium.Env):
    """A point in one dimension whose state is kept in a place of your choice."""

    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    shared = SimpleNamespace(x=0.0)

    def __init__(self, place: str = "attribute", noise: float = 0.0):
        self.place, self.noise = place, noise
        self.own, self.x = SimpleNamespace(x=0.0), np.zeros(1)

    @property
    def box(self):
        return self.shared if self.place == "class" else self.own

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.box.x, self.x = 0.0, np.zeros(1)
        return self.x.copy(), {}

    def step(self, action):
        self.x += action  # in place: a saved state must not share this array
        self.box.x += float(action[0]) + self.noise * self.np_random.normal()
        x = float(self.x[0]) if self.place == "attribute" else self.box.x
        return np.array([x]), -(x**2) - (self.box.x if self.noise else 0.0), False, False, {}


def test_the_first_exact_way_is_taken():
    assert exact_way(Drift)[0] is Attributes
    assert exact_way(lambda: Drift("object"))[0] is Deep
    assert "observation differs 1 step" in str(failure_of(Attributes, lambda: Drift("object")))
    env = Drift("object")
    env.reset(seed=0)
    assert_predicted(env, simulator_of(env, make=lambda: Drift("object")))


def test_a_state_that_cannot_be_restored_is_refused_with_the_reasons():
    with pytest.raises(UsageError, match=r"attributes.*observation differs.*deepcopy.*observation differs"):
        simulator_of(Drift("class"), make=lambda: Drift("class"))


def test_random_numbers_follow_the_seed_and_not_the_environments_own():
    env = Drift("object", noise=1.0)
    simulator = simulator_of(env, make=lambda: Drift("object", noise=1.0))
    env.reset(seed=0)
    still = np.zeros((3, 5, 1), np.float32)
    rewards, _ = simulator(None, still, np.array([1, 1, 2], np.uint64))
    np.testing.assert_array_equal(rewards[0], rewards[1])
    assert np.all(rewards[0] != rewards[2])
    own = [take(env, still[0, 0])[0] for _ in range(5)]
    assert np.all(rewards[0] != own)


def my_reward(before, after, action, env):
    reward = (after.qpos[..., 0] - before.qpos[..., 0]) / env.dt - 0.1 * np.square(action).sum(axis=-1)
    return reward, np.zeros(reward.shape, bool)


def my_wrong_reward(before, after, action, env):
    return 1.001 * my_reward(before, after, action, env)[0], np.zeros(action.shape[:2], bool)


def test_a_reward_of_ones_own_is_compared_with_the_environments():
    env = make("HalfCheetah-v5")
    assert_predicted(env, simulator_of(env, reward=my_reward))
    assert_predicted(env, simulator_of(env, reward="entrax.environments.mujoco_rewards:half_cheetah"))
    with pytest.raises(UsageError, match=r"does not predict.*reward differs by .* 1 step ahead"):
        simulator_of(env, reward=my_wrong_reward)
    with pytest.raises(UsageError, match=r"shape \(1, 20\), got \(20,\)"):
        simulator_of(env, reward=lambda *_: (np.zeros(20), np.zeros(20, bool)))
    with pytest.raises(UsageError, match="raised ZeroDivisionError"):
        simulator_of(env, reward=lambda *_: 1 / 0)  # type: ignore[arg-type]


def test_a_wrapper_that_changes_rewards_or_actions_leads_to_copies():
    for wrapped in (
        gymnasium.wrappers.TransformReward(make("HalfCheetah-v5"), lambda reward: 2 * float(reward)),
        gymnasium.wrappers.RescaleAction(make("HalfCheetah-v5"), np.float32(-2), np.float32(2)),
    ):
        simulator = simulator_of(wrapped)
        assert simulator.kind == "copies"
        assert_predicted(wrapped, simulator)
        with pytest.raises(UsageError, match="does not predict"):
            simulator_of(wrapped, simulator="model")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("CartPole-v1", {}, "continuous"),
        ("Pendulum-v1", {"simulator": "model"}, "no Gymnasium MuJoCo"),
        ("Swimmer-v5", {"simulator": "model"}, "not known"),
        ("HalfCheetah-v5", {"simulator": "rollout"}, "simulator"),
        ("HalfCheetah-v5", {"simulator": "copies", "reward": half_cheetah}, "Remove"),
        ("HalfCheetah-v5", {"reward": "half_cheetah"}, "module:function"),
        ("HalfCheetah-v5", {"reward": "entrax.environments.mujoco_rewards:half_chetah"}, "half_cheetah"),
    ],
)
def test_other_arguments_are_refused(name, options, words):
    with pytest.raises(UsageError, match=words):
        simulator_of(make(name), **options)
