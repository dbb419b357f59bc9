"""A server of processes that die: commands of entrax on standard input, a JSON object a line, and what became of them.

    {"do": ["train", …], "within": FOLDER, "log": FILE, "death": null or {"after": …, "by": …, "at": …}}
    {"status": exit status, negative for a signal, "spent": {moment: [operations, seconds] from it to the end}}

Each command runs in a process forked from this one, which has imported everything and has not started JAX, so that a
process costs what it does and not what it imports. It dies by SIGKILL: `at` seconds after a moment (by "clock"), or in
place of the `at`-th operation on the files in FOLDER after it (by "operation"), half of a write being done by then.
The moments: "start", "row" (the first row of metrics), "end" (the final checkpoint of a run is about to be saved, or
the numbers of a study are to be judged).
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

MOMENTS = ("start", "row", "end")
CHANGES = {"shutil.rmtree", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
"""Audit events that change the disk, beside the opening of files to write."""


class Life:
    """What a process went through: the moments it reached, and its operations on the files in a folder since."""

    def __init__(self, within: str, death: dict[str, Any] | None, tell: BinaryIO):
        self.within, self.death, self.tell = within, death, tell
        self.moments: dict[str, tuple[int, float]] = {}
        self.operations = 0

    def reach(self, moment: str) -> None:
        """Note the first time that a moment is there."""
        if moment not in self.moments:
            self.moments[moment] = self.operations, time.perf_counter()
            self._say(moment)

    def operation(self, half: Callable[[], Any] = lambda: None) -> None:
        """One more operation is about to be done; if it is the last, half of it is."""
        death = self.death
        if (
            death is not None
            and death["by"] == "operation"
            and death["after"] in self.moments
            and self.operations - self.moments[death["after"]][0] >= death["at"]
        ):
            self.death = None  # the half may consist of operations too
            half()
            os.kill(os.getpid(), signal.SIGKILL)
        self.operations += 1

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """For `sys.addaudithook`."""
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in CHANGES) and str(arguments[0]).startswith(self.within):
            self.operation()

    def end(self) -> None:
        """Say what was spent since each of the moments."""
        now = time.perf_counter()
        self._say({name: (self.operations - done, now - then) for name, (done, then) in self.moments.items()})

    def _say(self, what: Any) -> None:
        self.tell.write(json.dumps(what).encode() + b"\n")
        self.tell.flush()


def make_mortal(life: Life) -> None:
    """Let entrax tell `life` of its moments and of its operations on files."""
    from entrax.runs import records, transition_log
    from entrax.runs.directory import RunDirectory
    from entrax.training.loop import Loop

    sys.addaudithook(life.audit)
    sync, write, append, add, row, save = (
        os.fsync,
        records.write_bytes,
        records.append_line,
        transition_log.TransitionLog._write,
        RunDirectory.append_metrics,
        Loop.save,
    )

    def synced(descriptor: int) -> None:
        life.operation()
        sync(descriptor)

    def written(path: Path, data: bytes) -> None:
        life.operation(lambda: write(path, data[: len(data) // 2]))
        write(path, data)

    def appended(path: Path, line: dict[str, Any]) -> None:
        def half() -> None:
            with open(path, "ab") as file:
                file.write(records.dumps(line).encode()[:10])

        life.operation(half)
        append(path, line)

    def logged(log: transition_log.TransitionLog, data: bytes) -> None:
        life.operation(lambda: add(log, data[: len(data) // 2]))
        add(log, data)

    def reported(directory: RunDirectory, line: dict[str, Any]) -> None:
        life.reach("row")
        row(directory, line)

    def saved(training: Loop, kind: str) -> None:
        if kind == "final":
            life.reach("end")
        save(training, kind)

    replaced: list[tuple[Any, str, Any]] = [
        (os, "fsync", synced),
        (transition_log.TransitionLog, "_write", logged),
        (RunDirectory, "append_metrics", reported),
        (Loop, "save", saved),
    ]
    for owner, name, replacement in replaced:
        setattr(owner, name, replacement)
    for name, module in list(sys.modules.items()):
        if name.startswith("entrax."):  # whoever imported them by name
            vars(module).update({"write_bytes": written} if "write_bytes" in vars(module) else {})
            vars(module).update({"append_line": appended} if "append_line" in vars(module) else {})


def lead(life: Life, do: list[str], log: str) -> NoReturn:
    """Be the process that runs the command."""
    import tiny_studies  # type: ignore[import-not-found]  # in this folder, which is the path of a script

    from entrax.cli import main

    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for standard in (1, 2):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), standard)
        tiny_studies.judged = lambda: life.reach("end")
        make_mortal(life)
        life.reach("start")
        main(do)
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    life.end()
    os._exit(status)


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Run one command, kill it if its time comes, and say what became of it."""
    reading, writing = os.pipe()
    death = request["death"]
    process = os.fork()
    if process == 0:
        os.close(reading)
        lead(Life(request["within"], death, os.fdopen(writing, "wb")), request["do"], request["log"])
    os.close(writing)
    spent = {}
    with os.fdopen(reading, "rb") as told:
        for line in told:
            said = json.loads(line)
            if isinstance(said, dict):
                spent = said
            elif death is not None and death["by"] == "clock" and said == death["after"]:
                time.sleep(death["at"])
                os.kill(process, signal.SIGKILL)
    return {"status": os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), "spent": spent}


def import_all() -> None:
    """Import what the commands need, and let JAX keep every program that it compiles."""
    import imageio_ffmpeg as imageio_ffmpeg
    import jax
    import matplotlib.pyplot as pyplot
    import optax as optax
    import tiny_studies

    from entrax.cli import finetune, resume, study, train
    from entrax.training import train as way_in

    assert all((pyplot, finetune, resume, study, train, way_in))
    tiny_studies.register()
    update = jax.config.update

    def updated(name: str, value: Any) -> None:
        update(name, 0.0 if name == "jax_persistent_cache_min_compile_time_secs" else value)

    config: Any = jax.config
    config.update = updated


if __name__ == "__main__":
    import_all()
    for asked in sys.stdin:
        print(json.dumps(serve(json.loads(asked))), flush=True)
