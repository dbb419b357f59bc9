"""Pictures of the reaching task; `test_reacher` runs these in a process of their own, which draws without a screen."""

import numpy as np

from entrax.environments.reacher import Reacher


def test_pictures_show_the_same_task_and_blank_ones_nothing():
    env, state, blank = Reacher(pixels=True), Reacher(), Reacher(pixels=True, blank=True)
    first = env.reset(seed=4)[0]
    state.reset(seed=4), blank.reset(seed=4)
    assert first.shape == env.observation_space.shape
    assert first.dtype == np.uint8
    action = np.array([0.25, -0.15])
    results = [e.step(action) for e in (env, state, blank)]
    assert results[0][1:3] == results[1][1:3] == results[2][1:3]
    np.testing.assert_array_equal(results[0][0][..., :6], first[..., 3:])
    assert (results[0][0][..., 6:] != first[..., 6:]).any()
    assert not results[2][0].any()
    env.close()


def test_the_target_is_where_it_is_drawn():
    env = Reacher(pixels=True)
    for seed in range(3):
        picture = env.reset(seed=seed)[0][..., 6:].astype(int)
        red = picture[..., 0] - picture[..., 1:].max(axis=2)
        rows, columns = np.nonzero(red > 40)
        place = env.data.body("target").xpos[:2]
        scale = 64 / (2 * np.tan(np.radians(13)))  # pixels to a metre, at the height of the camera
        drawn = np.array([columns.mean() - 31.5, 31.5 - rows.mean()]) / scale
        np.testing.assert_allclose(drawn, place, atol=0.02)
    env.close()
