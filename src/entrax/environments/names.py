"""Our environments' names in Gymnasium's registry, as strings: nothing of them is imported before one is made."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

NAMES: dict[str, dict[str, Any]] = {
    "entrax/MultiGoal-v0": {"entry_point": "entrax.environments.multigoal:MultiGoal", "max_episode_steps": 30},
}
"""Arguments of `gymnasium.register` by id."""


def register_names() -> None:
    """Register now if Gymnasium is loaded, else as soon as it is: it takes too long to load for `import entrax`."""
    if "gymnasium" in sys.modules:
        _register()
    elif not any(isinstance(finder, _AfterGymnasium) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterGymnasium())


def _register() -> None:
    from gymnasium.envs.registration import register, registry

    for name, arguments in NAMES.items():
        if name not in registry:
            register(id=name, **arguments)


class _AfterGymnasium(importlib.abc.MetaPathFinder):
    """Waits for the import of Gymnasium, steps aside, and registers once it is done."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Gymnasium's own loader, and our names afterwards."""

    def __init__(self, loader: Any):
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Whoever asks afterwards is to find things as if nobody had stood between.
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        _register()
