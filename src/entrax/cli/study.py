"""`entrax study`: a claim about soft optimality as an experiment, with a verdict."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from entrax.cli.output import print_json
from entrax.cli.values import Whole
from entrax.errors import show

if TYPE_CHECKING:
    from entrax.studies.study import Study

EVERY = "all"


@click.command("study")
@click.argument("name", required=False)
@click.option("--quick", is_flag=True, help="Smaller: within ten minutes on two cores.")
@click.option("--seeds", type=Whole(1), help="Problems or trained runs; by default the study's own.")
@click.option("--json", "as_json", is_flag=True, help="Print verdict and numbers as one JSON object.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("studies"),
    show_default=True,
    help="Directory for numbers, figures and runs.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(name: str | None, quick: bool, seeds: int | None, as_json: bool, out: Path, debug: bool) -> None:
    """Run the study NAME; `all` runs every one and writes a page of their verdicts. Without NAME they are listed.

    NAME may be a study of your own, `module:STUDY` or `file.py:STUDY`.

    OUT/NAME gets numbers.json and figure.png. What is trained is kept in OUT/runs, and taken up again from there.
    """
    from entrax.studies.catalogue import NAMES, get_study

    if name is None:
        claims = {each: get_study(each).claim for each in NAMES}
        if as_json:
            print_json(claims)
        for each, claim in {} if as_json else claims.items():
            show(f"{each:28}{claim}")
        return
    studies = [get_study(each) for each in (NAMES if name == EVERY else (name,))]
    outcomes = [conducted(study, quick, seeds, out, quiet=as_json) for study in studies]
    page = None
    if name == EVERY:
        from entrax.report.study_page import write_page

        page = write_page(out, outcomes)
    if as_json:
        print_json({"studies": outcomes} if name == EVERY else outcomes[0])
    elif page is not None:
        show(f"page  {page}")


def conducted(study: "Study", quick: bool, seeds: int | None, out: Path, *, quiet: bool) -> dict:
    """One study, its figure drawn if it has one, and its verdict printed unless `quiet`; the outcome as plain data."""
    from entrax.report.study_figures import FIGURES, draw_study
    from entrax.studies.study import conduct

    outcome = conduct(study, quick=quick, seeds=seeds, out=out).to_json()
    folder = out / study.name
    shown = "figure.png" if study.name in FIGURES else "numbers.json"
    if study.name in FIGURES:
        draw_study(outcome, folder / shown)
    if not quiet:
        show(f"{study.name}: {outcome['verdict']}\n  {outcome['claim']}\n  {outcome['criterion']}")
        show(f"  {shown.partition('.')[0]}  {folder / shown}")
    return outcome
