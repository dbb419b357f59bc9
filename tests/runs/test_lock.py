import os
import signal
import subprocess
import sys

import pytest

from entrax.errors import EntraxError
from entrax.runs.lock import writing

HOLD = """
import signal, sys
from pathlib import Path
from entrax.runs.lock import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


def test_a_second_holder_is_refused_and_the_lock_dies_with_the_first(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(EntraxError, match=rf"Another process \(number {holder.pid}\) is training"), writing(tmp_path):
        pytest.fail("two held it")
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with writing(tmp_path), pytest.raises(EntraxError, match="is training"), writing(tmp_path):
        pytest.fail("two held it")
    with writing(tmp_path):
        pass


FORK = """
import os, signal, sys
from pathlib import Path
from entrax.runs.lock import writing
with writing(Path(sys.argv[1])):
    if os.fork() == 0:  # as an environment may do
        print("held", flush=True)
    signal.pause()
"""


def test_a_child_that_was_forked_does_not_keep_the_lock(tmp_path):
    command = [sys.executable, "-c", FORK, str(tmp_path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(EntraxError, match="is training"), writing(tmp_path):
        pytest.fail("two held it")
    holder.kill()
    holder.wait()
    with writing(tmp_path):
        os.killpg(holder.pid, signal.SIGKILL)  # the child lived until here
    holder.stdout.close()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "target").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(EntraxError, match="cannot be locked"), writing(tmp_path):
        pytest.fail("it was followed")
    assert (tmp_path / "target").read_text() == "precious"


def test_a_system_without_such_locks_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("entrax.errors.POSIX", False)
    with pytest.raises(EntraxError, match=r"Linux or macOS.*WSL"), writing(tmp_path):
        pass
