"""The arrows between the rooms, read from the imports of the source, and what must stay out of a quick start."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import entrax
from entrax.cli import VERBS

PACKAGE = Path(entrax.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE = 350

# What each room may import besides itself and `_EVERYWHERE`.
_EVERYWHERE = {"errors", "programs", "references", "xla"}
_BASE = {"spec", "soft"}
_LEARNERS = _BASE | {"estimators", "fields", "nets", "replay"}
_EXACT = _BASE | {"problems", "exact"}
_PLANNERS = _LEARNERS | _EXACT | {"policies"}
_TRAINING = _LEARNERS | {"policies", "planning", "agents", "environments", "problems", "evaluation", "foreign", "runs"}
_STUDIES = _TRAINING | _EXACT | {"training", "tabular", "inverse"}
_ROOMS = _STUDIES | {"studies", "report"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "fields": set(),
    "foreign": set(),
    "programs": set(),
    "xla": set(),
    "references": set(),
    "spec": set(),
    "soft": set(),
    "estimators": _BASE,
    "nets": _BASE,
    "replay": _BASE,
    "policies": _LEARNERS,
    "planning": _PLANNERS,
    "agents": _LEARNERS | {"policies", "planning"},
    "problems": _BASE | {"foreign"},
    "environments": {"spec", "problems"},
    "exact": _BASE | {"problems"},
    "tabular": _BASE | {"problems"},
    "inverse": _EXACT,
    "runs": {"spec"},
    "evaluation": _BASE | {"environments", "problems"},
    "training": _TRAINING,
    "studies": _STUDIES,
    "report": {"spec", "runs", "environments"},  # environments: to render what the video shows
    "api": _ROOMS,
    "cli": _ROOMS | {"api"},
    "__main__": {"cli"},
}
MAY_IMPORT["__init__"] = {*MAY_IMPORT["cli"]}  # for names resolved lazily and for the type checker

# The one room of each of these, imported inside functions so that nothing else pays for them.
HOME = {
    "imageio": "report",
    "imageio_ffmpeg": "report",
    "matplotlib": "report",
    "minari": "training",
    "tensorboard": "runs",
    "wandb": "runs",
}
WITHOUT_JAX = {"spec", "errors", "programs", "references", "environments", "__init__", "api"}
JAX = {"jax", "jaxlib", "equinox", "optax"}
UNSAFE = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}


class Import(NamedTuple):
    """`module` imported by `file` on `line`; `lazy` inside a function or for the type checker only."""

    file: Path
    line: int
    module: str
    lazy: bool

    @property
    def top(self) -> str:
        return self.module.split(".")[0]

    def __str__(self) -> str:
        return f"{self.file.relative_to(PACKAGE)}:{self.line} imports {self.module}"


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(node: ast.stmt) -> list[str]:
    """Full names: `from entrax import agents` and `from entrax.agents import sac` both name the room they mean."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide which room is meant"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports_below(node: ast.AST, file: Path, lazy: bool = False) -> list[Import]:
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            found += [Import(file, child.lineno, name, lazy) for name in imported_names(child)]
        inside = lazy or is_type_checking(child) or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        found += imports_below(child, file, inside)
    return found


TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
IMPORTS = [imported for file, tree in TREES.items() for imported in imports_below(tree, file)]
OURS = [imported for imported in IMPORTS if imported.module.startswith("entrax.")]


def module_of(imported: Import) -> Path | None:
    """The file of ours that an import names, be it `entrax.agents.sac` or a name inside it."""
    for parts in (imported.module.split(".")[1:], imported.module.split(".")[1:-1]):
        if parts and (file := PACKAGE.joinpath(*parts).with_suffix(".py")).is_file():
            return file
    return None


def refuse(broken: list) -> None:
    assert not broken, "\n" + "\n".join(map(str, broken))


def above(name: str) -> set[str]:
    """What `name` may import, `_EVERYWHERE` and itself left out."""
    return MAY_IMPORT[name] - _EVERYWHERE - {name}


def drawing() -> str:
    """The graph of the page: an arrow A --> B lets B import A; one that follows from others is left out."""
    names = [name for name in MAY_IMPORT if name not in _EVERYWHERE and not name.startswith("__")]
    arrows = []
    for name in names:
        indirect = set().union(*(reachable(each) for each in above(name)))
        arrows += [f"    {each} --> {name}" for each in sorted(above(name) - indirect)]
    return "\n".join(["```mermaid", "graph TD", *arrows, "```"])


def reachable(name: str) -> set[str]:
    """What `name` may import, directly or through others."""
    return above(name).union(*(reachable(each) for each in above(name)))


def redrawn(page: str) -> str:
    """The page with the drawing made from MAY_IMPORT."""
    return re.sub(r"```mermaid\n.*?```", lambda _: drawing(), page, count=1, flags=re.DOTALL)


def test_the_page_draws_these_arrows():
    page = PAGE.read_text(encoding="utf-8")
    assert drawing() in page
    assert page == redrawn(page), "python -m tests.test_architecture draws docs/architecture.md again"


def test_the_imports_were_read():
    assert {room(file) for file in FILES} == MAY_IMPORT.keys(), "draw the arrows of the rooms that exist in MAY_IMPORT"
    assert {"jax", "numpy", "entrax"} <= {imported.top for imported in IMPORTS}
    assert any(imported.lazy for imported in IMPORTS)


