"""`entrax study`: test a claim about soft optimality and print the verdict."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from entrax.cli.output import print_json
from entrax.cli.shared_options import OUTPUT
from entrax.cli.values import Integer
from entrax.errors import show

if TYPE_CHECKING:
    from entrax.studies.study import Study

EVERY = "all"


@click.command("study")
@click.argument("name", required=False)
@click.option("--quick", is_flag=True, help="A smaller version, in minutes: see docs/studies.md.")
@click.option("--seeds", type=Integer(1), help="Random problems or trained runs; by default the study's own number.")
@click.option(
    "--first-seed",
    type=Integer(0),
    default=0,
    show_default=True,
    help="The first of the seeds, to run a study again with others.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("studies"),
    show_default=True,
    help="Directory for numbers, figures and runs.",
)
@OUTPUT
def command(
    name: str | None, quick: bool, seeds: int | None, first_seed: int, out: Path, as_json: bool, debug: bool
) -> None:
    """Run the study NAME and print its verdict. Without NAME, list the studies.

    Before its first seed a study prints the effect it looks for, the smallest effect that its seeds detect, and
    whether it sees the effect in a positive control. If it does not, nothing is judged.

    `all` runs every study and writes a page of their verdicts.

    NAME may be a study of your own, `module:STUDY` or `file.py:STUDY`.

    OUT/NAME gets numbers.json and figure.png. Trained runs are kept in OUT/runs and resumed from there.
    """
    from entrax.studies.catalogue import NAMES, get_study

    if name is None:
        list_studies(as_json)
        return
    studies = [get_study(each) for each in (NAMES if name == EVERY else (name,))]
    results = [run_study(study, quick, seeds, first_seed, out, quiet=as_json) for study in studies]
    page = None
    if name == EVERY:
        from entrax.report.study_page import write_page

        page = write_page(out, results)
    if as_json:
        print_json({"studies": results} if name == EVERY else results[0])
    elif page is not None:
        show(f"page  {page}")


def list_studies(as_json: bool) -> None:
    """Print every study with its claim."""
    from entrax.studies.catalogue import NAMES, get_study

    claims = {name: get_study(name).claim for name in NAMES}
    if as_json:
        print_json(claims)
        return
    for name, claim in claims.items():
        show(f"{name:28}{claim}")


def run_study(
    study: "Study", quick: bool, seeds: int | None, first_seed: int, out: Path, *, quiet: bool
) -> dict[str, Any]:
    """Run one study, draw its figure, print its statement and verdict, and return its result."""
    from entrax.report.study_figures import FIGURES, FILMS, draw_study
    from entrax.studies.study import conduct

    def report(statement: dict[str, Any]) -> None:
        if not quiet:
            show("\n".join([study.name, *(f"  {line}" for line in statement["lines"])]))

    result = conduct(study, quick=quick, seeds=seeds, out=out, first_seed=first_seed, report=report).to_json()
    folder = out / study.name
    drawn = study.name in FIGURES and bool(result["numbers"])
    file = "figure.png" if drawn else "numbers.json"
    if drawn:
        draw_study(result, folder / file)
    filmed = study.name in FILMS and bool(result["numbers"]) and FILMS[study.name](result["numbers"], folder)
    if not quiet:
        show(f"{study.name}: {result['verdict']}\n  {result['claim']}\n  {result['criterion']}")
        show(f"  {file.partition('.')[0]}  {folder / file}")
        if filmed:
            show(f"  film  {folder / 'film.mp4'}")
    return result
