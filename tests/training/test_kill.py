"""SIGKILL at any moment, also inside the writing of a file: what comes out is what the undisturbed command leaves."""

import os
from collections import Counter

import pytest

from tests.kills import QUICK, VARIANTS, Victim, serving


def kill(folder, name, kills):
    """Kill runs of a variant until there were so many kills; each must come to what the undisturbed one came to."""
    done: Counter[str] = Counter()
    runs = 0
    with serving(folder) as server:
        victim = Victim(server, name, folder / "runs")
        while done.total() < kills:
            more, differences = victim.killed(runs, kills - done.total())
            assert differences == [], f"run {runs} after {dict(more)}"
            done, runs = done + more, runs + 1
    return done, runs


@pytest.mark.long
def test_killed_three_times(tmp_path):
    kill(tmp_path, QUICK, 3)


@pytest.mark.long
@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_many_times(tmp_path, variant):
    done, runs = kill(tmp_path, variant, int(os.environ.get("ENTRAX_KILLS", "40")))
    print(f"{variant}: {done.total()} kills in {runs} runs, all the same: {dict(done)}")
