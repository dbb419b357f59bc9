"""Replays that don't fit into memory."""

import re
from typing import Any

import pytest

import entrax
from entrax.errors import EntraxError
from entrax.training import memory
from tests.environments.dots import Dot

SETTINGS: dict[str, Any] = {
    "workers": 0,
    "eval_every": 0,
    "hidden": (8, 8),
    "learning_starts": 16,
    "chunk": 8,
    "batch_size": 8,
}


def test_too_many_images_are_refused_with_the_numbers_before_anything_begins(tmp_path):
    many: dict[str, Any] = {"steps": 2 * 10**9, "replay_size": 2 * 10**9}
    with pytest.raises(EntraxError, match=r"2,000,000,000 transitions .* GB .* `replay_size`") as refused:
        entrax.train(Dot, "dqn", run=tmp_path / "run", **SETTINGS | many)
    assert not list(tmp_path.iterdir())
    found = re.search(r"at most ([\d,]+)", str(refused.value))
    assert found is not None
    fits = int(found[1].replace(",", ""))
    assert 0.7 < fits * (2 * 200 + 4 + 4 + 2) / memory.memory_limit() < 0.8


def test_what_the_steps_leave_unused_does_not_count(tmp_path, monkeypatch):
    run = entrax.train(Dot, "dqn", run=tmp_path / "run", **SETTINGS | {"steps": 32, "replay_size": 10**12})
    before = (run.path / "config.json").read_bytes()
    monkeypatch.setattr(memory, "memory_limit", lambda: 40 * 410)
    with pytest.raises(EntraxError, match="replay"):
        entrax.resume(run.path, env=Dot, steps=64)
    assert (run.path / "config.json").read_bytes() == before


@pytest.mark.parametrize(("text", "limit"), [("12345\n", 12345), ("max\n", None), ("9" * 30, None)])
def test_a_container_may_use_less_than_the_machine_has(tmp_path, monkeypatch, text, limit):
    monkeypatch.setattr(memory, "CONTROL_GROUPS", ())
    machine = memory.memory_limit()
    (tmp_path / "memory.max").write_text(text)
    monkeypatch.setattr(memory, "CONTROL_GROUPS", (str(tmp_path / "memory.max"), str(tmp_path / "none")))
    assert memory.memory_limit() == (machine if limit is None else limit)


def test_transitions_of_the_initial_state_count_too(tmp_path, monkeypatch):
    settings: dict[str, Any] = SETTINGS | {"steps": 32, "replay_size": 10**6}
    run = entrax.train(Dot, "dqn", run=tmp_path / "run", **settings)
    monkeypatch.setattr(memory, "memory_limit", lambda: 50 * 410)  # the networks are smaller than that
    with pytest.raises(EntraxError, match="A replay of 65 transitions"):
        entrax.finetune(run.path, Dot, steps=32, keep_replay=True, run=tmp_path / "tuned")
