"""How figures reach the disk: whole or not at all."""

import io
from pathlib import Path
from typing import Any

from entrax.errors import EntraxError, plain
from entrax.runs.records import publish_bytes


def save_figure(figure: Any, path: Path, dpi: int = 130) -> None:
    """Write a Matplotlib figure in the format that `path` ends with, PNG by default.

    Texts, which may come from a run's files, are drawn as they are: none is taken as a formula.
    Raises EntraxError for a format that Matplotlib does not know, and CannotWrite.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_text() and "\\mathdefault" not in text.get_text():  # Matplotlib writes it on logarithmic axes
            text.set(text=plain(text.get_text()), parse_math=False)
    drawn = io.BytesIO()
    try:
        figure.savefig(drawn, dpi=dpi, format=path.suffix[1:] or "png")
    except ValueError as error:
        raise EntraxError(f"The figure {path} cannot be written: {error}.") from error
    publish_bytes(path, drawn.getvalue())
