"""Perturbations do what they say in physical units, to nothing else, and go away without a trace."""

import json
import pickle
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.spaces import Box

import entrax
from entrax.environments.make import make_pool
from entrax.environments.perturb import CONDITION_SEEDS, FAMILIES, Perturbed, inapplicable, perturb
from entrax.environments.perturb_mujoco import MODEL_FIELDS, PUSH_SPEED
from entrax.environments.recorded import recorded_source
from entrax.environments.source import EnvSource, quiet
from entrax.environments.terrain import HURDLE, RISER, STEEPEST, TREAD
from entrax.errors import EntraxError
from tests.environments.bodies import ground_of, innermost

PHYSICAL = sorted(MODEL_FIELDS)
DERIVED = {"body_subtreemass", "body_invweight0", "dof_invweight0", "dof_M0", "actuator_acc0"} | {
    "stat.meaninertia",
    "cam_poscom0",
    "light_poscom0",
}  # of masses; the last two by rounding only
BALL = """<mujoco><option timestep="0.002"{option}/>
<worldbody><geom name="floor" type="plane" size="5 5 1" friction="1 0.005 0.0001"/>
<body name="ball" pos="0 0 {z}"><freejoint/>{geoms}</body></worldbody></mujoco>"""


class Body(MujocoEnv):
    """A free body without motors, steps of 0.02 s; `reset` puts it at `x`."""

    metadata = {"render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"], "render_fps": 50}  # noqa: RUF012

    def __init__(self, path: Path, x: float = 0.0):
        self.x = x
        super().__init__(str(path), 10, observation_space=Box(-np.inf, np.inf, (13,), np.float64))

    def step(self, action):
        self.do_simulation(np.zeros(0), self.frame_skip)
        return self.state_vector(), 0.0, False, False, {}

    def reset_model(self):
        qpos = self.init_qpos.copy()
        qpos[0] += self.x
        self.set_state(qpos, self.init_qvel)
        return self.state_vector()


def free_body(folder: Path, geoms: str, z: float, option: str = "", x: float = 0.0) -> Body:
    path = folder / "body.xml"
    path.write_text(BALL.format(geoms=geoms, z=z, option=option))
    return Body(path, x)


def make(name: str, **kwargs) -> gymnasium.Env:
    with quiet():
        return gymnasium.make(name, **kwargs)


def episode(env: gymnasium.Env, seed: int, steps: int = 60) -> list[tuple]:
    """What seeded random actions lead to, to the bit."""
    actions = np.random.default_rng(seed)
    seen: list[tuple] = [(env.reset(seed=seed)[0].tobytes(),)]
    action: Any
    for _ in range(steps):
        if isinstance(env.action_space, Box):
            action = actions.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        else:
            action = actions.integers(innermost(env).action_space.n)
        obs, reward, terminated, truncated, _ = env.step(action)
        seen.append((obs.tobytes(), float(reward), terminated, truncated))
        if terminated or truncated:
            break
    return seen


def numbers(model) -> dict[str, np.ndarray]:
    """Every array of an mjModel, with those of its options and statistics."""
    parts = {"": model, "opt.": model.opt, "stat.": model.stat}
    named = {p + n: getattr(part, n) for p, part in parts.items() for n in dir(part) if not n.startswith("_")}
    return {name: value.copy() for name, value in named.items() if isinstance(value, np.ndarray)}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name])}


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Hopper-v5", "Pendulum-v1", "CartPole-v1"])
def test_severity_zero_is_the_environment_to_the_bit(name):
    nothing = perturb(make(name), **dict.fromkeys(FAMILIES, 0.0))
    assert episode(nothing, seed=3) == episode(make(name), seed=3)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seeded_episode_is_replayed_exactly_and_restoring_leaves_no_trace(family):
    env = make("HalfCheetah-v5")
    before, untouched = numbers(innermost(env).model), episode(env, seed=1)
    attributes, camera = set(vars(innermost(env))), innermost(env).mujoco_renderer.default_cam_config
    perturbed = perturb(env, **{family: 1.0})
    first, other, again = (episode(perturbed, seed) for seed in (1, 2, 1))
    assert first == again
    assert first != other
    assert first != untouched or FAMILIES[family].acts_on == "ground"  # which so short a walk need not reach
    assert (innermost(perturbed).model.ngeom > before["geom_pos"].shape[0]) == (FAMILIES[family].acts_on == "ground")
    assert perturbed.restore() is env
    assert changed(before, numbers(innermost(env).model)) == set()
    assert set(vars(innermost(env))) == attributes
    assert innermost(env).mujoco_renderer.default_cam_config is camera
    assert episode(env, seed=1) == untouched


