"""The report of a run of `entrax control`, and the words for its results."""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entrax.report.html import film, origin, publish_page, table
from entrax.runs.directory import RunDirectory

SIMULATORS = {
    "model": "the environment's own MuJoCo model, with a batched reward",
    "copies": "copies of the environment",
}
TERMS = """A return is the sum of the rewards of an episode, without discount; ± is the standard deviation over
episodes. Nothing was trained: every decision simulates plans from the environment's present state, takes the first
action of the best, and plans again."""


def control_lines(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return the results of `ControlRun.summary` in words, by their names."""
    decision, episodes = summary["decision"], summary["episodes"]
    count = f"{episodes} {'episode' if episodes == 1 else 'episodes'}"
    lines = {
        "return": f"{summary['mean']:.1f} ± {summary['std']:.1f} over {count}",
        "decision": f"{decision['median_ms']:.1f} ms (median), {decision['p90_ms']:.1f} ms (90th percentile)",
        "physics": f"{summary['physics_share']:.0%} of that time, in {SIMULATORS[summary['simulator']]}",
    }
    if "effective_samples" in summary:
        effective = summary["effective_samples"]
        lines["effective samples"] = f"{effective['median']:.1f} (median), {effective['least']:.1f} at least"
    if "finite_plans" in summary and summary["finite_plans"] < 1:
        lines["finite plans"] = f"{summary['finite_plans']:.2%}"
    if summary.get("on_one_sample"):
        lines["advice"] = (
            f"{summary['on_one_sample']:.1%} of decisions rest on one plan, which has all the weight. "
            "Raise `temperature` or `samples`."
        )
    return lines


def write_control_report(run: RunDirectory, summary: Mapping[str, Any], no_video: str | None) -> Path:
    """Write report.html and return its path.

    Args:
        run: the run.
        summary: of `ControlRun.summary`.
        no_video: why there is no film.
    """
    config = run.config
    title = f"{config['environment']['id']} · {config['agent']} · seed {config['seed']}"
    parts = [f"<h1>{html.escape(title)}</h1>", origin(run.events(), "Played"), table(control_lines(summary), "big")]
    parts += [f"<p>{TERMS}</p>", film(run, no_video)]
    episodes = {
        f"episode {row['episodes']}": f"return {row['return']:.1f} in {row['length']} steps" for row in run.metrics()
    }
    for heading, values in (
        ("Episodes", episodes),
        ("Planner", config["agent_config"] | config["control"]),
        ("Environment", config["environment"]["kwargs"]),
        ("Versions", config["versions"]),
    ):
        if values:
            parts += [f"<h2>{heading}</h2>", table(values)]
    return publish_page(run.report, title, parts)
