"""The figure and the film of a study, kept beside its numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entrax.report import study_figures


def draw_pictures(result: Mapping[str, Any], folder: Path, *, keep: bool = False) -> list[Path]:
    """Draw figure.png and film.mp4 with its poster film.png from a study's result.

    Pictures that this result does not have are removed: they belong to an earlier one.

    Args:
        result: the result, as in its numbers.json.
        folder: the directory of numbers.json.
        keep: whether to keep pictures that are newer than numbers.json.

    Returns:
        The figure and the film that the study has.

    Raises:
        CannotWrite: if a file cannot be written.
    """
    name, numbers = result["study"], result["numbers"]
    figure, film = folder / "figure.png", folder / "film.mp4"
    for picture in (figure, film):
        if not (keep and numbers and _is_current(picture)):
            picture.unlink(missing_ok=True)
    if not film.exists():
        film.with_suffix(".png").unlink(missing_ok=True)
    if numbers and name in study_figures.FIGURES and not figure.exists():
        study_figures.draw_study(result, figure)
    if numbers and name in study_figures.FILMS and not film.exists():
        study_figures.FILMS[name](numbers, folder)
    return [picture for picture in (figure, film) if picture.exists()]


def _is_current(picture: Path) -> bool:
    """Return whether a picture was written after the numbers beside it."""
    numbers = picture.with_name("numbers.json")
    return picture.is_file() and picture.stat().st_mtime_ns >= numbers.stat().st_mtime_ns
