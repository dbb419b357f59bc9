"""The verdicts of all studies on one HTML page that loads no other file."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from entrax.errors import plain
from entrax.report.html import STYLE
from entrax.runs.records import publish_bytes

COLOURS = {"supported": "#2a9d5c", "refuted": "#d1495b", "undecided": "#8a8f98", "control failed": "#c77d00"}


def write_page(out: Path, results: Sequence[Mapping[str, Any]]) -> Path:
    """Write `out`/index.html from the results and figures of studies; return its path."""
    rows = "".join(
        f"<tr><td><a href='#{html.escape(each['study'])}'>{html.escape(each['study'])}</a></td>"
        f"<td>{_badge(each['verdict'])}</td><td>{html.escape(each['claim'])}</td></tr>"
        for each in results
    )
    sections = "".join(_section(out, each) for each in results)
    head = "<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>entrax: studies</title>"
    page = (
        f"<!doctype html><html lang='en'><head>{head}<style>{STYLE}</style></head><body><h1>Studies</h1>"
        f"<table>{rows}</table>{sections}</body></html>"
    )
    path = out / "index.html"
    publish_bytes(path, plain(page).encode())
    return path


def _section(out: Path, result: Mapping[str, Any]) -> str:
    name = html.escape(result["study"])
    figure = out / result["study"] / "figure.png"
    image = ""
    if result["numbers"] and figure.is_file():
        content = base64.b64encode(figure.read_bytes()).decode()
        image = f"<img alt='{name}' src='data:image/png;base64,{content}'>"
    film, poster = (out / result["study"] / name for name in ("film.mp4", "film.png"))
    if result["numbers"] and film.is_file() and poster.is_file():
        still, moving = (base64.b64encode(each.read_bytes()).decode() for each in (poster, film))
        image += (
            f"<video controls loop muted poster='data:image/png;base64,{still}' "
            f"src='data:video/mp4;base64,{moving}'></video>"
        )
    first, count = result["first_seed"], result["seeds"]
    size = f"seeds {first} to {first + count - 1}, {'quick' if result['quick'] else 'full'}"
    stated = "".join(f"<li>{html.escape(line)}</li>" for line in result["statement"]["lines"])
    return (
        f"<h2 id='{name}'>{name} {_badge(result['verdict'])}</h2><p>{html.escape(result['claim'])}</p>"
        f"<p>Stated before the first seed:</p><ul>{stated}</ul>{image}"
        f"<p><small>{html.escape(result['criterion'])} ({size})</small></p>"
    )


def _badge(verdict: str) -> str:
    return f"<b style='color:{COLOURS[verdict]}'>{html.escape(verdict)}</b>"
