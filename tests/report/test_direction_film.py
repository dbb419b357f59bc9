"""The film of any-direction is drawn from the study's numbers alone."""

import numpy as np
import pytest

from entrax.errors import CannotWrite
from entrax.report import direction_film
from entrax.report.direction_film import from_origin, write_direction_film
from entrax.report.study_figures import FILMS
from tests.report.test_video import decoded

TIMES = 4


@pytest.fixture(autouse=True)
def hold_briefly(monkeypatch):
    monkeypatch.setattr(direction_film, "HELD", 2)


def numbers(**soft):
    """Two policies whose episodes leave different starts, in all directions and in one."""
    angles = np.linspace(0, 2 * np.pi, 5)[:-1]
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None] * np.arange(TIMES)[:, None]
    paths = {"soft": ways + 7.0, "deterministic": np.tile(ways[1], (3, 1, 1)) - 2.0}
    arms = {kind: {"agent": kind, "paths": np.round(each, 3).tolist()} for kind, each in paths.items()}
    arms["soft"] |= soft
    return {"environment": "entrax/PointAnyDirection-v0", "seconds_per_position": 0.5} | arms


def test_the_film_has_a_picture_of_every_position_and_a_poster(tmp_path):
    assert FILMS["any-direction"](numbers(), tmp_path)
    assert b"ftyp" in (tmp_path / "film.mp4").read_bytes()[:12]
    assert (tmp_path / "film.png").read_bytes().startswith(b"\x89PNG")
    size, fps, pictures = decoded(tmp_path / "film.mp4")
    assert size == (1000, 560)
    assert fps == direction_film.PICTURES_PER_SECOND
    assert len(pictures) == TIMES + 2
    changed = [np.abs(one.astype(int) - pictures[-1]).max() for one in pictures]
    assert all(change > 100 for change in changed[: TIMES - 1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "film.png"]


def test_both_panels_have_one_scale_and_paths_of_one_start_come_first(monkeypatch):
    wide = np.zeros((2, TIMES, 2))
    wide[1, -1] = 30.0
    figure, panels = direction_film._figure(numbers(paths_of_one_start=wide.tolist()))
    assert figure.axes[0].get_xlim() == figure.axes[1].get_ylim() == (-31.5, 31.5)
    np.testing.assert_array_equal(panels[0].paths, wide)
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert "2 episodes, from one start" in titles[0]
    assert "3 episodes, each from its own start" in titles[1]


def test_numbers_without_paths_of_both_policies_have_no_film(tmp_path):
    assert not write_direction_film({"environment": "entrax/PointAnyDirection-v0"}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_ended_episode_stays_at_its_last_place():
    paths = np.array([[[1.0, 1.0], [2.0, 3.0], [np.nan, np.nan], [np.nan, np.nan]], [[0, 0], [1, 0], [2, 0], [3, 0]]])
    moved, ended = from_origin(paths)
    np.testing.assert_array_equal(moved[0], [[0, 0], [1, 2], [1, 2], [1, 2]])
    np.testing.assert_array_equal(moved[1], paths[1])
    assert ended.tolist() == [[False, False, True, True], [False] * 4]


def test_a_film_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(CannotWrite, match="film"):
        write_direction_film(numbers(), tmp_path / "gone")
