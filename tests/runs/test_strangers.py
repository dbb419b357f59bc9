"""A run directory from a stranger is data: whatever is written in it, nothing that it names is imported or called."""

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import entrax
from entrax.environments.recorded import recorded_source
from entrax.errors import EntraxError
from entrax.evaluation.stress import stress_test
from entrax.report.html import write_report
from entrax.runs.audit import fingerprint, verify
from entrax.runs.checkpoints import META, STATE, SUMS
from entrax.runs.directory import RunDirectory

GOLDEN = Path(__file__).with_name("golden") / "format-2"
PERTURBED = {"env": "Pendulum-v1", "env_args": {"g": 9.0}, "sensor_noise": 0.5}
STRANGER = """
from pathlib import Path
Path(__file__).with_name("PWNED").touch()
def E(*args, **kwargs):
    Path(__file__).with_name("PWNED").touch()
agent = E
"""


@pytest.fixture
def room(tmp_path, monkeypatch) -> Path:
    """A working directory with a module that leaves a mark when it is imported, as the attacker's run is unpacked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "stranger.py").write_text(STRANGER)
    return tmp_path


def hostile(room: Path) -> list[Any]:
    """What names code, alone and with the arguments that it would be called with."""
    names = ["stranger:E", "stranger:agent", "stranger", "./stranger.py:E", "stranger.py", str(room / "stranger.py")]
    names += [f"{room / 'stranger.py'}:E", "subprocess:check_output", "entrax/Perturbed-v0", "os:system", "\x1b[2Jx:y"]
    call = {"env": "subprocess:check_output", "env_args": {"args": ["touch", "PWNED"]}}
    nested = {"env": "entrax/Perturbed-v0", "env_args": call}
    return [*names, call, nested, {"id": "entrax/Perturbed-v0", "travels": True, "kwargs": call}]


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths of all values within JSON data."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from places(part, (*path, key))


def replaced(value: Any, path: tuple, new: Any) -> Any:
    """JSON data with another value at a place."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def written(room: Path, file: str, path: tuple, new: Any) -> Path:
    """A run in which `new` stands at one place of one file, with its hashes made to fit, as a forger would."""
    run = room / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(GOLDEN, run)
    config = contents("config.json")
    if path[:1] != ("prior",):
        del config["prior"]  # which this agent refuses before anything else is read
    config = replaced(config, path, new) if file == "config.json" else config
    (run / "config.json").write_text(json.dumps(config))
    for folder in (run / "checkpoints").iterdir():
        meta = contents(f"checkpoints/{folder.name}/meta.json")
        with contextlib.suppress(Exception):  # a configuration of another form has no digest
            meta["meta"]["config"] = RunDirectory(run, config).config_digest()
        here = file.startswith(f"checkpoints/{folder.name}/")
        (folder / "meta.json").write_text(json.dumps(replaced(meta, path, new) if here else meta))
        digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (META, STATE)}
        (folder / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))
    return run


def contents(file: str) -> Any:
    """What the golden run has in a file; its configuration with everything that a configuration may have."""
    record = json.loads((GOLDEN / file).read_text())
    if file == "config.json":
        record["environment"] = {"id": "entrax/Perturbed-v0", "kwargs": PERTURBED, "travels": True}
        record["inner"] = "sac"  # which counts where the agent wraps another
        record["prior"] = {"agent": "sac", "agent_config": record["agent_config"], "path": "x", "checkpoint": "final"}
        record["registration"] = json.dumps({"id": "Pendulum-v1", "entry_point": "stranger:E"})
    return record


VERBS: dict[str, Callable[[Path], Any]] = {
    "evaluate": lambda run: entrax.load(run).evaluate(1, workers=0),
    "resume": lambda run: entrax.resume(run, steps=61),
    "finetune": lambda run: entrax.finetune(run, steps=4, run=run.with_name("tuned"), eval_every=0),
    "stress": lambda run: stress_test(
        lambda *_: np.zeros(0), entrax.load(run).source(), seed=0, policy="mode", episodes=1
    ),
    "report": lambda run: write_report(RunDirectory.open(run), no_video="not asked for"),
    "prior": lambda run: entrax.train("Pendulum-v1", "ppo", prior=run, steps=4, run=run.with_name("new")),
    "data": lambda run: entrax.transitions(run),
    "compose": lambda run: entrax.compose([run, run], "Pendulum-v1"),
    "fingerprint": lambda run: fingerprint(RunDirectory.open(run)),
    "verify": lambda run: verify(RunDirectory.open(run)),
}


