import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from entrax.report.curve import COLOURS, learning_curve, series, smooth, steps_text


def rows(count=40, **info):
    training = [{"step": 100 * i, "return": None if i % 7 == 0 else float(i), **info} for i in range(count)]
    evaluations = [
        {"step": 1000 * i, "evaluation": {"mean": 2.0 * i, "std": 1.0, "returns": [i, 3 * i], "policy": "mode"}}
        for i in range(1, 4)
    ]
    return training + evaluations


def drawn(path):
    """The picture, and whether a pixel near enough to a colour is in it."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)

    def has(colour):
        expected = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        return bool((np.abs(picture - expected).max(axis=-1) < 12).any())

    return picture, has


@pytest.mark.parametrize("info", [{}, {"entropy": -1.0}, {"entropy": 1.0, "temperature": 0.1, "critic_loss": 5.0}])
def test_a_run_is_drawn_with_the_panels_it_has(tmp_path, info):
    learning_curve({"sac": rows(**info)}, tmp_path / "a.png", "Pendulum-v1, sac")
    picture, has = drawn(tmp_path / "a.png")
    assert picture.shape == (780, 1170, 3)
    assert has(COLOURS[0])
    assert not has(COLOURS[1])


def test_every_run_has_its_colour(tmp_path):
    learning_curve({f"seed {seed}": rows() for seed in range(3)}, tmp_path / "a.png", "three")
    _, has = drawn(tmp_path / "a.png")
    assert [has(colour) for colour in COLOURS[:4]] == [True, True, True, False]


@pytest.mark.parametrize(
    "result",
    [
        [],
        [{"step": 0, "return": None}],
        [{"step": 5, "return": 1.0}],
        [{"step": 5, "evaluation": {"mean": None, "std": None, "returns": [None, 1.0], "policy": "mode"}}],
    ],
)
def test_hardly_any_rows_are_drawn_too(tmp_path, result):
    learning_curve({"sac": result}, tmp_path / "a.png", "short")
    assert drawn(tmp_path / "a.png")[0].shape == (780, 1170, 3)


def test_nulls_are_left_out_of_a_series():
    steps, values = series([{"step": 1, "q": None}, {"step": 2, "q": 3.0}, {"step": 3}], "q")
    assert (steps.tolist(), values.tolist()) == ([2.0], [3.0])


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=200))
def test_smoothing_is_the_mean_of_the_window(values):
    half = int(len(values) / 30)
    expected = [np.mean(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]
    np.testing.assert_allclose(smooth(np.array(values)), expected, atol=1e-8)


def test_steps_are_short():
    assert [steps_text(n) for n in (0.0, 500.0, 20e3, 1.5e6)] == ["0", "500", "20k", "1.5M"]
