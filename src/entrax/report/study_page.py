"""One HTML page with all studies in the order of the lecture: claim, picture, verdict, what to look at, the command.

Figures and posters are part of the page. Films lie beside it, in the directories of their studies, and are played from
there without a network.
"""

import html
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from entrax.errors import plain
from entrax.report.html import STYLE, embedded
from entrax.runs.records import publish_bytes

NOT_RUN = "not run"
VERDICTS = ("supported", "refuted", "undecided", "control failed", NOT_RUN)
PAGE_STYLE = """
h2 { font-size: 1.3rem; margin-top: 3rem; } h3 { font-size: 1.1rem; margin: 0 0 .3rem; }
article { border-top: 1px solid #8886; padding-top: 1rem; margin-top: 2rem; } figure { margin: 1rem 0; }
.claim { font-size: 1.1rem; margin: 0; } .note { font-style: italic; }
nav td:first-child { color: inherit; white-space: normal; } .part td { border: 0; padding-top: 1rem; }
.verdict { background: #5f6570; color: #fff; border-radius: 4px; padding: .1rem .5rem; white-space: nowrap; }
.supported { background: #1f7a47; } .refuted { background: #b3324a; } .control-failed { background: #9a5b00; }
.not-run { background: none; color: inherit; outline: 1px solid #888; }
pre { background: #8882; padding: .6rem .8rem; border-radius: 6px; white-space: pre-wrap; }
details { margin: .4rem 0; } summary { cursor: pointer; }
"""
INTRODUCTION = """Each claim of the lectures on soft optimality is an experiment here. Before its first seed the study
fixed a criterion, stated what its seeds can detect, and had to see the effect in a case where it is known to be there,
the positive control. Criterion and statement are folded below the picture; click it to enlarge it. The command at the
end of a study runs it again, with the same result."""
UNDECIDED = """“Undecided” does not mean that the claim is false: the effect may be smaller than what so few seeds
detect."""


class Entry(NamedTuple):
    """A study on the page. `result` is its result, as in its numbers.json, or None if it has not been run."""

    name: str
    claim: str
    criterion: str
    look: str
    result: Mapping[str, Any] | None

    @property
    def verdict(self) -> str:
        """The verdict, or `NOT_RUN`."""
        return NOT_RUN if self.result is None else str(self.result["verdict"])


class Part(NamedTuple):
    """A chapter of the page."""

    title: str
    text: str
    entries: Sequence[Entry]


def write_page(out: Path, parts: Sequence[Part]) -> Path:
    """Write `out`/index.html and return its path.

    Args:
        out: the directory of results, with the figures and films of every study.
        parts: the chapters, in their order.

    Raises:
        CannotWrite: if the page cannot be written.
    """
    body = [
        f"<h1>What soft optimality buys</h1><p>{INTRODUCTION}</p>",
        f"<nav aria-label='Contents'><h2>Contents</h2>{_count(parts)}{_contents(parts)}</nav>",
        *(_chapter(out, number, part) for number, part in enumerate(parts, start=1)),
    ]
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>entrax: studies</title><style>{STYLE}{PAGE_STYLE}</style>"
    )
    page = f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(body)}</body></html>"
    path = out / "index.html"
    publish_bytes(path, plain(page).encode())
    return path


def command_of(entry: Entry) -> str:
    """Return the command that runs a study again with the same result, or its quick form if it has not been run."""
    result, words = entry.result, ["entrax", "study", entry.name]
    if result is None:
        return shlex.join([*words, "--quick"])
    words += ["--quick"] if result["quick"] else []
    words += ["--seeds", str(result["seeds"])]
    words += ["--first-seed", str(result["first_seed"])] if result["first_seed"] else []
    return shlex.join(words)


def _count(parts: Sequence[Part]) -> str:
    """Return how many claims have each verdict, in a sentence."""
    counts = Counter(entry.verdict for part in parts for entry in part.entries)
    each = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    return f"<p>Of {counts.total()} claims: {each}. {UNDECIDED if counts['undecided'] else ''}</p>"


