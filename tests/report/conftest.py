"""Makes the toys importable in other processes."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _importable_toys(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
