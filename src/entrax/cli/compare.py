"""`entrax compare`: compare methods by the evaluations of several runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from entrax.cli.output import print_json
from entrax.cli.shared_options import OUTPUT
from entrax.errors import UsageError, show
from entrax.evaluation.compare import SCORES, EvaluatedRun, compare_groups, curves, grouped
from entrax.runs.checkpoints import check_config
from entrax.runs.directory import RunDirectory

FEWEST_SEEDS = 3
"""The fewest seeds for which an interval is printed: a bootstrap of two seeds ends at the seeds themselves."""


@click.command("compare")
@click.argument("runs", nargs=-1, required=True)
@click.option(
    "--score", default="final", show_default=True, help=f"{' or '.join(SCORES)}: a run's last return, or its mean."
)
@click.option("--figure", type=click.Path(path_type=Path), help="Draw learning curves with intervals into this file.")
@OUTPUT
def command(runs: tuple[str, ...], score: Any, figure: Path | None, as_json: bool, debug: bool) -> None:
    """Compare methods by the evaluations of RUNS.

    Runs that differ in the seed only form one method.

    Prints interquartile means with bootstrap intervals of 95 per cent, the probability that one method improves on
    another, and, over several environments, pooled scores and performance profiles (Agarwal et al. 2021).
    """
    groups = grouped([read_evaluations(path) for path in runs])
    result = compare_groups(groups, score)
    if figure is not None:
        from entrax.report.compare_figure import compare_figure

        several = len(result["tasks"]) > 1 and len(result["profiles"]) > 1
        profiles = result["profiles"] if several else None
        compare_figure(curves(groups), figure, profiles=profiles, thresholds=result["thresholds"])
    print_json(result) if as_json else show(text(result))
    if figure is not None:
        show(f"figure  {figure}", err=as_json)


def read_evaluations(path: str) -> EvaluatedRun:
    """Read the evaluations of the run at `path`.

    Raises:
        EntraxError: if the run has no evaluations, or its config.json is damaged.
    """
    run = RunDirectory.open(path)
    check_config(run)
    evaluations = {row["step"]: row["evaluation"]["mean"] for row in run.metrics() if "evaluation" in row}
    evaluations = {step: mean for step, mean in evaluations.items() if mean is not None}
    if not evaluations:
        raise UsageError(f"{path} has no evaluations to compare. Train it with --eval-every above 0.")
    return EvaluatedRun(name=str(path), config=run.config, evaluations=evaluations)


def text(result: dict[str, Any]) -> str:
    """Return the comparison as text."""
    lines = []
    score = "return at the last step" if result["score"] == "final" else "mean return along the steps"
    width = max(len(group["method"]) for group in result["groups"]) + 2
    for task in dict.fromkeys(group["task"] for group in result["groups"]):
        lines += [f"{task}: {score}, over seeds", f"  {'method':{width}} seeds     steps  interquartile mean [95 %]"]
        for group in (group for group in result["groups"] if group["task"] == task):
            value = f"{group['interquartile_mean']:.1f}{interval(group, 1, len(group['seeds']))}"
            spread = f"mean {group['mean']:.1f} ± {group['std']:.1f}"
            count, step = len(group["seeds"]), f"{group['step']:,.0f}"
            lines.append(f"  {group['method']:{width}} {count:>5} {step:>9}  {value:32} {spread}")
    if result["improvement"]:
        lines.append("probability that a run of one is better than a run of the other")
    for row in result["improvement"]:
        sides = f"{row['method']} over {row['over']}"
        fewest = min(seeds_of(result, row[side], row["tasks"]) for side in ("method", "over"))
        fewest = fewest if row["low"] < row["high"] else 0  # an interval of one point is no interval
        lines.append(f"  {sides:{2 * width + 4}} {row['value']:.2f}{interval(row, 2, fewest)}")
    if len(result["tasks"]) > 1 and len(result["pooled"]) > 1:
        lines.append(f"scaled to 0…1 and pooled over {len(result['tasks'])} environments: interquartile mean [95 %]")
        for method, pooled in result["pooled"].items():
            shown = interval(pooled, 3, seeds_of(result, method, result["tasks"]))
            lines.append(f"  {method:{width}} {pooled['value']:.3f}{shown}")
    few = min(len(group["seeds"]) for group in result["groups"])
    if few < FEWEST_SEEDS:
        lines.append(f"An interval needs at least {FEWEST_SEEDS} seeds; five or more are better.")
    elif few < 5:
        lines.append(f"Intervals of {few} seeds are too narrow; five or more are better.")
    return "\n".join([*lines, *result["warnings"]])


def seeds_of(result: dict[str, Any], method: str, tasks: Sequence[str]) -> int:
    """Return the number of runs of a method on some tasks."""
    return sum(len(g["seeds"]) for g in result["groups"] if g["method"] == method and g["task"] in tasks)


def interval(row: dict[str, Any], digits: int, seeds: int) -> str:
    """Return the interval of a value as text; empty if seeds are too few for one."""
    return "" if seeds < FEWEST_SEEDS else f" [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
