"""`entrax compare`: what several runs say about several methods."""

import json
from pathlib import Path
from typing import Any

import click

from entrax.cli.output import print_json
from entrax.errors import EntraxError
from entrax.evaluation.compare import SCORES, Learned, compare, curves, grouped
from entrax.runs.checkpoint import check_config
from entrax.runs.directory import RunDirectory


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
    found = compare(groups, score)
    if figure is not None:
        from entrax.report.compare_figure import compare_figure

        several = len(found["profiles"]) > 1 and any(len(group["seeds"]) > 1 for group in found["groups"])
        profiles = found["profiles"] if several else None
        try:
            compare_figure(curves(groups), figure, profiles=profiles, thresholds=found["thresholds"])
        except (OSError, ValueError) as error:  # ValueError: a format that Matplotlib does not know
            raise EntraxError(f"The figure {figure} cannot be written: {error}.") from error
    print_json(json.dumps(found)) if as_json else click.echo(text(found))
    if figure is not None:
        click.echo(f"figure  {figure}", err=as_json)


def learned(path: str) -> Learned:
    """What the run at `path` came to. Raises EntraxError when it was never evaluated or its config.json is damaged."""
    run = RunDirectory.open(path)
    check_config(run)
    evaluations = {row["step"]: row["evaluation"]["mean"] for row in run.metrics() if "evaluation" in row}
    evaluations = {step: mean for step, mean in evaluations.items() if mean is not None}
    if not evaluations:
        raise EntraxError(f"{path} has no evaluations to compare: it was trained with --eval-every 0, or not at all.")
    return Learned(name=str(path), config=run.config, evaluations=evaluations)


def text(found: dict[str, Any]) -> str:
    """The comparison as a table for every task, the probabilities, the pooled scores, and what to mind."""
    lines = []
    what = "return at the last step" if found["score"] == "final" else "mean return along the steps"
    width = max(len(group["method"]) for group in found["groups"]) + 2
    for task in dict.fromkeys(group["task"] for group in found["groups"]):
        lines += [f"{task}: {what}, over seeds", f"  {'method':{width}} seeds     steps  interquartile mean [95 %]"]
        for group in (group for group in found["groups"] if group["task"] == task):
            interval = f"{group['interquartile_mean']:.1f} [{group['low']:.1f}, {group['high']:.1f}]"
            spread = f"mean {group['mean']:.1f} ± {group['std']:.1f}"
            count, step = len(group["seeds"]), f"{group['step']:,.0f}"
            lines.append(f"  {group['method']:{width}} {count:>5} {step:>9}  {interval:32} {spread}")
    if found["improvement"]:
        lines.append("probability that a run of one is better than a run of the other")
    for row in found["improvement"]:
        sides, value = f"{row['method']} over {row['over']}", f"{row['value']:.2f}"
        lines.append(f"  {sides:{2 * width + 4}} {value} [{row['low']:.2f}, {row['high']:.2f}]")
    if len(found["tasks"]) > 1 and len(found["pooled"]) > 1:
        lines.append(f"scaled to 0…1 and pooled over {len(found['tasks'])} environments: interquartile mean [95 %]")
        for method, pooled in found["pooled"].items():
            lines.append(f"  {method:{width}} {pooled['value']:.3f} [{pooled['low']:.3f}, {pooled['high']:.3f}]")
    few = min(len(group["seeds"]) for group in found["groups"])
    if few < 5:
        lines.append(f"Intervals of {few} seed{'s' if few > 1 else ''} are too narrow; five or more tell.")
    return "\n".join([*lines, *found["warnings"]])
