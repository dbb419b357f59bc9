"""References to Python objects: `module:name`, or `folder/file.py:name` for a file outside packages.

Importing runs code: resolve references of the user only, never those of a run directory.
"""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from entrax.errors import EntraxError, UsageError, closest

_PREFIX = "_entrax_file_"


def is_file(name: str) -> bool:
    """Return whether a module is named by its file."""
    return name.endswith(".py")


def absolute(reference: str) -> str:
    """Return a reference with the path of a file made absolute."""
    module, colon, name = reference.rpartition(":") if ":" in reference else (reference, "", "")
    return f"{Path(module).expanduser().resolve()}{colon}{name}" if is_file(module) else reference


def from_anywhere(reference: str) -> str:
    """Return a reference that works in any working directory.

    It is by file, unless the module is in the working directory or a package.
    """
    module, _, name = reference.rpartition(":")
    file = getattr(sys.modules.get(module), "__file__", None)
    if "." in module or file is None or not is_file(file) or Path(file).name == "__init__.py":
        return absolute(reference)
    return reference if Path(file).parent == Path.cwd() else f"{Path(file).resolve()}:{name}"


def import_named(module: str) -> ModuleType:
    """Import a module by its name or its file.

    Raises EntraxError with the reason if that fails.
    """
    try:
        return _import_file(Path(module)) if is_file(module) else importlib.import_module(module)
    except EntraxError:
        raise
    except (Exception, SystemExit) as error:  # the module can raise anything
        what = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise EntraxError(f"{module} cannot be imported: {what}.") from error


def resolve(reference: str) -> Any:
    """Return the object of a reference `module:name` or `file.py:name`.

    Raises:
        UsageError: if the module has no such name, or there is no such file.
        EntraxError: if the module cannot be imported.
    """
    module, _, name = reference.rpartition(":")
    target: Any = import_named(module)
    try:
        for part in name.split("."):
            target = getattr(target, part)
    except AttributeError as error:
        names = [known for known in vars(target) if not known.startswith("_")]
        raise UsageError(f"{module} defines no {name!r}{closest(name, names)}") from error
    return target


def reference_of(value: Any) -> str | None:
    """Return a reference by which another process can import a function or class.

    Returns None if it cannot.
    """
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    known = sys.modules.get(module) if isinstance(module, str) else None
    if known is None or module == "__main__" or not isinstance(name, str) or getattr(known, "__spec__", None) is None:
        return None
    target: Any = known
    for part in name.split("."):
        target = getattr(target, part, None)
    if target is not value:
        return None
    return f"{known.__file__ if known.__name__.startswith(_PREFIX) else module}:{name}"


def _import_file(path: Path) -> ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    name = f"{_PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    inside = [str(path.parent)] if path.name == "__init__.py" else None  # the package's own modules
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=inside)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for modules beside it, last so that they shadow nothing
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