def harmless(room: Path, act: Callable[[], Any]) -> None:
    """Run `act`, which may fail as it likes, and look whether it started or imported what it was not to."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("subprocess.check_output", lambda *a, **k: (room / "PWNED").touch())
        patch.setattr("os.system", lambda *a, **k: (room / "PWNED").touch())
        with contextlib.suppress(Exception):  # of any kind: what is asked here is only whether code ran
            act()
    assert not {name for name in set(sys.modules) - before if "stranger" in name}
    assert not (room / "PWNED").exists()


FILES = ("config.json", *(f"checkpoints/{name}-000000060/meta.json" for name in ("best", "final")))
PLACES = [(file, path) for file in FILES for path in places(contents(file))]


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_runs_what_a_file_names(room, verb):
    @settings(max_examples=6)
    @given(st.sampled_from(PLACES), st.integers(0, len(hostile(room)) - 1))
    def everywhere(place, number):
        file, path = place
        run = written(room, file, path, hostile(room)[number])
        harmless(room, lambda: VERBS[verb](run))

    everywhere()


def test_a_forged_run_is_used_up_to_what_it_must_not_name(room):
    run = written(room, "config.json", ("seed",), 1)
    assert len(VERBS["evaluate"](run).returns) == 1
    assert VERBS["resume"](run).metrics()[-1]["step"] == 61


DEEP = {"env": "Pendulum-v1", "env_args": {"g": 9.0, "deep": [{"a": ["b"]}]}}
ENVIRONMENT = {"id": "entrax/Perturbed-v0", "kwargs": {"env": "entrax/Perturbed-v0", "env_args": DEEP}, "travels": True}


@pytest.mark.parametrize("path", list(places(ENVIRONMENT)), ids=lambda path: ".".join(map(str, path)) or "all")
def test_no_part_of_a_description_runs_what_it_names(room, path):
    for new in hostile(room):
        harmless(room, lambda new=new: recorded_source(replaced(ENVIRONMENT, path, new)).make())  # type: ignore[misc]


CALL = {"env": "subprocess:check_output", "env_args": {"args": ["touch", "PWNED"]}}


@pytest.mark.parametrize(
    "kwargs",
    [
        CALL,
        {"env": "entrax/Perturbed-v0", "env_args": CALL},
        {"env": "entrax/ActionMask-v0", "env_args": CALL},
        {"env": "Pendulum-v1", "env_args": {"g": "stranger:E"}},
        {"env": "stranger.py"},
    ],
)
@pytest.mark.parametrize("verb", ["evaluate", "resume", "finetune", "stress"])
def test_a_perturbed_environment_cannot_name_code(room, verb, kwargs):
    run = written(room, "config.json", ("environment", "kwargs"), kwargs)
    with pytest.raises(EntraxError, match="--env-arg"):
        VERBS[verb](run)


def test_arguments_under_a_name_that_the_user_gave_are_checked_too(room):
    with pytest.raises(EntraxError, match="--env-arg env="):
        recorded_source({"id": "x", "kwargs": CALL, "travels": True}, "entrax/Perturbed-v0")
    with pytest.raises(EntraxError, match="--env-arg env="):
        recorded_source({"id": "entrax/ActionMask-v0", "kwargs": CALL, "travels": True})


@pytest.mark.parametrize("text", ["./ant.xml", "ant.xml", "/dev/zero", "~/x", "..\\x", "CartPole-v1", "tcp://1.2.3.4"])
def test_files_and_environments_are_named_again_with_the_flag_shown(text):
    record = {"id": "Ant-v5", "kwargs": {"xml_file": text, "frame_skip": 2}, "travels": True}
    with pytest.raises(EntraxError, match=r"--env-arg .?xml_file="):
        recorded_source(record)
    again = recorded_source(record, env_args={"xml_file": text})
    assert (again.id, again.kwargs) == ("Ant-v5", {"xml_file": text, "frame_skip": 2})


def test_what_entrax_and_gymnasium_registered_is_made_without_asking():
    for name, kwargs in [
        ("Pendulum-v1", {"g": 9.0}),
        ("Pendulum", {}),
        ("FrozenLake-v1", {"desc": ["SF", "FG"]}),
        ("entrax/TwoPassage-v0", {"closed": "left"}),
        ("entrax/ActionMask-v0", {"env": "Taxi-v4"}),
        ("entrax/Perturbed-v0", {"env": "entrax/Perturbed-v0", "env_args": PERTURBED | {"env_args": {"g": 9.0}}}),
    ]:
        recorded_source({"id": name, "kwargs": kwargs, "travels": True}).make().close()