@pytest.mark.parametrize(
    ("family", "severity", "factor"),
    [("mass", 0.5, 1.5), ("gravity", 1.0, 2.0), ("friction", 1.0, 0.1), ("motor_strength", 1.0, 0.25)],
)
def test_a_family_scales_its_fields_of_the_model_and_no_other(family, severity, factor):
    env = make("HalfCheetah-v5")
    before = numbers(innermost(env).model)
    after = numbers(innermost(perturb(env, **{family: severity})).model)
    touched = changed(before, after)
    own = {name for name in MODEL_FIELDS[family] if before[name].any()}
    assert own <= touched <= own | (DERIVED if family == "mass" else set())
    for name in own:
        np.testing.assert_allclose(after[name], factor * before[name], rtol=1e-12)


def test_what_masses_imply_is_derived_again(tmp_path):
    env = free_body(tmp_path, '<geom type="box" size="0.1 0.2 0.3" mass="3"/>', z=1.0)
    own = numbers(env.model)
    heavy = numbers(innermost(perturb(env, mass=1.0)).model)
    for name, factor in (("body_subtreemass", 2.0), ("dof_invweight0", 0.5), ("dof_M0", 2.0)):
        np.testing.assert_allclose(heavy[name], factor * own[name])


@pytest.mark.parametrize("family", PHYSICAL)
def test_severities_are_monotone(family):
    env = make("Hopper-v5")
    values = []
    for severity in (0.0, 0.25, 0.5, 0.75, 1.0):
        perturbed = perturb(env, **{family: severity})
        values.append(float(np.abs(numbers(innermost(perturbed).model)[MODEL_FIELDS[family][0]]).sum()))
        perturbed.restore()
    steps = np.diff(values)
    assert (steps > 0).all() or (steps < 0).all()
    np.testing.assert_allclose(steps, steps[0])


def test_a_weak_motor_turns_a_joint_by_less():
    accelerations = []
    for severity in (0.0, 1.0):
        env = perturb(make("InvertedPendulum-v5"), motor_strength=severity)
        env.reset(seed=0)
        data = innermost(env).data
        data.ctrl[:] = 3.0
        mujoco.mj_forward(innermost(env).model, data)
        accelerations.append(data.qfrc_actuator.copy())
    np.testing.assert_allclose(accelerations[1], 0.25 * accelerations[0])


@pytest.mark.parametrize("severity", [0.25, 1.0])
def test_a_push_gives_a_free_body_its_impulse(tmp_path, severity):
    geoms = '<geom type="sphere" size="0.1" mass="3"/>'
    env = perturb(free_body(tmp_path, geoms, z=5.0, option=' gravity="0 0 0"'), push=severity)
    env.reset(seed=0)
    horizontal = [np.zeros(2)]
    for _ in range(400):  # 8 s
        obs = env.step(np.zeros(0))[0]
        assert abs(obs[9]) < 1e-12  # nothing vertical
        horizontal.append(obs[7:9].copy())
    gains = np.diff(np.array(horizontal), axis=0)
    pushed = np.linalg.norm(gains, axis=1) > 1e-9
    starts = np.flatnonzero(np.diff(np.concatenate([[False], pushed]).astype(int)) == 1)
    assert 5 <= len(starts) <= 13  # gaps of 0.5 to 1.5 s and 0.1 s of pushing, in 8 s
    for start in starts[:-1]:
        assert pushed[start : start + 6].tolist() == [True] * 5 + [False]  # 0.1 s
        impulse = 3.0 * gains[start : start + 5].sum(axis=0)
        np.testing.assert_allclose(np.linalg.norm(impulse), severity * PUSH_SPEED * 3.0, rtol=1e-9)
    angles = np.arctan2(*gains[starts].T)
    assert np.ptp(angles) > 1.0


def forces(env: gymnasium.Env, steps: int = 500, always: float = 0.0) -> np.ndarray:
    """The external forces on the first body during each step of an episode, `always` upwards among them."""
    body, seen = innermost(env), []
    simulate = body.do_simulation

    def watched(ctrl, n_frames):
        seen.append(body.data.xfrc_applied[1].copy())
        simulate(ctrl, n_frames)

    env.reset(seed=0)
    body.data.xfrc_applied[1, 2] = always
    body.do_simulation = watched
    for _ in range(steps):
        env.step(np.zeros(3))
        assert body.data.xfrc_applied[1].tolist() == [0.0, 0.0, always, 0.0, 0.0, 0.0]
    return np.array(seen)


