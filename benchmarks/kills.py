"""Kill commands of entrax repeatedly and compare the resumed runs.

results/kills.json counts, over several calls.

    nice -n 10 python benchmarks/kills.py --kills 1000

The variants of tests/kills.py take turns, one run each. A run that differs from the undisturbed one is recorded with
its differences and kept in --folder.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from harness import RESULTS, ROOT, save, say

sys.path.insert(0, str(ROOT))
from tests.kills import VARIANTS, Victim, serving


def main() -> None:
    """Kill until `--kills` is reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where the runs are; by default a new temporary folder")
    arguments = parser.parse_args()
    folder = (arguments.folder or Path(tempfile.mkdtemp(prefix="kills"))).resolve()
    path = RESULTS / "kills.json"
    counts: dict[str, Any] = json.loads(path.read_text())["variants"] if path.exists() else {}
    with serving(folder) as server:
        victims: dict[str, Victim] = {}
        while total(counts) < arguments.kills:
            name = min(VARIANTS, key=lambda name: counts.get(name, {"kills": 0})["kills"])
            if name not in victims:
                victims[name] = Victim(server, name, Path(tempfile.mkdtemp(dir=folder)) / "runs")
            count_one(counts, name, victims[name], arguments.kills - total(counts))
            equal = not any(each["different"] for each in counts.values())
            runs = sum(each["runs"] for each in counts.values())
            save("kills", {"kills": total(counts), "runs": runs, "all_equal": equal, "variants": counts})
            say(f"{total(counts)} kills in {runs} runs, {'all equal' if equal else 'NOT all equal'}; last: {name}")


def count_one(counts: dict[str, Any], name: str, victim: Victim, most: int) -> None:
    """Run a variant once more, killed at most `most` times, and record it."""
    new = {"command": victim.variant.command, "kills": 0, "runs": 0, "by": {}, "different": []}
    record = counts.setdefault(name, new)
    kills, differences = victim.killed(record["runs"], most)
    if differences:
        record["different"].append({"run": record["runs"], "kills": dict(kills), "in": differences})
    record["kills"] += kills.total()
    record["runs"] += 1
    record["by"] = dict(Counter(record["by"]) + kills)


def total(counts: dict[str, Any]) -> int:
    """Return the number of kills."""
    return sum(each["kills"] for each in counts.values())


if __name__ == "__main__":
    main()
