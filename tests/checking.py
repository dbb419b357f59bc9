"""Check annotations at run time: types by beartype, axes of arrays by jaxtyping."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype

# Equal axes need a scope for each call, which costs more than the checks, so only functions of arrays have one.
_with_scope: Callable[..., Any] = jaxtyping.jaxtyped
_check = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))


def install_checks(package: str) -> None:
    """Check the annotations of every function and dataclass of a package, which must not be imported yet."""
    jaxtyping.jaxtyped = _checked  # type: ignore[assignment]  # what the import hook decorates with, by this name
    jaxtyping.install_import_hook(package, "beartype.beartype")


def _checked(target: Any = None, *, typechecker: Any) -> Any:
    """Stand in for `jaxtyped(typechecker=...)`: the same checks, made once a call."""
    if target is None:
        return lambda decorated: _checked(decorated, typechecker=typechecker)
    if inspect.isclass(target):
        if dataclasses.is_dataclass(target) and "__init__" in vars(target):
            target.__init__ = _checked(target.__init__, typechecker=typechecker)  # type: ignore[method-assign]
        return target
    if not inspect.isfunction(target) or inspect.isgeneratorfunction(target):
        return _with_scope(target, typechecker=typechecker)
    try:
        annotations = get_type_hints(target, include_extras=True)
    except Exception:  # such as a name that is defined later: jaxtyping checks the other annotations
        return _with_scope(target, typechecker=typechecker)
    checked = _check(target)
    if any(map(has_arrays, annotations.values())):
        return _with_scope(checked, typechecker=None)
    return checked


def has_arrays(annotation: Any) -> bool:
    """Whether an annotation or a part of it, at any depth, is one of jaxtyping's."""
    if isinstance(annotation, list):  # the arguments of a Callable
        return any(map(has_arrays, annotation))
    if str(getattr(type(annotation), "__module__", "")).startswith("jaxtyping"):
        return True
    return any(map(has_arrays, get_args(annotation)))
