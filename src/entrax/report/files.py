"""Write figures to disk atomically."""

import io
from pathlib import Path
from typing import Any

from entrax.errors import EntraxError, plain
from entrax.runs.records import publish_bytes


def save_figure(figure: Any, path: Path, dpi: int = 130) -> None:
    """Write a Matplotlib figure in the format that `path` ends with, PNG by default.

    Texts may come from a run's files and are drawn literally, never as formulas.

    Raises:
        EntraxError: for a format that Matplotlib does not know.
        CannotWrite: if the file cannot be written.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_text() and "\\mathdefault" not in text.get_text():  # Matplotlib's own markup on logarithmic axes
            text.set(text=plain(text.get_text()), parse_math=False)
    drawn = io.BytesIO()
    try:
        figure.savefig(drawn, dpi=dpi, format=path.suffix[1:] or "png")
    except ValueError as error:
        raise EntraxError(f"The figure {path} cannot be written: {error}.") from error
    publish_bytes(path, drawn.getvalue())
