"""Killing commands of entrax at any moment, starting them again, and looking for a difference in what they leave."""

import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrax.runs import checkpoints
from entrax.runs.audit import fingerprint, verify
from entrax.runs.directory import RunDirectory

HERE = Path(__file__).parent
MOMENTS = ("start", "row", "end")
WAYS = ("operation", "clock")
LOOP = "--steps 128 --chunk 8 --log-every 32 --eval-every 64 --eval-episodes 1 --checkpoint-every 20 --seed 5"
REPLAY = f"{LOOP} --learning-starts 32 --hidden 8,8 --batch-size 8"
ROLLOUTS = LOOP.replace("--chunk 8", "--rollout-steps 16") + " --hidden 8,8"
PPO = f"--agent ppo {ROLLOUTS} --batch-size 16"
FINISH = "--episodes 1 --no-video"  # one episode needs no worker processes
FILM = "--episodes 1 --video"
TOY = "toys:EntraxToy-v0"
TUNE = "--steps 64 --log-every 16 --eval-every 32 --checkpoint-every 10 --learning-starts 16"


@dataclass(frozen=True)
class Variant:
    """A command that is killed; `again` goes on with what it left, and the command itself does too.

    RUN and OUT stand for the directory that it writes to, SOURCE for that of a run that `first` has made.
    """

    command: str
    again: str | None = None
    first: str | None = None


def trains(env: str, settings: str, finish: str = FINISH) -> Variant:
    """A run that is trained, and taken up again by either verb."""
    name = f" --env {env}" if ":" in env else ""
    return Variant(f"train {env} {settings} --run RUN --resume {finish}", f"resume RUN{name} {finish}")


def tunes(env: str, settings: str, tuning: str) -> Variant:
    """A run that is fine-tuned from another."""
    return Variant(
        f"finetune SOURCE --env {env} {TUNE} {tuning} --run RUN --resume {FINISH}",
        f"resume RUN{f' --env {env}' if ':' in env else ''} {FINISH}",
        f"train {env} {settings} --run SOURCE {FINISH}",
    )


VARIANTS = {
    "one environment": trains("Pendulum-v1", f"--agent sac {REPLAY} --workers 0"),
    "environments in workers": trains(
        "Pendulum-v1", f"--agent sac {REPLAY} --envs 3 --workers 2 --normalise-obs --updates-per-step 0.5"
    ),
    "a replay that overflows": trains(TOY, f"--agent sac {REPLAY} --envs 3 --workers 0 --replay-size 60"),
    "MuJoCo": trains("HalfCheetah-v5", f"--agent sac {REPLAY} --workers 0"),
    "actions to choose from": trains("CartPole-v1", f"--agent dqn {REPLAY} --workers 0"),
    "returns of three steps": trains("CartPole-v1", f"--agent dqn {REPLAY} --n-step 3 --envs 2 --workers 2"),
    "rollouts": trains("CartPole-v1", f"{PPO} --envs 2 --workers 2 --normalise-obs"),
    "histories": trains("CartPole-v1", f"--agent reinforce {ROLLOUTS} --envs 2 --workers 0 --memory 4"),
    "continuous rollouts": trains("Pendulum-v1", f"{PPO} --temperature 0.1 --envs 1 --workers 0"),
    "a film": trains("painter:EntraxPainter-v0", f"--agent sac {REPLAY} --workers 0", FILM),
    "fine-tuning": tunes(TOY, f"--agent sac {REPLAY} --workers 0", ""),
    "fine-tuning with the replay": tunes(
        "CartPole-v1", f"--agent dqn {REPLAY} --workers 0", "--keep-replay --keep-optimiser"
    ),
    "a group of runs": Variant("study group --seeds 2 --out OUT"),
    "studies": Variant("study all --seeds 1 --out OUT"),
}
QUICK = "environments in workers"


