"""Marks that test files share."""

from collections.abc import Iterable
from typing import Any

import pytest


def long_except(quick: Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """Return the parameters of a test, with all but the quick ones marked as long.

    A case of several parameters is a tuple, of which the first is looked for in `quick`.
    """
    result = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        result.append(pytest.param(*values, marks=() if values[0] in quick else pytest.mark.long))
    return result
