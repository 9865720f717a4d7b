"""Names that are imported when they are first used: `irrl --help` must not wait for JAX."""

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def lazily(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package.

    Args:
        package: its name.
        homes: public names, and the module in which each is defined; a module's own name stands for the module.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(homes[name])
        return module if homes[name].rpartition(".")[2] == name else getattr(module, name)

    return get, lambda: sorted(homes)


class _Moved(ModuleType):
    """A module that has moved. Where a function of its package has its name, calling it calls that function."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*arguments, **keywords)


def moved(old: str, *homes: str) -> Callable[[str], Any]:
    """`__getattr__` of a module whose names stand elsewhere now: for one release they are found under the old path.

    Args:
        old: the module's name.
        homes: the modules that have its names now.
    """
    # Importing `irrl.digits.train` hides the function of that name, which `irrl.digits` has.
    sys.modules[old].__class__ = _Moved

    def get(name: str) -> Any:
        if not name.startswith("__"):
            for home in homes:
                module = import_module(home)
                if hasattr(module, name):
                    warnings.warn(f"{old}.{name} is {home}.{name} now", DeprecationWarning, stacklevel=2)
                    return getattr(module, name)
        raise AttributeError(f"module {old!r} has no attribute {name!r}")

    return get