def test_a_planar_body_is_pushed_along_its_line():
    pushing = forces(perturb(make("Hopper-v5"), push=1.0))
    pushing = pushing[pushing.any(axis=1)]
    assert {-1.0, 1.0} == set(np.sign(pushing[:, 0]))
    assert not pushing[:, 1:].any()


def test_pushes_add_up_and_leave_other_forces_alone():
    inner = forces(perturb(make("Hopper-v5"), push=0.25))
    outer = forces(perturb(perturb(make("Hopper-v5")), push=1.0))
    both = forces(perturb(perturb(make("Hopper-v5"), push=0.25), push=1.0), always=7.0)
    assert (inner.any(axis=1) & ~outer.any(axis=1)).any()
    np.testing.assert_array_equal(both, inner + outer + [0.0, 0.0, 7.0, 0.0, 0.0, 0.0])


class Echo(gymnasium.Env):
    """Observes the action it was given, reached through `last` unperturbed."""

    observation_space, action_space = Box(-1.0, 1.0, (1000,), np.float64), Box(-1.0, 1.0, (1000,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full(1000, 0.5), {}

    def step(self, action):
        self.last = action
        return np.full(1000, 0.5), 0.0, False, False, {}


@pytest.mark.parametrize(("severity", "late"), [(0.25, 1), (0.5, 2), (1.0, 4)])
def test_delay_shifts_actions(severity, late):
    env = perturb(Echo(), action_delay=severity)
    for _ in range(2):  # the second episode knows nothing of the first
        env.reset(seed=0)
        carried = []
        for t in range(8):
            env.step(np.full(1000, 0.1 * t, np.float32))
            carried.append(innermost(env).last[0])
        np.testing.assert_allclose(carried, [0.0] * late + [0.1 * t for t in range(8 - late)], rtol=1e-6)


def test_a_late_discrete_action_starts_from_the_first():
    env = perturb(make("CartPole-v1"), action_delay=0.25)
    plain = make("CartPole-v1")
    env.reset(seed=0), plain.reset(seed=0)
    for late, now in [(1, 0), (1, 1), (0, 1), (1, 0)]:
        np.testing.assert_array_equal(env.step(late)[0], plain.step(now)[0])


def test_noise_of_actions_has_the_stated_size_and_stays_in_bounds():
    env = perturb(Echo(), action_noise=0.2)
    env.reset(seed=0)
    env.step(np.zeros(1000, np.float32))
    carried = innermost(env).last
    assert carried.dtype == np.float32
    np.testing.assert_allclose(carried.std(), 0.5 * 0.2, rtol=0.1)  # of a half range of 1; 4 standard errors
    perturb_severe = perturb(Echo(), action_noise=1.0)
    perturb_severe.reset(seed=0)
    perturb_severe.step(np.ones(1000, np.float32))
    assert innermost(perturb_severe).last.max() == 1.0
    assert innermost(perturb_severe).last.min() >= -1.0


def test_discrete_actions_are_replaced_at_the_stated_rate():
    env = perturb(make("CartPole-v1"), action_noise=1.0)
    env.reset(seed=0)
    given = [int(env._actions["action_noise"](1)) for _ in range(2000)]
    assert abs(np.mean(given) - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 2000)  # half of them random, half of those 0


@pytest.mark.parametrize("severity", [0.25, 1.0])
def test_readings_are_lost_at_the_stated_rate(severity):
    env = perturb(Echo(), sensor_dropout=severity)
    seen = np.array([env.reset(seed=4)[0]] + [env.step(np.zeros(1000, np.float32))[0] for _ in range(9)])
    rate = 0.5 * severity
    assert set(np.unique(seen)) == {0.0, 0.5}
    assert abs((seen == 0.0).mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / seen.size)
    assert (seen[0] != seen[1]).any()


def test_noise_of_sensors_has_the_stated_size():
    env = perturb(Echo(), sensor_noise=0.5)
    noise = env.reset(seed=0)[0] - 0.5
    np.testing.assert_allclose(noise.std(), 0.5 * 0.2, rtol=0.1)
    assert perturb(make("Pendulum-v1"), sensor_noise=1.0).reset(seed=0)[0].dtype == np.float32


def test_two_families_see_the_noise_of_each_alone():
    alone, both = perturb(Echo(), sensor_noise=0.1), perturb(Echo(), sensor_noise=0.1, action_noise=0.5)
    np.testing.assert_array_equal(alone.reset(seed=5)[0], both.reset(seed=5)[0])
    both.step(np.zeros(1000, np.float32))
    np.testing.assert_array_equal(alone.reset(seed=6)[0], both.reset(seed=6)[0])


def test_a_perturbation_of_a_perturbation_has_randomness_of_its_own():
    lost = perturb(Echo(), sensor_dropout=1.0).reset(seed=5)[0] == 0.0
    stream = np.random.default_rng((5, list(FAMILIES).index("sensor_dropout")))
    np.testing.assert_array_equal(lost, stream.random(1000) < 0.5)
    twice = perturb(perturb(Echo(), sensor_dropout=1.0), sensor_dropout=1.0).reset(seed=5)[0] == 0.0
    assert twice[lost].all()
    assert abs(twice.mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 1000)


def test_discrete_observations_are_left_out_with_the_reason():
    reasons = inapplicable(make("FrozenLake-v1"))
    assert reasons["sensor_noise"] == "it observes no real numbers"
    assert reasons["mass"] == "it has no MuJoCo model"
    assert "action_noise" not in reasons


def ground_below(env: Perturbed, x: float) -> float:
    """Height of the ground, by a ray from above."""
    hit = np.zeros(1, np.int32)
    data = innermost(env).data
    mujoco.mj_forward(innermost(env).model, data)
    own = int(innermost(env).model.body("torso").id)
    distance = mujoco.mj_ray(
        innermost(env).model, data, np.array([x, 3.0, 60.0]), np.array([0.0, 0.0, -1.0]), None, 1, own, hit
    )
    return 60.0 - distance


@pytest.mark.parametrize("family", ["slope_up", "slope_down", "stairs_up", "stairs_down", "obstacles"])
def test_the_ground_is_where_the_formula_says(family):
    env = perturb(make("Hopper-v5"), **{family: 0.5})
    start = ground_of(env).start
    assert 0.25 < start < 0.7  # just beyond the foot
    sign = -1.0 if family.endswith("down") else 1.0
    for x in (-5.0, -0.2, start + 0.04, start + 1.3, start + 30.05):
        beyond = max(0.0, x - start)
        if "slope" in family:
            expected = sign * np.tan(np.radians(0.5 * STEEPEST)) * beyond
        elif "stairs" in family:
            expected = sign * 0.5 * RISER * (0 if x < start else np.floor(beyond / TREAD) + 1)
        else:
            expected = 0.5 * HURDLE if x >= start and beyond % 2.0 < 0.1 else 0.0
        assert ground_below(env, x) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("family", "sign"), [("slope_up", 1.0), ("slope_down", -1.0)])
def test_a_box_comes_to_rest_on_the_slope(tmp_path, family, sign):
    geoms = '<geom type="box" size="0.1 0.1 0.05" mass="1" friction="1 0.005 0.0001"/>'
    tilt = np.radians(STEEPEST)
    plain = free_body(tmp_path, geoms, z=0.2 + sign * np.tan(tilt), x=1.0)
    env = perturb(plain, **{family: 1.0})
    start = ground_of(env).start
    env.reset(seed=0)
    for _ in range(150):
        obs, *_ = env.step(np.zeros(0))
    assert np.abs(obs[7:]).max() < 0.01  # friction 1 holds it
    x, height = obs[0], obs[2]
    centre = 0.05 / np.cos(tilt)  # of a box that lies flat, above the ground below it: the height it is given
    assert height == pytest.approx(centre, abs=2e-3)
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, obs[3:7])
    assert np.arctan2(rotation[6], rotation[0]) == pytest.approx(sign * tilt, abs=0.01)
    assert innermost(env).data.xpos[1, 2] == pytest.approx(sign * np.tan(tilt) * (x - start) + centre, abs=3e-3)


