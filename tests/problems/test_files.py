"""Saved problems load unchanged; damaged or hostile files are refused before they are used."""

import contextlib
import io
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrax.errors import EntraxError
from entrax.problems import FiniteMDP, forest, safe_or_risky
from tests.problems.problems_reference import agree, random_table


@given(st.integers(0, 2**32 - 1))
def test_saved_and_loaded_is_the_same(tmp_path_factory, seed):
    transition, reward, options = random_table(seed)
    path = tmp_path_factory.mktemp("npz") / "problem.npz"
    mdp = FiniteMDP.from_dense(transition, reward, **options)
    mdp.save(path)
    assert agree(FiniteMDP.load(str(path)), mdp)


def test_outcome_rewards_survive(tmp_path):
    safe_or_risky().save(tmp_path / "a.npz")
    assert agree(FiniteMDP.load(tmp_path / "a.npz"), safe_or_risky())


@pytest.fixture
def arrays(tmp_path):
    forest(discount=0.9).save(tmp_path / "problem.npz")
    with np.load(tmp_path / "problem.npz", allow_pickle=False) as saved:
        return dict(saved)


def written(path, arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reward": None}, ("'reward'", "missing")),
        ({"surprise": np.zeros(1)}, ("'surprise'", "unknown")),
        ({"reward": np.zeros((2, 2))}, ("`reward`", "(2, 2)", "(3, 2)")),
        ({"terminal": np.zeros(3)}, ("`terminal`", "float64")),
        ({"discount": np.zeros(2)}, ("discount", "single number")),
        ({"discount": np.float64(3.0)}, ("`discount`", "3.0")),
        ({"format": np.int64(99)}, ("format 1", "99")),
        ({"horizon": np.int64(0)}, ("`horizon`", "0")),
        ({"probability": np.zeros((3, 2, 2))}, ("(state 0, action 0)", "sum to 1")),
        ({"reward": np.array([["x", "y"]] * 3, dtype=object)}, ("type object",)),
        ({"probability": np.zeros((3, 2, 2), order="F")}, ("Fortran",)),
    ],
)
def test_a_file_with_a_fault_is_refused(tmp_path, arrays, change, words):
    arrays = {name: array for name, array in (arrays | change).items() if array is not None}
    with pytest.raises(EntraxError) as caught:
        FiniteMDP.load(written(tmp_path / "bad.npz", arrays))
    for word in words:
        assert word in str(caught.value)


def test_a_file_that_is_not_an_archive_is_refused(tmp_path):
    for content in (b"", b"no archive", b"PK\x03\x04 and then nothing"):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(EntraxError, match=r"bad\.npz.*damaged"):
            FiniteMDP.load(tmp_path / "bad.npz")
    with pytest.raises(EntraxError, match="No such file"):
        FiniteMDP.load(tmp_path / "none.npz")
    with pytest.raises(EntraxError, match="cannot be written"):
        forest().save(tmp_path / "nowhere" / "a.npz")


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.99])
def test_a_file_cut_short_is_refused(tmp_path, keep):
    forest().save(tmp_path / "a.npz")
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(EntraxError, match="damaged"):
        FiniteMDP.load(tmp_path / "a.npz")


def test_every_flipped_byte_is_refused_or_harmless(tmp_path):
    forest().save(tmp_path / "a.npz")
    content = bytearray((tmp_path / "a.npz").read_bytes())
    refused = 0
    for place in range(0, len(content), 37):
        broken = bytearray(content)
        broken[place] ^= 0xFF
        (tmp_path / "b.npz").write_bytes(broken)
        try:
            assert agree(FiniteMDP.load(tmp_path / "b.npz"), forest())  # say, a time stamp
        except EntraxError:
            refused += 1
    assert refused > len(content) / 37 / 2


def test_a_header_that_claims_a_terabyte_is_refused_before_arrays_are_read(tmp_path, arrays):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 20, 1 << 10, 128)}
    )
    path = written(tmp_path / "big.npz", {name: array for name, array in arrays.items() if name != "probability"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("probability.npy", header.getvalue() + bytes(64))
    with pytest.raises(EntraxError, match="does not fit its shape"):
        FiniteMDP.load(path)


def test_a_compressed_file_is_refused_because_its_size_is_unknown(tmp_path, arrays):
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    with pytest.raises(EntraxError, match="compressed"):
        FiniteMDP.load(tmp_path / "packed.npz")


def test_a_file_that_is_not_regular_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    for name in ("pipe.npz", "folder.npz"):
        with pytest.raises(EntraxError, match=rf"{name} cannot be read"):
            FiniteMDP.load(tmp_path / name)


HEADERS = [
    b"{'descr': '<f8', 'fortran_order': False, 'shape': " + b"(" * 3000 + b"}",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807)}",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
    b"{'descr': 3, 'fortran_order': False, 'shape': ()}",
    b"[1]",
    b"-" * 9000 + b"1",
    b"{" * 5000,
    b"\xff\x00",
]


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_a_header_of_any_kind_is_refused(tmp_path, header):
    path = tmp_path / "problem.npz"
    forest(discount=0.9).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["reward.npy"] = b"\x93NUMPY\x01\x00" + len(header + b"\n").to_bytes(2, "little") + header + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(EntraxError, match=r"problem\.npz.*damaged"):
        FiniteMDP.load(path)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=20))
def test_changed_bytes_are_refused_or_make_no_difference(tmp_path_factory, changes):
    path = tmp_path_factory.mktemp("npz") / "problem.npz"
    forest(discount=0.9).save(path)
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(data)
    with contextlib.suppress(EntraxError):
        FiniteMDP.load(path)
