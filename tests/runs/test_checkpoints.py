import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from entrax.errors import EntraxError
from entrax.runs import checkpoints
from entrax.runs.checkpoints import STATE, available, checkpoint_name, load, save
from entrax.runs.directory import RunDirectory

dtypes = st.sampled_from(["float32", "float64", "float16", "int32", "uint32", "int64", "uint8", "bool"])
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)).map(np.asarray)


class Crash(BaseException):
    """The process dies here; nothing of the package may catch it."""


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", {"seed": 0})


def put(run, kind, step, value=None, keep=3):
    return save(
        run, checkpoint_name(kind, step), {"w": np.full(3, step if value is None else value)}, {"step": step}, keep=keep
    )


@settings(max_examples=15)  # each waits for the disk
@given(stored=st.dictionaries(st.text(max_size=8).filter(lambda name: name != "__metadata__"), arrays, max_size=4))
def test_arrays_come_back_byte_for_byte(tmp_path_factory, stored):
    run = RunDirectory.create(tmp_path_factory.mktemp("run"), {})
    save(run, "step-000000001", stored, {"step": 1, "nan": float("nan")})
    back, meta = load(run)
    assert meta == {"step": 1, "nan": None}
    assert back.keys() == stored.keys()
    for name, array in stored.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert back[name].tobytes() == array.tobytes()


def test_arrays_that_are_not_contiguous_are_stored_by_value(run):
    array = np.arange(12.0).reshape(3, 4).T[::2]
    save(run, "final-000000001", {"w": array}, {})
    np.testing.assert_array_equal(load(run)[0]["w"], array)


def test_latest_best_and_final(run):
    for step in (0, 10, 20):
        put(run, "step", step)
    put(run, "best", 10)
    assert load(run)[1] == load(run, "latest")[1] == {"step": 20}
    assert load(run, "best")[1] == {"step": 10}
    assert load(run, "step-000000010")[1] == {"step": 10}
    put(run, "best", 20)
    put(run, "final", 20, value=-1)
    assert load(run)[0]["w"][0] == load(run, "final")[0]["w"][0] == -1
    assert available(run) == sorted(available(run), key=lambda name: name[-9:])
    assert set(available(run)) == {
        "step-000000000",
        "step-000000010",
        "step-000000020",
        "best-000000020",
        "final-000000020",
    }


def test_only_the_last_periodic_ones_stay(run):
    put(run, "best", 1)
    for step in (9, 99, 1_000_000_000, 10_000_000_000):  # by number, not by letter
        put(run, "step", step, keep=2)
    assert set(available(run)) == {"best-000000001", "step-1000000000", "step-10000000000"}
    assert {path.name for path in run.checkpoints.iterdir()} == set(available(run))


def test_an_unknown_checkpoint_is_answered_with_those_there_are(run):
    with pytest.raises(EntraxError, match="no checkpoint 'latest': the run has none yet"):
        load(run)
    put(run, "step", 5)
    for which in ("best", "final", "step-000000006", "../run", ".", ""):
        with pytest.raises(EntraxError, match="there are step-000000005"):
            load(run, which)


@pytest.mark.parametrize("name", ["step-5", "latest", "../step-000000005", "step-000000005.partial"])
def test_only_names_of_checkpoints_are_saved(run, name):
    with pytest.raises(ValueError, match="checkpoint_name"):
        save(run, name, {}, {})


def test_a_dtype_that_cannot_be_read_back_is_refused_before_anything_is_written(run):
    with pytest.raises(EntraxError, match="'z' has dtype complex64"):
        save(run, "step-000000001", {"z": np.zeros(1, np.complex64)}, {})
    assert list(run.checkpoints.iterdir()) == []


def operations(monkeypatch):
    """Wraps every call by which a save changes the disk; returns a list of one: the calls left until the crash."""
    left = [10**9]

    def dying(function):
        def call(*arguments, **named):
            left[0] -= 1
            if left[0] < 0:
                raise Crash
            return function(*arguments, **named)

        return call

    for owner, name in ((os, "rename"), (os, "fsync"), (shutil, "rmtree"), (os, "mkdir")):
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))
    monkeypatch.setattr(checkpoints, "write_bytes", dying(vars(checkpoints)["write_bytes"]))
    return left


@pytest.mark.parametrize("step", [30, 40])  # 30 is there already and is replaced; 40 is new and pushes 10 out
def test_wherever_a_save_is_killed_every_visible_checkpoint_is_whole_and_none_is_lost(run, monkeypatch, step):
    for earlier in (10, 20, 30):
        put(run, "step", earlier)
    before = shutil.copytree(run.checkpoints, run.path / "before")
    left = operations(monkeypatch)
    for moment in range(40):
        left[0] = 10**9
        shutil.rmtree(run.checkpoints)
        shutil.copytree(before, run.checkpoints)
        left[0] = moment
        try:
            put(run, "step", step, value=-1)
        except Crash:
            crashed = True
        else:
            crashed = False
        left[0] = 10**9
        steps = {load(run, name)[1]["step"] for name in available(run)}
        assert steps >= {20, 30}
        assert steps <= {10, 20, 30, step}
        values = load(run)[0]["w"].tolist()
        assert values in ([30.0] * 3, [-1.0] * 3)
        put(run, "step", 50)  # the next save cleans up and works
        assert {path.name for path in run.checkpoints.iterdir()} == set(available(run))
        assert {load(run, name)[1]["step"] for name in available(run)} >= {30, 50}
        if not crashed:
            assert moment > 8  # so it was killed at each of the calls before
            return
    pytest.fail("the save never finished")


