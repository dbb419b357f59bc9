"""Devices and threads are chosen before JAX starts: afterwards a choice has no effect, and nothing would say so."""

import subprocess
import sys

SCRIPT = """
import os, sys
import entrax

if sys.argv[1] == "train":
    entrax.train(
        "Pendulum-v1", agent="sac", run=sys.argv[2], steps=60, learning_starts=20, chunk=10, hidden=(8,), batch_size=4,
        log_every=20, eval_every=0, eval_episodes=1, threads=1, hook=lambda row: True,
    )
else:
    entrax.resume(sys.argv[2])
import jax

print(len(jax.devices("cpu")), os.environ["NPROC"])
"""


def test_a_run_begun_or_resumed_acts_on_a_device_of_its_own_with_the_threads_it_was_given(tmp_path):
    for verb in ("train", "resume"):
        command = [sys.executable, "-c", SCRIPT, verb, str(tmp_path / "run")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.split()[-2:] == ["2", "1"], verb
