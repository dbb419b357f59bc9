"""`entrax study`: a claim about soft optimality as an experiment, with a verdict."""

from collections.abc import Sequence
from pathlib import Path

import click

from entrax.cli.output import print_json

EVERY = "all"


@click.command("study")
@click.argument("name", required=False)
@click.option("--quick", is_flag=True, help="Smaller: within ten minutes on two cores.")
@click.option("--seeds", type=click.IntRange(min=1), help="Problems or trained runs; by default the study's own.")
@click.option("--json", "as_json", is_flag=True, help="Print verdict and numbers as one JSON object.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("studies"), show_default=True)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(name: str | None, quick: bool, seeds: int | None, as_json: bool, out: Path, debug: bool) -> None:
    """Run the study NAME; `all` runs every one and writes a page of their verdicts. Without NAME they are listed.

    OUT/NAME gets numbers.json and figure.png. What is trained is kept in OUT/runs, and taken up again from there.
    """
    from entrax.studies.catalogue import NAMES, get_study

    if name is None:
        for each in NAMES:
            click.echo(f"{each:28}{get_study(each).claim}")
        return
    wanted = NAMES if name == EVERY else (get_study(name).name,)
    outcomes = [conducted(each, quick, seeds, out, quiet=as_json) for each in wanted]
    page = None
    if name == EVERY:
        from entrax.report.study_page import write_page

        page = write_page(out, outcomes)
    if as_json:
        from entrax.runs.records import dumps

        print_json(dumps({"studies": outcomes} if name == EVERY else outcomes[0]))
    elif page is not None:
        click.echo(f"page  {page}")


def conducted(name: str, quick: bool, seeds: int | None, out: Path, *, quiet: bool) -> dict:
    """One study, its figure drawn and, unless `quiet`, its verdict printed; the outcome as plain data."""
    from entrax.report.study_figures import draw_study
    from entrax.studies.catalogue import get_study
    from entrax.studies.study import conduct

    outcome = conduct(get_study(name), quick=quick, seeds=seeds, out=out).to_json()
    figure = out / name / "figure.png"
    draw_study(outcome, figure)
    if not quiet:
        click.echo(f"{name}: {outcome['verdict']}\n  {outcome['claim']}\n  {outcome['criterion']}\n  figure  {figure}")
    return outcome


def main(arguments: Sequence[str], started: float) -> None:
    """Run the verb."""
    command.main(list(arguments), prog_name="entrax study", standalone_mode=False)