def test_a_full_disk_is_a_sentence_and_leaves_what_was_there(run, monkeypatch):
    put(run, "step", 1)

    def full(path, data):
        path.write_bytes(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_bytes", full)
    with pytest.raises(EntraxError, match="No space left on device"):
        put(run, "step", 2)
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-000000001"]
    assert load(run)[1] == {"step": 1}


def damage_cut(path):
    (path / "state.safetensors").write_bytes((path / "state.safetensors").read_bytes()[:-1])


def damage_header(path):
    size = (path / "state.safetensors").stat().st_size
    (path / "state.safetensors").write_bytes(b"\xff" * size)


def rewritten(path, text):
    """Replace meta.json, and its hash too, as somebody who means it would."""
    (path / "meta.json").write_text(text)
    digests = {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in ("meta.json", STATE)}
    (path / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))


def damage_record(path):
    rewritten(path, json.dumps({"format": 2}))


def damage_newer(path):
    rewritten(path, json.dumps({"format": checkpoints.FORMAT + 1, "meta": {}}))


def damage_missing(path):
    (path / "state.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_cut, r"state\.safetensors is damaged: its SHA-256"),
        (damage_header, "is damaged"),
        (damage_record, "no 'meta'"),
        (damage_newer, "newer"),
        (damage_missing, r"holds no state\.safetensors"),
        (lambda path: (path / "meta.json").unlink(), r"holds no meta\.json"),
        (lambda path: (path / "meta.json").write_text("{"), r"meta\.json is damaged: its SHA-256"),
        (lambda path: rewritten(path, "{"), "is not valid JSON"),
        (lambda path: rewritten(path, "[" * 100_000), "is not valid JSON"),
        (lambda path: (path / "SHA256SUMS").write_text(""), "SHA-256"),
        (lambda path: (path / "SHA256SUMS").unlink(), "holds no SHA256SUMS"),
    ],
)
def test_a_damaged_checkpoint_is_named(run, damage, words):
    damage(put(run, "step", 1))
    with pytest.raises(EntraxError, match=words):
        load(run)


def test_nothing_is_ever_unpickled(run):
    place = put(run, "step", 1)
    size = (place / "state.safetensors").stat().st_size
    payload = b"cos\nsystem\n(S'touch " + str(run.path / "owned").encode() + b"'\ntR."
    (place / STATE).write_bytes(payload.ljust(size))
    rewritten(place, json.dumps({"format": 2, "meta": {}}))
    with pytest.raises(EntraxError, match="is damaged"):
        load(run)
    assert not (run.path / "owned").exists()


def test_a_header_that_claims_a_terabyte_is_refused_without_asking_for_the_memory(run):
    place = put(run, "step", 1)
    header = json.dumps({"w": {"dtype": "F32", "shape": [250_000_000_000], "data_offsets": [0, 10**12]}}).encode()
    for start in (len(header).to_bytes(8, "little") + header, (10**12).to_bytes(8, "little") + header):
        (place / STATE).write_bytes(start)
        rewritten(place, json.dumps({"format": 2, "meta": {}}))
        with pytest.raises(EntraxError, match=r"state\.safetensors is damaged"):
            load(run)


@pytest.mark.parametrize("what", ["checkpoint", "file"])
def test_links_are_not_followed(run, what):
    place = put(run, "step", 1)
    link = place if what == "checkpoint" else place / STATE
    link.rename(run.path / "elsewhere")
    link.symlink_to(run.path / "elsewhere")
    with pytest.raises(EntraxError, match="is damaged"):
        load(run)


@settings(max_examples=40)
@given(data=st.data())
def test_any_flipped_bit_and_any_missing_end_is_noticed(tmp_path_factory, data):
    run = RunDirectory.create(tmp_path_factory.mktemp("run"), {})
    place = put(run, "step", 1)
    file = place / data.draw(st.sampled_from([STATE, "meta.json", "SHA256SUMS"]))
    content = bytearray(file.read_bytes())
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    file.write_bytes(content)
    with pytest.raises(EntraxError, match="is damaged"):
        load(run)


def test_only_the_groups_asked_for_are_read(run):
    save(run, "step-000000001", {"policy/w": np.ones(2), "state/w": np.zeros(3)}, {})
    assert load(run, groups=("policy",))[0].keys() == {"policy/w"}


def test_checkpoints_of_a_future_that_will_not_be_go(run):
    for step in (1, 2, 3):
        put(run, "step", step)
    put(run, "final", 3)
    checkpoints.drop_others(run, "step-000000001", earlier=False)
    assert available(run) == ["step-000000001", "final-000000003"]