def test_a_frictionless_ball_rolls_down_as_galileo_says(tmp_path):
    env = perturb(free_body(tmp_path, '<geom type="sphere" size="0.1" mass="1" condim="1" friction="0 0 0"/>',
                            z=0.1 - np.tan(np.radians(7.5)) * 0.8, x=1.0), slope_down=0.5, friction=1.0)  # fmt: skip
    env.reset(seed=0)
    model = innermost(env).model
    model.geom_friction[:] = 0.0
    speeds = [env.step(np.zeros(0))[0][7:10].copy() for _ in range(100)]
    gained = np.linalg.norm(speeds[99]) - np.linalg.norm(speeds[49])
    assert gained == pytest.approx(9.81 * np.sin(np.radians(7.5)) * 1.0, rel=0.02)


def test_altitude_is_no_matter_of_health():
    """A hopper far up a slope is as healthy as at its foot: heights are given from the ground."""
    env = perturb(make("Hopper-v5"), slope_down=1.0)
    env.reset(seed=0)
    body = innermost(env)
    qpos = body.data.qpos.copy()
    qpos[0] = 50.0
    qpos[1] -= np.tan(np.radians(STEEPEST)) * (50.0 - ground_of(env).start) - 0.3
    body.set_state(qpos, np.zeros(6))
    obs, _, terminated, *_ = env.step(np.zeros(3))
    assert not terminated
    assert obs[0] == pytest.approx(1.25 + 0.3, abs=0.02)
    assert body.data.xpos[1, 2] < -10.0


