"""The results at the end of a run, read from its events, and the words for them."""

from typing import Any

from entrax.runs.directory import RunDirectory


def final_evaluations(run: RunDirectory) -> dict[str, dict[str, Any]]:
    """Return the last evaluations of a run by name: `mode`, `sampled` and `best`.

    Evaluations at an earlier number of steps, from before a run was extended, are ignored. Runs of older versions
    name no evaluation; theirs go by the policy that was evaluated.
    """
    steps = run.config["training"]["steps"]
    rows = [row for row in run.events() if row.get("kind") == "evaluation" and row.get("step", steps) == steps]
    return {row.get("which", row["policy"]): row for row in rows}


def success_text(rate: float | None) -> str:
    """Return the share of successful episodes as text; empty if it is not reported."""
    return "" if rate is None else f", {rate:.0%} successful"
