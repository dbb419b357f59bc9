"""The report of a run: one HTML file that loads no other."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from entrax.errors import plain
from entrax.report.results import final_evaluations, success_text
from entrax.runs.directory import RunDirectory
from entrax.runs.records import publish_bytes, read_whole

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
img, video { max-width: 100%; height: auto; } table { border-collapse: collapse; width: 100%; }
td { padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #eee; vertical-align: top; word-break: break-word; }
td:first-child { color: #666; white-space: nowrap; } .big td { font-size: 1.1rem; }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #ddd; } td { border-color: #333; }
  td:first-child { color: #aaa; }
  img { background: #fff; border-radius: 6px; } }
"""


LARGEST_PICTURE = 256 * 2**20  # bytes of a figure or a film
NAMES = {"mode": "return of the mode", "sampled": "of sampled actions", "best": "of the best checkpoint"}
TERMS = """A return is the sum of the rewards of an episode, without discount; ± is the standard deviation over
episodes. The mode is the most likely action of the policy; sampled actions are drawn from the policy, as in training.
The best checkpoint has the highest mean return of the evaluations during training; the episodes at the end have other
seeds."""
CURVE = """Points are evaluations during training; the shade holds 80 % of their episodes. The thin line shows the
smoothed returns of training episodes. The panels below show metrics of the agent."""


def write_report(run: RunDirectory, *, no_video: str | None = None) -> Path:
    """Write report.html from the files of a run and return its path.

    `no_video` says why there is no film.
    """
    config = run.config
    title = f"{config['environment']['id']} · {config['agent']} · seed {config['seed']}"
    events = run.events()
    parts = [f"<h1>{html.escape(title)}</h1>", origin(events), table(_numbers(run), "big"), f"<p>{TERMS}</p>"]
    if run.figure.is_file():
        parts += [f'<img alt="learning curve" src="{embedded(run.figure)}">', f"<p>{CURVE}</p>"]
    parts.append(film(run, no_video))
    for heading, values in (
        ("Training", config["training"] | {"preset": config["preset"]}),
        ("Agent", config["agent_config"]),
        ("Environment", config["environment"]["kwargs"]),
        ("Versions", config["versions"]),
    ):
        if values:
            parts += [f"<h2>{heading}</h2>", table(values)]
    messages = [f"step {e.get('step') or 0:,}: {e['message']}" for e in events if "message" in e]
    parts += [
        "<h2>Events</h2>",
        *(f"<p>{html.escape(event)}</p>" for event in messages or ["No warning and no fault."]),
    ]
    return publish_page(run.report, title, parts)


def publish_page(path: Path, title: str, parts: Sequence[str]) -> Path:
    """Write a page of parts that are HTML, and return its path."""
    head = (
        f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{html.escape(title)}</title>"
    )
    page = (
        f"<!doctype html><html lang='en'><head>{head}<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
    publish_bytes(path, plain(page).encode())
    return path


def embedded(path: Path) -> str:
    """Return a PNG or an MP4 as a data URL, so that a page loads no other file.

    Raises:
        EntraxError: if it is missing, no plain file or too large.
    """
    content = base64.b64encode(read_whole(path, LARGEST_PICTURE)).decode()
    return f"data:{'video/mp4' if path.suffix == '.mp4' else 'image/png'};base64,{content}"


def film(run: RunDirectory, no_video: str | None) -> str:
    """Return the film of a run, or the reason why it has no film; empty if neither is known."""
    if run.video.is_file():
        return f'<video controls muted loop playsinline src="{embedded(run.video)}"></video>'
    return "" if no_video is None else f"<p>No video: {html.escape(no_video)}.</p>"


def origin(events: Sequence[Mapping[str, Any]], verb: str = "Trained") -> str:
    """Return the command that started the run, and when; empty for older runs."""
    for event in events:
        if event.get("kind") == "started":
            date = str(event["time"]["date"]).replace("T", " ").replace("+00:00", " UTC")
            return f"<p>{verb} by <code>{html.escape(event['command'])}</code>, started on {html.escape(date)}.</p>"
    return ""


def _numbers(run: RunDirectory) -> dict[str, Any]:
    rows = run.metrics()
    numbers: dict[str, Any] = {}
    for name, row in final_evaluations(run).items():
        result = "not finite" if None in (row["mean"], row["std"]) else f"{row['mean']:.1f} ± {row['std']:.1f}"
        numbers[NAMES[name]] = f"{result} ({row['episodes']} episodes{success_text(row.get('success_rate'))})"
    evaluations = [row for row in rows if "evaluation" in row and row["evaluation"]["mean"] is not None]
    if evaluations:
        best = max(evaluations, key=lambda row: row["evaluation"]["mean"])
        numbers["best during training"] = f"{best['evaluation']['mean']:.1f} at step {best['step']:,}"
    trained = [row for row in rows if "evaluation" not in row]
    if trained:
        last, seconds = trained[-1], trained[-1]["time"]["seconds"]
        numbers["steps"] = f"{last['step']:,} in {seconds:.0f} s of training ({last['step'] / seconds:.0f} a second)"
        numbers["updates"] = f"{last['updates']:,} ({last['updates'] / seconds:.0f} a second)"
    return numbers


def table(values: Mapping[str, Any], style: str = "") -> str:
    """Return names and values as an HTML table."""
    rows = (
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(_text(value))}</td></tr>" for name, value in values.items()
    )
    return f"<table class='{style}'>{''.join(rows)}</table>"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
