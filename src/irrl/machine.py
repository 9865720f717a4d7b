"""What this process may use of the machine that it runs on: cores, memory, folders for caches. No JAX here."""

import os
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""In a Linux container: microseconds of processor time that it may use, and in how many; `max` where it may use all."""


def cores() -> int:
    """Processor cores that this process may use: those it is bound to, and no more than its container's share."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    with suppress(OSError, ValueError):
        used, period = map(int, CGROUP_LIMIT.read_text().split())
        count = min(count, max(1, round(used / period)))
    return count


def memory_bytes() -> int | None:
    """The machine's memory; None where it does not say."""
    with suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def is_writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def is_safe(folder: Path, *, and_above: bool = False) -> bool:
    """Whether no stranger can put files into `folder`: it is this user's or the superuser's, and not open to everybody.

    Compiled code in a cache is run: whoever writes there, runs what he likes.

    Args:
        and_above: look at the folders that it lies in, too: whoever owns one of these can put another in its place.
    """
    if not hasattr(os, "getuid"):
        return True  # Windows keeps users apart by other means
    folder = folder.resolve()
    for each in (folder, *(folder.parents if and_above else ())):
        found = each.stat()
        if found.st_uid not in (0, os.getuid()):
            return False
        # In a sticky folder, as /tmp is, everybody makes files, but nobody replaces another's.
        if found.st_mode & stat.S_IWOTH and (each == folder or not found.st_mode & stat.S_ISVTX):
            return False
    return True


def cache_folder(name: str, wanted: Iterable[Path]) -> Path | None:
    """The first of `wanted`, and of `irrl/name` in the user's folder for caches, that can be written by this user and
    by no stranger; None if there is none."""
    for folder in wanted:
        if is_writable(folder) and is_safe(folder):
            return folder
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "irrl" / name
    # Without a home `~` stays as it is, and would be a folder of that name here.
    return folder if folder.is_absolute() and is_writable(folder) and is_safe(folder, and_above=True) else None


def temporary_folder(name: str) -> Path | None:
    """The folder `irrl-USER/name` among temporary files, for this user alone; None if it cannot be made so.

    It stays there: the next process finds what this one left.
    """
    with suppress(OSError):
        above = Path(tempfile.gettempdir()) / f"irrl-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
        for folder in (above, above / name):
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            # Another may have made it first, or a link to a folder of his.
            if folder.is_symlink() or not is_safe(folder, and_above=True) or not is_writable(folder):
                return None
        return above / name
    return None
