"""`entrax study`: test a claim about soft optimality and print the verdict."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from entrax.cli.output import print_json
from entrax.cli.shared_options import OUTPUT
from entrax.cli.values import Integer
from entrax.errors import UsageError, say, show

if TYPE_CHECKING:
    from entrax.report.study_page import Part
    from entrax.studies.study import Study

EVERY, PAGE = "all", "page"


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

    `all` runs every study and writes OUT/index.html, a page to read from top to bottom. `page` writes that page from
    the results in OUT and runs nothing; studies without a result are listed with their command.

    NAME may be a study of your own, `module:STUDY` or `file.py:STUDY`.

    OUT/NAME gets numbers.json and figure.png. Trained runs are kept in OUT/runs and resumed from there.
    """
    from entrax.studies.catalogue import NAMES, get_study

    if name is None:
        list_studies(as_json)
        return
    if name == PAGE:
        if quick or seeds is not None or first_seed:
            raise UsageError("`entrax study page` runs nothing; remove --quick, --seeds and --first-seed.")
        make_page(out, as_json)
        return
    studies = [get_study(each) for each in (NAMES if name == EVERY else (name,))]
    results = [run_study(study, quick, seeds, first_seed, out, quiet=as_json) for study in studies]
    if name != EVERY:
        if as_json:
            print_json(results[0])
        return
    from entrax.report.study_page import write_page

    page = write_page(out, page_parts(out))
    if as_json:
        print_json({"studies": results, "page": str(page)})
    else:
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
    """Run one study, draw its pictures, print its statement and verdict, and return its result."""
    from entrax.report.study_pictures import draw_pictures
    from entrax.studies.study import conduct

    def report(statement: dict[str, Any]) -> None:
        if not quiet:
            show("\n".join([study.name, *(f"  {line}" for line in statement["lines"])]))

    result = conduct(study, quick=quick, seeds=seeds, out=out, first_seed=first_seed, report=report).to_json()
    folder = out / study.name
    pictures = draw_pictures(result, folder)
    if not quiet:
        show(f"{study.name}: {result['verdict']}\n  {result['claim']}\n  {result['criterion']}")
        for path in pictures or [folder / "numbers.json"]:
            show(f"  {path.stem}  {path}")
    return result


def make_page(out: Path, as_json: bool) -> None:
    """Draw the pictures that are missing, write the page from the results in `out`, and print its path."""
    from entrax.report.study_page import NOT_RUN, write_page
    from entrax.report.study_pictures import draw_pictures

    parts, verdicts = page_parts(out), {}
    for entry in (entry for part in parts for entry in part.entries):
        verdicts[entry.name] = entry.verdict
        if entry.result is None:
            continue
        try:
            draw_pictures(entry.result, out / entry.name, keep=True)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            numbers = out / entry.name / "numbers.json"
            say(f"The page lacks the pictures of {entry.name}: {numbers} cannot be drawn ({error!r}).")
    if set(verdicts.values()) == {NOT_RUN}:
        raise UsageError(f"{out} has no results of studies. Run `entrax study NAME` first, or choose another `out`.")
    page = write_page(out, parts)
    if as_json:
        print_json({"page": str(page), "verdicts": verdicts})
    else:
        show(f"page  {page}")


def page_parts(out: Path) -> "list[Part]":
    """Return the chapters of the page, with the results in `out`."""
    from entrax.report.study_page import Entry, Part
    from entrax.studies.catalogue import CHAPTERS, get_study
    from entrax.studies.results import load_result

    parts = []
    for chapter in CHAPTERS:
        entries = []
        for study in map(get_study, chapter.studies):
            result = load_result(study.name, out)
            entries.append(
                Entry(
                    name=study.name,
                    claim=study.claim,
                    criterion=study.criterion,
                    look=study.look,
                    result=None if result is None else result.to_json(),
                )
            )
        parts.append(Part(chapter.title, chapter.text, entries))
    return parts
