"""Demonstrations in files: they come back, and damage is one sentence."""

import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.inverse import Demonstrations, load_demonstrations, save_demonstrations

GIVEN = [([0, 1, 2], [0, 1]), ([0, 0], [0, 0])]


@pytest.mark.parametrize("ending", ["json", "npz"])
def test_demonstrations_come_back(tmp_path, ending):
    path = tmp_path / f"demos.{ending}"
    save_demonstrations(Demonstrations.from_trajectories(GIVEN, [1.0, 2.5]), path)
    back = load_demonstrations(path)
    assert [(s.tolist(), a.tolist()) for s, a in back.trajectories()] == GIVEN
    assert back.weight.tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "damaged"),
        ("[]", "trajectories"),
        ("{}", "'trajectories' is missing"),
        ('{"trajectories": [{"states": [0]}]}', "'actions' is missing"),
        ('{"trajectories": [{"states": [0], "actions": [0], "reward": 1}]}', "'reward' is unknown"),
        ('{"trajectories": [{"states": "01", "actions": [0]}]}', "must be lists"),
        ('{"trajectories": [{"states": [0], "actions": [0], "weight": "a"}]}', "weight must be a number"),
        ('{"trajectories": []}', "at least one trajectory"),
        ('{"trajectories": [{"states": [0], "actions": []}]}', "at least one action"),
        ('{"trajectories": [{"states": [0.5], "actions": [0]}]}', "whole numbers"),
    ],
)
def test_damaged_json_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "demos.json"
    path.write_text(text)
    with pytest.raises(EntraxError, match=words) as caught:
        load_demonstrations(path)
    assert "demos.json" in str(caught.value)


def test_damaged_arrays_and_other_files_are_refused(tmp_path):
    path = tmp_path / "demos.npz"
    save_demonstrations(Demonstrations.from_trajectories(GIVEN), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EntraxError, match="damaged"):
        load_demonstrations(path)
    np.savez(path, states=np.arange(3), actions=np.arange(2), decisions=np.array([3]), observed=np.array([3]))
    with pytest.raises(EntraxError, match="'decisions' does not fit 'actions'"):
        load_demonstrations(path)
    np.savez(path, states=np.array([{}], object), actions=np.arange(2), decisions=np.array([2]), observed=np.array([3]))
    with pytest.raises(EntraxError, match="damaged"):
        load_demonstrations(path)
    with pytest.raises(EntraxError, match="cannot be read"):
        load_demonstrations(tmp_path / "none.json")
    with pytest.raises(EntraxError, match=r"\.json or \.npz"):
        load_demonstrations(tmp_path / "demos.csv")
