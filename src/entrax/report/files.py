"""How figures reach the disk: whole or not at all."""

import io
from pathlib import Path
from typing import Any

from entrax.errors import EntraxError
from entrax.runs.records import publish_bytes


def save_figure(figure: Any, path: Path, dpi: int = 130) -> None:
    """Write a Matplotlib figure in the format that `path` ends with, PNG by default.

    Raises EntraxError for a format that Matplotlib does not know, and CannotWrite.
    """
    drawn = io.BytesIO()
    try:
        figure.savefig(drawn, dpi=dpi, format=path.suffix[1:] or "png")
    except ValueError as error:
        raise EntraxError(f"The figure {path} cannot be written: {error}.") from error
    publish_bytes(path, drawn.getvalue())