def _contents(parts: Sequence[Part]) -> str:
    rows = []
    for number, part in enumerate(parts, start=1):
        link = f"<a href='#part-{number}'>{html.escape(part.title)}</a>"
        rows.append(f"<tr class='part'><td colspan='3'><b>{number}. {link}</b></td></tr>")
        for entry in part.entries:
            name = html.escape(entry.name)
            rows.append(
                f"<tr><td><a href='#{name}'>{name}</a></td><td>{_badge(entry.verdict)}</td>"
                f"<td>{html.escape(entry.claim)}</td></tr>"
            )
    return f"<table>{''.join(rows)}</table>"


def _chapter(out: Path, number: int, part: Part) -> str:
    studies = "".join(_study(out, entry) for entry in part.entries)
    title, text = html.escape(part.title), html.escape(part.text)
    return f"<section id='part-{number}'><h2>{number}. {title}</h2><p>{text}</p>{studies}</section>"


def _study(out: Path, entry: Entry) -> str:
    name = html.escape(entry.name)
    claim = entry.claim if entry.result is None else entry.result["claim"]
    top = f"<article id='{name}'><h3>{name}</h3><p class='claim'>{html.escape(claim)}</p>"
    command = f"<pre><code>{html.escape(command_of(entry))}</code></pre></article>"
    if entry.result is None:
        return f"{top}<p>{_badge(NOT_RUN)} To run it, or without <code>--quick</code> its full form:</p>{command}"
    pictures = _pictures(out, entry)
    parts = [top, *pictures, *_verdict(entry, entry.result, seen=bool(pictures)), *_folded(entry.result), command]
    return "".join(parts)


def _pictures(out: Path, entry: Entry) -> list[str]:
    """Return figure and film, if the study has them."""
    name, folder = html.escape(entry.name), out / entry.name
    figure, film, poster = folder / "figure.png", folder / "film.mp4", folder / "film.png"
    parts = []
    if figure.is_file():
        shown = html.escape(entry.look.split(". ")[0].rstrip("."))
        image = f"<img alt='Figure of {name}. {shown}.' src='{embedded(figure)}'>"
        parts.append(f"<figure><a href='{_link(entry, figure.name)}'>{image}</a></figure>")
    if film.is_file():
        still = f" poster='{embedded(poster)}'" if poster.is_file() else ""
        parts.append(
            f"<figure><video aria-label='Film of {name}' controls loop muted playsinline preload='none'{still} "
            f"src='{_link(entry, film.name)}'></video></figure>"
        )
    return parts


def _link(entry: Entry, file: str) -> str:
    """Return the address of a file of a study, relative to the page."""
    return html.escape(quote(f"{entry.name}/{file}"))


def _verdict(entry: Entry, result: Mapping[str, Any], *, seen: bool) -> list[str]:
    """Return verdict, the runs that it is based on, and what to look at in a picture that can be seen."""
    first, last = result["first_seed"], result["first_seed"] + result["seeds"] - 1
    seeds = f"seed {first}" if first == last else f"seeds {first} to {last}"
    form = "quick" if result["quick"] else "full"
    numbers = f"<a href='{_link(entry, 'numbers.json')}'>numbers</a>"
    parts = [f"<p>{_badge(result['verdict'])} {seeds}, {form} form, {numbers}</p>"]
    if result["verdict"] == "control failed":
        parts.append("<p>The study did not see the effect in its positive control, so that no seed was run.</p>")
    if seen:
        parts.append(f"<p><b>What to look at.</b> {html.escape(entry.look)}</p>")
    if (entry.claim, entry.criterion) != (result["claim"], result["criterion"]):
        parts.append(
            "<p class='note'>Judged by an earlier criterion, which is below. Run it again for the present one.</p>"
        )
    return parts


def _folded(result: Mapping[str, Any]) -> list[str]:
    stated = "".join(f"<li>{html.escape(line)}</li>" for line in result["statement"]["lines"])
    criterion = html.escape(result["criterion"])
    return [
        f"<details><summary>The criterion</summary><p>{criterion}</p></details>",
        f"<details><summary>Stated before the first seed</summary><ul>{stated}</ul></details>",
    ]


def _badge(verdict: str) -> str:
    return f"<b class='verdict {html.escape(verdict.replace(' ', '-'))}'>{html.escape(verdict)}</b>"
