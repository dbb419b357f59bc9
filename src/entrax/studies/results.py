"""Read the results of studies that were run before."""

from dataclasses import fields
from pathlib import Path
from typing import get_args

from entrax.errors import EntraxError
from entrax.runs.records import read_json, to_json
from entrax.runs.schema import COUNT, FLAG, OBJECT, POSITIVE, TEXT, Schema, Value
from entrax.studies.study import StudyResult, Verdict

RESULT: dict[str, Schema] = {
    "study": TEXT,
    "claim": TEXT,
    "criterion": TEXT,
    "verdict": Value("a verdict", lambda value: value in get_args(Verdict)),
    "quick": FLAG,
    "seeds": POSITIVE,
    "first_seed": COUNT,
    "statement": {"lines": [TEXT]},
    "numbers": OBJECT,
}


def load_result(name: str, out: Path) -> StudyResult | None:
    """Return the result in `out`/NAME/numbers.json, or None if the study has not been run.

    Raises:
        EntraxError: if the file is damaged, or holds the result of another study.
    """
    path = out / name / "numbers.json"
    if not path.exists():
        return None
    record = read_json(path, RESULT)
    if record["study"] != name:
        raise EntraxError(f"{path} is damaged: it has the result of another study, {record['study']!r}.")
    _ = record["statement"]["lines"]  # raises if it is missing
    return StudyResult(**to_json({field.name: record[field.name] for field in fields(StudyResult)}))