def test_observations_keep_their_size_where_all_bodies_are_observed():
    env = perturb(make("Ant-v5"), stairs_up=1.0)
    assert env.reset(seed=0)[0].shape == env.observation_space.shape
    assert innermost(env).model.body_mass.shape == innermost(make("Ant-v5")).model.body_mass.shape


@pytest.mark.parametrize(
    ("name", "severities", "words"),
    [
        ("Pendulum-v1", {"mass": 0.5}, "mass does not apply.*no MuJoCo model"),
        ("InvertedPendulum-v5", {"slope_up": 0.5}, "no level ground plane"),
        ("Hopper-v5", {"slope_up": 0.5, "stairs_up": 0.5}, "at a time.*slope_up and stairs_up"),
        ("Hopper-v5", {"mas": 0.5}, "did you mean 'mass'"),
        ("Hopper-v5", {"mass": 1.5}, r"severity of mass.*from 0.*to 1.*1\.5"),
        ("Hopper-v5", {"mass": float("nan")}, "severity of mass.*nan"),
    ],
)
def test_what_cannot_be_perturbed_is_a_sentence(name, severities, words):
    with pytest.raises(EntraxError, match=words):
        perturb(make(name), **severities)


@pytest.mark.parametrize("name", ["gravity", "timestep", "wind", "density", "viscosity"])
def test_the_ground_is_refused_where_it_would_undo_another_change(name):
    env = perturb("Hopper-v5", gravity=1.0) if name == "gravity" else make("Hopper-v5")
    if name != "gravity":
        setattr(innermost(env).model.opt, name, np.full(3, 0.001) if name == "wind" else 0.001)
    with pytest.raises(EntraxError, match=rf"slope_up does not apply .*changed after .*\(opt\.{name}\)"):
        perturb(env, slope_up=0.5)


def test_a_perturbed_environment_travels():
    source = EnvSource("entrax/Perturbed-v0", {"env": "Hopper-v5", "slope_up": 0.5, "sensor_noise": 0.1})
    assert recorded_source(json.loads(json.dumps(source.to_json()))) == source
    actions = np.random.default_rng(0).uniform(-1, 1, (5, 3)).astype(np.float32)
    hashes = []
    for workers in (0, 1):
        with make_pool(source, 1, workers=workers) as pool:
            hashes.append(pool.replay(0, 11, actions))
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("name", "family"), [("Hopper-v5", "stairs_up"), ("Hopper-v5", "mass"), ("Pendulum-v1", "action_delay")]
)
def test_a_perturbed_environment_can_be_pickled(name, family):
    env = entrax.perturb(make(name), **{family: 1.0})
    copied = pickle.loads(pickle.dumps(env))  # noqa: S301  # our own
    assert episode(copied, seed=2) == episode(env, seed=2)


def test_conditions_share_one_environment_and_the_seed_names_the_condition():
    source = EnvSource("Hopper-v5")
    listed = [{"severities": {}}, {"severities": {"stairs_up": 1.0}}, {"env_args": {"reset_noise_scale": 0.2}}]
    many = EnvSource(
        "entrax.environments.perturb:conditions",
        {"source": source.to_process(), "conditions": listed},
    )
    alone = [make("Hopper-v5"), perturb("Hopper-v5", stairs_up=1.0), make("Hopper-v5", reset_noise_scale=0.2)]
    together = many.make()
    for number in (0, 1, 2, 0, 2, 1):
        first = together.reset(seed=number * CONDITION_SEEDS + 8)[0]
        np.testing.assert_array_equal(first, alone[number].reset(seed=8)[0])
        for _ in range(3):
            np.testing.assert_array_equal(together.step(np.ones(3))[0], alone[number].step(np.ones(3))[0])
    together.close()
