"""What a command needs around it, settled before anything heavy is imported."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path

from irrl.errors import warn
from irrl.machine import is_safe, is_writable, temporary_folder


def settle() -> None:
    """Let output be escaped where its encoding lacks a character, and other packages' caches lie where they can."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _settle_matplotlib()
    _settle_jax()


def _open_closed_streams() -> None:
    """Where a shell has closed one (`2>&-`), Python has None; and the next file to be opened would take its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
            try:
                os.fstat(number)
            except OSError:
                os.dup2(getattr(sys, name).fileno(), number)


def _settle_matplotlib() -> None:
    """Where it cannot write its folders, Matplotlib makes others at every start, and says so in two long lines."""
    if asked := os.environ.get("MPLCONFIGDIR"):
        folders = [os.path.abspath(asked)]
    elif sys.platform == "linux":
        homes = ("XDG_CONFIG_HOME", "~/.config"), ("XDG_CACHE_HOME", "~/.cache")
        folders = [f"{os.environ.get(name) or os.path.expanduser(home)}/matplotlib" for name, home in homes]
    else:
        return
    bad = next((folder for folder in folders if not _could_be_written(Path(folder))), None)
    if bad is not None and (instead := temporary_folder("matplotlib")):
        warn(f"{bad}: Matplotlib cannot write in this folder: it uses {instead}; MPLCONFIGDIR names another")
        os.environ["MPLCONFIGDIR"] = str(instead)


def _could_be_written(folder: Path) -> bool:
    """Whether `folder` can be written or made; nothing is touched."""
    there = next((each for each in (folder, *folder.parents) if os.path.exists(each)), Path())
    # Without a home `~` stays as it is.
    return folder.is_absolute() and there.is_dir() and os.access(there, os.W_OK)


def _settle_jax() -> None:
    """JAX runs what it finds in its cache, and warns of every program that it cannot find or keep there."""
    asked = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if not asked or "://" in asked:
        return
    folder = Path(asked)
    # One that is there may be for reading only.
    if not folder.is_dir() and not is_writable(folder):
        why = "no such folder can be made"
    elif not is_safe(folder):
        why = "others can write in this folder, and what lies there is run"
    else:
        return
    warn(f"JAX_COMPILATION_CACHE_DIR {folder}: {why}: programs are compiled at every start")
    del os.environ["JAX_COMPILATION_CACHE_DIR"]