def test_rooms_import_downward_only():
    def allowed(imported: Import) -> bool:
        here, there = room(imported.file), imported.module.split(".")[1]
        # entrax.__version__ and the like: names of the package itself, which imports nothing at once
        return there in {here} | _EVERYWHERE | MAY_IMPORT[here] or there.startswith("__")

    refuse([imported for imported in OURS if not allowed(imported)])


def test_the_arrows_have_no_cycle():
    order, left = [], {name: targets - {name} for name, targets in MAY_IMPORT.items()}
    while left:
        ready = [name for name, targets in left.items() if not targets & left.keys()]
        assert ready, f"cycle among {sorted(left)}"
        order += ready
        left = {name: targets for name, targets in left.items() if name not in ready}
    assert len(order) == len(MAY_IMPORT)


def test_no_files_import_each_other_in_a_circle():
    """Imports inside functions and for the type checker count too, but those of a package's own `__init__` do not."""
    left = {
        file: {there for i in OURS if i.file == file and (there := module_of(i)) not in (None, file)} for file in FILES
    }
    while leaves := [file for file, there in left.items() if not there & left.keys()]:
        for file in leaves:
            del left[file]
    while ends := [file for file in left if not any(file in there for there in left.values())]:
        for file in ends:  # which only lead into a circle
            del left[file]
    refuse([file.relative_to(PACKAGE) for file in left])


def test_no_algorithm_is_imported_by_a_sibling():
    """An algorithm is a module of agents/ that defines `init` and `update`; the registry knows it by its name only."""

    def is_algorithm(tree: ast.Module) -> bool:
        return {"init", "update"} <= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}

    algorithms = {file for file, tree in TREES.items() if room(file) == "agents" and is_algorithm(tree)}
    assert {file.stem for file in algorithms} >= {"sac", "sac_value"}
    refuse([imported for imported in OURS if room(imported.file) == "agents" and module_of(imported) in algorithms])


def test_no_verb_is_imported_by_another():
    verbs = {PACKAGE / "cli" / f"{verb}.py" for verb in VERBS}
    assert verbs <= set(FILES)
    refuse([imported for imported in OURS if imported.file in verbs and module_of(imported) in verbs])


def test_heavy_helpers_stay_in_their_room_and_are_imported_lazily():
    helpers = [imported for imported in IMPORTS if imported.top in HOME]
    assert "matplotlib" in {imported.top for imported in helpers}
    refuse([imported for imported in helpers if room(imported.file) != HOME[imported.top] or not imported.lazy])


def test_the_stepping_side_does_not_import_jax():
    refuse([i for i in IMPORTS if i.top in JAX and not i.lazy and room(i.file) in WITHOUT_JAX])


def test_whatever_computes_guards_against_wrong_sums():
    guarded = {room(i.file) for i in OURS if i.module == "entrax.xla" and i.file.name == "__init__.py"}

    def reaches_guard(file: Path, seen: set[Path]) -> bool:
        if room(file) in guarded | {"xla"}:
            return True
        seen.add(file)
        files = [module_of(i) for i in OURS if i.file == file and not i.lazy]
        return any(reaches_guard(f, seen) for f in files if f is not None and f not in seen)

    assert guarded
    refuse([i for i in IMPORTS if i.top == "jax" and not i.lazy and not reaches_guard(i.file, set())])


def test_nothing_is_unpickled_or_evaluated():
    refuse([imported for imported in IMPORTS if imported.top in UNSAFE])
    calls = [(file, node) for file, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    unsafe = [
        f"{file.relative_to(PACKAGE)}:{call.lineno} {ast.unparse(call)}"
        for file, call in calls
        if (isinstance(call.func, ast.Name) and call.func.id in {"eval", "exec", "compile", "hasattr"})
        or any(word.arg == "allow_pickle" and ast.unparse(word.value) != "False" for word in call.keywords)
    ]
    refuse(unsafe)


def test_files_are_short_enough_to_read():
    lengths = {file.relative_to(PACKAGE): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    refuse([f"{file} has {lines} lines" for file, lines in lengths.items() if lines > LONGEST_FILE])


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "import entrax",
            JAX | HOME.keys() | {"numpy", "scipy", "gymnasium", "mujoco", "click", "rich", "safetensors"},
        ),
        ("import entrax; entrax.train; entrax.load", HOME.keys() | {"mujoco"}),
        ("import entrax.environments.worker", JAX | HOME.keys()),
        ("import sys, entrax.cli; entrax.cli.main(['--help'])", JAX | HOME.keys() | {"numpy", "gymnasium", "mujoco"}),
    ],
)
def test_what_an_import_leaves_out(statement, absent):
    script = (
        f"import sys\ntry:\n    exec({statement!r})\nexcept SystemExit:\n    pass\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(ended.stderr.split())
    assert "entrax" in loaded
    assert not loaded & set(absent)


PRINTS = {"errors.py", "cli/__init__.py", "cli/output.py", "cli/stress.py"}  # the last: a count on standard error


def test_texts_are_printed_in_one_place():
    """`entrax.errors.show` takes control characters out; what else prints has no text of a file or an environment."""

    def printed(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "click.echo", "click.secho")

    found = {file for file, tree in TREES.items() if any(map(printed, ast.walk(tree)))}
    refuse([file for file in found if str(file.relative_to(PACKAGE)) not in PRINTS])


if __name__ == "__main__":
    PAGE.write_text(redrawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
