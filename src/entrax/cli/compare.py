"""`entrax compare`: what several runs say about several methods."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from entrax.cli.output import print_json
from entrax.errors import UsageError, show
from entrax.evaluation.compare import SCORES, EvaluatedRun, compare_groups, curves, grouped
from entrax.runs.checkpoint import check_config
from entrax.runs.directory import RunDirectory

FEWEST_SEEDS = 3
"""Seeds below which an interval is not shown: the bootstrap of two seeds ends at the seeds themselves."""


@click.command("compare")
@click.argument("runs", nargs=-1, required=True)
@click.option(
    "--score", default="final", show_default=True, help=f"{' or '.join(SCORES)}: a run's last return, or its mean."
)
@click.option("--figure", type=click.Path(path_type=Path), help="Draw learning curves with intervals into this file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(runs: tuple[str, ...], score: Any, figure: Path | None, as_json: bool, debug: bool) -> None:
    """Compare RUNS, seeds of the same configuration taken together, by their evaluations.

    Interquartile means with bootstrap intervals of 95 per cent, the probability that one method improves on another,
    and, over several environments, pooled scores and performance profiles (Agarwal et al. 2021).
    """
    groups = grouped([learned(path) for path in runs])
    found = compare_groups(groups, score)
    if figure is not None:
        from entrax.report.compare_figure import compare_figure

        several = len(found["tasks"]) > 1 and len(found["profiles"]) > 1
        profiles = found["profiles"] if several else None
        compare_figure(curves(groups), figure, profiles=profiles, thresholds=found["thresholds"])
    print_json(found) if as_json else show(text(found))
    if figure is not None:
        show(f"figure  {figure}", err=as_json)


def learned(path: str) -> EvaluatedRun:
    """What the run at `path` came to. Raises EntraxError when it was never evaluated or its config.json is damaged."""
    run = RunDirectory.open(path)
    check_config(run)
    evaluations = {row["step"]: row["evaluation"]["mean"] for row in run.metrics() if "evaluation" in row}
    evaluations = {step: mean for step, mean in evaluations.items() if mean is not None}
    if not evaluations:
        raise UsageError(f"{path} has no evaluations to compare: it was trained with --eval-every 0, or not at all.")
    return EvaluatedRun(name=str(path), config=run.config, evaluations=evaluations)


def text(found: dict[str, Any]) -> str:
    """The comparison as a table for every task, the probabilities, the pooled scores, and what to mind."""
    lines = []
    what = "return at the last step" if found["score"] == "final" else "mean return along the steps"
    width = max(len(group["method"]) for group in found["groups"]) + 2
    for task in dict.fromkeys(group["task"] for group in found["groups"]):
        lines += [f"{task}: {what}, over seeds", f"  {'method':{width}} seeds     steps  interquartile mean [95 %]"]
        for group in (group for group in found["groups"] if group["task"] == task):
            value = f"{group['interquartile_mean']:.1f}{interval(group, 1, len(group['seeds']))}"
            spread = f"mean {group['mean']:.1f} ± {group['std']:.1f}"
            count, step = len(group["seeds"]), f"{group['step']:,.0f}"
            lines.append(f"  {group['method']:{width}} {count:>5} {step:>9}  {value:32} {spread}")
    if found["improvement"]:
        lines.append("probability that a run of one is better than a run of the other")
    for row in found["improvement"]:
        sides = f"{row['method']} over {row['over']}"
        fewest = min(seeds_of(found, row[side], row["tasks"]) for side in ("method", "over"))
        fewest = fewest if row["low"] < row["high"] else 0  # an interval of one point is no interval
        lines.append(f"  {sides:{2 * width + 4}} {row['value']:.2f}{interval(row, 2, fewest)}")
    if len(found["tasks"]) > 1 and len(found["pooled"]) > 1:
        lines.append(f"scaled to 0…1 and pooled over {len(found['tasks'])} environments: interquartile mean [95 %]")
        for method, pooled in found["pooled"].items():
            shown = interval(pooled, 3, seeds_of(found, method, found["tasks"]))
            lines.append(f"  {method:{width}} {pooled['value']:.3f}{shown}")
    few = min(len(group["seeds"]) for group in found["groups"])
    if few < FEWEST_SEEDS:
        lines.append(f"An interval needs at least {FEWEST_SEEDS} seeds; five or more are better.")
    elif few < 5:
        lines.append(f"Intervals of {few} seeds are too narrow; five or more are better.")
    return "\n".join([*lines, *found["warnings"]])


def seeds_of(found: dict[str, Any], method: str, tasks: Sequence[str]) -> int:
    """The runs of a method on some tasks."""
    return sum(len(g["seeds"]) for g in found["groups"] if g["method"] == method and g["task"] in tasks)


def interval(found: dict[str, Any], digits: int, seeds: int) -> str:
    """The interval behind a value; nothing where there are too few seeds for one."""
    return "" if seeds < FEWEST_SEEDS else f" [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"
