"""Makes `toys` importable by name here, and by the same sys.path in the workers."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
