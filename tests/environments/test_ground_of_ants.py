"""Slopes, stairs and hurdles under entrax's ants, whose models differ from their files."""

from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

import entrax.environments  # noqa: F401  # registers them
from entrax.environments.perturb import inapplicable, perturb
from entrax.environments.terrain import GROUND, RISER, STEEPEST, TREAD
from tests.environments.bodies import ground_of, innermost

ANTS: dict[str, dict[str, Any]] = {
    "entrax/AntAnyDirection-v0": {},
    "entrax/AntHallway-v0": {},
    "entrax/TwoPassage-v0": {"body": "ant"},
}
RIGHT = 4.0  # x of the middle of the right passage


def make(name, **arguments):
    return gymnasium.make(name, **ANTS[name], **arguments)


def ray(env, start, towards):
    """How far the nearest geom lies from `start` along `towards`, and its number."""
    model, data = innermost(env).model, innermost(env).data
    hit = np.zeros(1, np.int32)
    distance = mujoco.mj_ray(model, data, np.array(start), np.array(towards), None, 1, model.body("torso").id, hit)
    return distance, int(hit[0])


def settled(env, x, y=0.0):
    """The ant let fall at this place, and what it observes after three seconds without forces."""
    env.reset(seed=0)
    body, ground = innermost(env), ground_of(env)
    qpos = body.init_qpos.copy()
    qpos[:3] = x, y, 0.9  # its height above the ground below it, as the environment has it
    env._height._ground_height = ground.height(x)
    body.set_state(qpos, np.zeros(body.model.nv))
    for _ in range(60):
        obs, *_ = env.step(np.zeros(8))
    return obs


@pytest.mark.parametrize("name", ANTS)
def test_every_ground_applies(name):
    env = make(name)
    assert inapplicable(env) == {}
    own = innermost(env).model.ngeom
    for family in GROUND:
        perturbed = perturb(env, **{family: 1.0})
        assert innermost(perturbed).model.ngeom > own
        assert perturbed.reset(seed=0)[0].shape == env.observation_space.shape
        perturbed.restore()
    assert innermost(env).model.ngeom == own


@pytest.mark.parametrize("family", ["slope_up", "slope_down", "stairs_up", "stairs_down"])
def test_the_ant_stands_on_the_ground(family):
    env = perturb(make("entrax/AntAnyDirection-v0", terminate_when_unhealthy=False), **{family: 0.5})
    level = settled(env, -3.0)[0]
    height = settled(env, 12.0)[0]
    body, ground = innermost(env), ground_of(env)
    x, z = body.data.qpos[0], body.data.xpos[1, 2]
    steep = np.tan(np.radians(0.5 * STEEPEST)) if "slope" in family else 0.5 * RISER / TREAD
    sign = -1.0 if family.endswith("down") else 1.0
    assert z - level == pytest.approx(sign * steep * (x - ground.start), abs=0.2)  # stairs are even to half a riser
    assert height == pytest.approx(level, abs=0.2)  # what it observes is its height above the ground below it
    pairs = body.data.contact.geom[: body.data.ncon]
    feet = pairs[(body.model.geom_bodyid[pairs] == 0).any(axis=1)]
    touched = {int(pair[body.model.geom_bodyid[pair] == 0][0]) for pair in feet}
    assert touched
    box = int(mujoco.mjtGeom.mjGEOM_BOX)
    assert all(body.model.geom_type[geom] == box for geom in touched)  # and not the level plane of its file
    below, geom = ray(env, (x, 10.0, z), (0.0, 0.0, -1.0))  # beside the ant: the ground is the same for every y
    assert below == pytest.approx(level, abs=0.2)
    assert body.model.geom_type[geom] == box


@pytest.mark.parametrize("family", ["slope_up", "slope_down", "stairs_up", "stairs_down"])
def test_walls_go_as_high_and_as_deep_as_the_ground(family):
    hall = perturb(make("entrax/AntHallway-v0"), **{family: 1.0})
    hall.reset(seed=0)
    for x in (0.0, 30.0, 90.0):
        above = ground_of(hall).height(x) + 0.4
        for side in (-1.0, 1.0):
            assert ray(hall, (x, 0.0, above), (0.0, side, 0.0))[0] == pytest.approx(2.0)


@pytest.mark.parametrize("family", ["slope_up", "slope_down", "stairs_up", "stairs_down"])
def test_a_closed_passage_is_closed_on_any_ground(family):
    env = perturb(make("entrax/TwoPassage-v0", closed="right"), **{family: 1.0})
    env.reset(seed=0)
    mujoco.mj_forward(innermost(env).model, innermost(env).data)
    for x in (RIGHT - 1.4, RIGHT, RIGHT + 1.4):
        above = ground_of(env).height(x) + 0.4
        distance, geom = ray(env, (x, 3.5, above), (0.0, 1.0, 0.0))
        assert distance == pytest.approx(6.6 - 3.5)
        assert innermost(env).model.geom_bodyid[geom] == innermost(env).model.body("plug").id
    left, _ = ray(env, (-RIGHT, 3.5, 0.4), (0.0, 1.0, 0.0))
    assert left > 8.0  # open, up to the wall behind


def test_an_ant_walks_as_before_where_the_ground_is_level():
    plain, sloped = make("entrax/AntHallway-v0"), perturb(make("entrax/AntHallway-v0"), slope_up=1.0)
    plain.reset(seed=3), sloped.reset(seed=3)
    actions = np.random.default_rng(0).uniform(-1, 1, (5, 8)).astype(np.float32)
    for action in actions:
        np.testing.assert_allclose(plain.step(action)[0], sloped.step(action)[0], atol=1e-6)
