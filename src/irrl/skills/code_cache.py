"""Compiled code of the kernel on the disk: sealed, and in a folder that no stranger can write.

Numba's own cache fails where no folder can be written, and at a damaged file.
"""

import functools
import hashlib
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import caching, config
from numba.core.serialize import dumps

from irrl.errors import warn
from irrl.machine import cache_folder, temporary_folder


def kept(function: Any) -> Any:
    """Let the compiled code of a function that Numba compiles stay on the disk, if there is a place for it."""
    if code_folder(Path(inspect.getfile(function.py_func)).parent):
        function._cache = _Cache(function.py_func)
    return function


@functools.cache
def code_folder(source: Path) -> Path | None:
    """Where the compiled code of the modules in `source` is kept; None: nowhere, and every start compiles anew.

    NUMBA_CACHE_DIR, then beside the modules, then the user's folder for caches, then one for temporary files.
    """
    within = caching.InTreeCacheLocator.get_suitable_cache_subpath(str(source / "module.py"))
    asked: str = config.CACHE_DIR  # pyright: ignore[reportAttributeAccessIssue]
    wanted = [*([Path(asked) / within] if asked else []), source / "__pycache__"]
    folder = cache_folder(f"numba/{within}", wanted)
    if folder is None or (asked and folder != wanted[0]):
        folder = folder or temporary_folder(f"numba-{within}")
        fate = f"is kept in {folder}" if folder else "is not kept: it is made at every start"
        warn(f"{wanted[0]}: this folder cannot be written, or is open to others; compiled code {fate}")
    return folder


class _Locator(caching.InTreeCacheLocator):
    def __init__(self, function: Any, file: str):
        super().__init__(function, file)
        self._cache_path = str(code_folder(Path(file).parent))


class _Files(caching.CompileResultCacheImpl):
    """What a file holds: code, and its digest, for code that a power cut or a bad disk has changed may do anything."""

    _locator_classes = [_Locator]

    def reduce(self, cres: Any) -> tuple[bytes, bytes]:
        code = dumps(super().reduce(cres))
        return hashlib.sha256(code).digest(), code

    def rebuild(self, target_context: Any, payload: tuple[bytes, bytes]) -> Any:
        digest, code = payload
        if hashlib.sha256(code).digest() != digest:
            raise ValueError("damaged")
        return super().rebuild(target_context, pickle.loads(code))


class _Cache(caching.FunctionCache):
    """Without what cannot be read or written, code is compiled anew."""

    _impl_class = _Files

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a damaged file may unpickle to anything
            _say_once(f"{self.cache_path}: a file of compiled code is damaged: compiling anew")
            self._keep(self.flush)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        self._keep(lambda: super(_Cache, self).save_overload(sig, data))

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:  # a full disk
            _say_once(f"{self.cache_path}: compiled code cannot be kept here: {error.strerror}")
            self.disable()


_say_once = functools.cache(warn)