class Server:
    """The process of `mortal.py` that runs the commands, with a cache of compiled programs in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.log = folder / "log"
        path = os.pathsep.join([*map(str, (HERE, HERE / "environments", HERE.parent / "src"))])
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "training" / "mortal.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache"), "JAX_PLATFORMS": "cpu", "MUJOCO_GL": "egl"},
        )

    def run(self, command: str, within: Path, death: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run `entrax` with these arguments; see `mortal.py`. Raises RuntimeError with what it said if it fails."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.log.unlink(missing_ok=True)
        asked = {"do": shlex.split(command), "within": str(within), "log": str(self.log), "death": death}
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        result: dict[str, Any] = json.loads(self.process.stdout.readline())
        if result["status"] not in (0, -signal.SIGKILL) or (death is None and result["status"]):
            raise RuntimeError(f"{command} ended with {result['status']}:\n{self.log.read_text()[-3000:]}")
        return result

    def close(self) -> None:
        """End the server."""
        self.process.communicate()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server, for as long as the context lasts."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.close()


class Victim:
    """A variant: what it comes to if nothing disturbs it, and what remains of it after kills."""

    def __init__(self, server: Server, name: str, folder: Path):
        """Run the variant undisturbed in `folder`, whose path must be absolute."""
        self.server, self.name, self.variant = server, name, VARIANTS[name]
        self.folder = folder
        folder.mkdir(parents=True)
        if self.variant.first:
            server.run(self._filled(self.variant.first), folder)
        target = folder / "target"
        self._run(self.variant.command)  # compiles
        target.rename(folder / "compiling")
        self.spent = self._run(self.variant.command)["spent"]
        """Operations and seconds from each moment to the end."""
        self.whole = outcome(target)
        target.rename(folder / "whole")

    def killed(self, number: int, most: int) -> tuple[Counter[str], list[str]]:
        """Kill run number `number` up to `most` times and let it end.

        Returns how many kills there were of each kind, and in what the run differs from the undisturbed one.
        """
        rng, kills, command = random.Random(f"{self.name} {number}"), Counter[str](), self.variant.command
        while kills.total() < most:
            after, by = rng.choice([moment for moment in MOMENTS if moment in self.spent]), rng.choice(WAYS)
            operations, seconds = self.spent[after]
            at = rng.randrange(max(1, operations)) if by == "operation" else rng.uniform(0, seconds)
            if self._run(command, {"after": after, "by": by, "at": at})["status"] == 0:
                break
            kills[f"{after}, {by}"] += 1
            whole = (self.folder / "target" / "config.json").exists()
            command = self.variant.again if self.variant.again and whole and rng.random() < 0.5 else command
        self._run(command)
        return kills, self._differences(number)

    def _differences(self, number: int) -> list[str]:
        """In what the present run differs; it is removed if in nothing, and kept for a look otherwise."""
        target, aside = self.folder / "target", self.folder / f"run_{number}"
        found = outcome(target)
        differences = sorted(k for k in found.keys() | self.whole.keys() if found.get(k) != self.whole.get(k))
        target.rename(aside)
        if not differences:
            shutil.rmtree(aside)
        return differences

    def _run(self, command: str, death: dict[str, Any] | None = None) -> dict[str, Any]:
        return self.server.run(self._filled(command), self.folder, death)

    def _filled(self, command: str) -> str:
        target = shlex.quote(str(self.folder / "target"))
        return (
            command.replace("RUN", target)
            .replace("OUT", target)
            .replace("SOURCE", shlex.quote(f"{self.folder}/source"))
        )


def outcome(folder: Path) -> dict[str, Any]:
    """What is in a directory of runs or of studies, by name: hashes, rows and events, but for the time they took."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "config.json" or path.suffix in (".png", ".mp4") or "numbers" in name or name == "index.html":
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        if path.name.endswith(".partial") or path.name.endswith(".old"):
            found[name] = "left behind"
        if path.name == "config.json":
            found |= {f"{path.parent.relative_to(folder)}: {k}": v for k, v in of_run(path.parent).items()}
    return found


def of_run(path: Path) -> dict[str, Any]:
    """What is in the directory of a run."""
    run = RunDirectory.open(path)
    arrays, _ = checkpoints.load(run, "best")
    return {
        **fingerprint(run, "final"),
        "best": hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest(),
        "checkpoints": checkpoints.available(run),
        "damage": [finding for finding in verify(run) if finding.damage],
        "evaluations": [row["evaluation"] for row in run.metrics() if "evaluation" in row],
        "at the end": sorted({json.dumps(event) for event in run.events() if event["kind"] == "evaluation"}),
        "inexact": [event for event in run.events() if event["kind"] == "inexact"],
        "report": _report(run.report.read_text()) if run.report.exists() else None,
    }


def _report(page: str) -> list[str]:
    """The lines of a report but for the time, the command of the process that began, and the events."""
    lines = page.split("<h2>Events</h2>")[0].replace("<tr>", "\n<tr>").replace("<p>", "\n<p>").splitlines()
    return [line for line in lines if " a second" not in line and "Trained by" not in line]
