"""Who may write in a run's folder: one process at a time, of this host or of another on the same file system."""

import errno
import json
import os
import secrets
import socket
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from io import TextIOWrapper
from pathlib import Path

from irrl.errors import UserError, printable, shortened, warn
from irrl.files import TEMPORARY_SUFFIX, check_ordinary, parse_json, read_file, replace_file, write_synced

NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
"""What file systems say that have no locks."""

NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES}
"""What file systems say that have no hard links."""

MOST_BYTES = 10_000
"""Of a lock's files."""

LOCK, OWNER = ".lock", ".owner"
"""In a folder: what the operating system locks, and who holds it. Only the second reaches over every file system."""


@dataclass(frozen=True)
class Owner:
    """Who holds a folder."""

    host: str
    process: int
    """its number on that host"""
    started: str
    """when it took the folder, UTC"""

    @classmethod
    def this(cls) -> "Owner":
        """This process, now."""
        return cls(socket.gethostname(), os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def is_here(self) -> bool:
        """Whether it is of this host."""
        return self.host == socket.gethostname()

    @property
    def is_dead(self) -> bool:
        """Whether it is known to be gone: a process of this host that is not there, or whose number is another's."""
        return self.is_here and not _lives(self.process, datetime.fromisoformat(self.started).timestamp())

    def __str__(self) -> str:
        return f"process {self.process} on {shortened(printable(self.host), 60)} since {printable(self.started)}"


class FolderLock:
    """A folder that this process holds, until it is closed. A context manager."""

    def __init__(self, folder: Path, held: ExitStack):
        self.folder = folder
        self._held = held

    def close(self) -> None:
        """Let go of the folder."""
        self._held.close()

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def lock_folder(folder: Path, *, take_over: bool = False) -> FolderLock:
    """Make the folder and take hold of it.

    However this process ends, another of the same host may follow it. One of another host may only where this one let
    go, for nobody there can see whether this one lives.

    Args:
        take_over: take the folder also from a process of another host.

    Raises:
        UserError: somebody else holds it.
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        lock = held.enter_context(_opened(folder / LOCK))
        if not _try_lock(lock):
            raise UserError(_busy(folder, owner_of(folder)))
        _own(folder, take_over)
        held.callback(_disown, folder)
        return FolderLock(folder, held.pop_all())
    raise AssertionError  # an exit stack lets every error through


def owner_of(folder: Path) -> Owner | None:
    """Who holds a folder, as far as it says; None where nobody does. It may be dead."""
    with suppress(OSError, ValueError, TypeError, KeyError, OverflowError):
        said = parse_json(read_file(folder / OWNER, MOST_BYTES))
        owner = Owner(str(said["host"]), int(said["process"]), str(said["started"]))
        datetime.fromisoformat(owner.started).timestamp()
        return owner
    return None


def is_held(folder: Path) -> bool:
    """Whether some process is at work in a folder, or may be: one of another host cannot be seen."""
    owner = owner_of(folder)
    return owner is not None and not owner.is_dead


def _own(folder: Path, take_over: bool) -> None:
    """Write down that this process holds the folder, unless another does."""
    content = json.dumps(asdict(Owner.this())).encode()
    path = folder / OWNER
    if _write_new(path, content):
        return
    check_ordinary(path, MOST_BYTES)
    owner = owner_of(folder)
    if owner is not None and not owner.is_dead and not take_over:
        raise UserError(_busy(folder, owner))
    replace_file(path, content)


def _write_new(path: Path, content: bytes) -> bool:
    """Whether there was no such file before; through a kill there is no file or the whole one."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    write_synced(temporary, content)
    try:
        os.link(temporary, path)  # the one step that every file system takes for a single caller only
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if path.exists():
            return False
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _disown(folder: Path) -> None:
    with suppress(OSError):
        owner = owner_of(folder)
        # One that was taken over is another's now.
        if owner is None or (owner.is_here and owner.process == os.getpid()):
            (folder / OWNER).unlink(missing_ok=True)


def _busy(folder: Path, owner: Owner | None) -> str:
    said = f"{folder}: another training is running in this folder"
    if owner is None:
        return f"{said}: wait, or choose another"
    if owner.is_here:
        return f"{said}, {owner}: wait, or choose another"
    return f"{said}, {owner}: wait, or, if you know that it is dead, say `take_over`"


def _lives(process: int, since: float) -> bool:
    """Whether there is a process of that number which was there at that time."""
    if process <= 0:
        return False
    if os.name != "posix":
        return True  # to ask after it would end it on Windows, where the operating system's lock is enough
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    began = _began(process)
    return began is None or began <= since + 2  # a clock tells when the machine started to the second only


def _began(process: int) -> float | None:
    """When a process began, in seconds since 1970; None where nobody says."""
    with suppress(OSError, ValueError, IndexError):
        # Its name, in parentheses, may hold anything.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return int(booted.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return None


def _opened(path: Path) -> TextIOWrapper:
    if path.exists():
        check_ordinary(path, MOST_BYTES)
    # Not through a link, which would make a file elsewhere.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, 0o666), "a")


def _try_lock(lock: TextIOWrapper) -> bool:
    """Whether nobody else of this host holds it. Where there are no locks, one line says so, and it is taken."""
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        _warn_of_no_locks()
    return True


@cache
def _warn_of_no_locks() -> None:
    warn("no locks here: only the file .owner keeps two trainings in one folder apart")
