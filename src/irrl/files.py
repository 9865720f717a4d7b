"""Files on the disk: read with a bound, and replaced in one step, the whole old one by the whole new one."""

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from irrl.errors import UserError, warn

TEMPORARY_SUFFIX = ".irrl-tmp"

NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EBADF, errno.EISDIR}
"""What file systems say that cannot sync a folder: network and FUSE mounts, Windows."""

MOST_DIGITS = 19
"""Of a whole number in JSON: those of 2^63."""


def read_file(path: Path, most: int) -> bytes:
    """The content of an ordinary file of at most `most` bytes.

    Raises:
        OSError: it is missing, or cannot be read.
        UserError: as for `check_ordinary`.
    """
    check_ordinary(path, most)
    with path.open("rb") as file:
        return file.read(most)


def check_ordinary(path: Path, most: int) -> None:
    """Refuse what a reader would hang in or run out of memory with: a pipe, a device, a file that is too large.

    Args:
        most: bytes that no honest file of its kind exceeds.

    Raises:
        OSError: it is missing, or a folder.
        UserError: it is no ordinary file, or larger.
    """
    found = path.stat()  # before it is opened: that alone would wait for a pipe's other end
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: not an ordinary file but a pipe or a device; it is not read")
    if found.st_size > most:
        raise UserError(f"{path}: {found.st_size:,} bytes; at most {most:,} are read of such a file")


def parse_json(content: str | bytes) -> Any:
    """What JSON text says.

    Raises:
        ValueError: it is not JSON; or nested more deeply, or a number longer, than any that we write.
    """

    def whole(digits: str) -> int:
        if len(digits) > MOST_DIGITS:
            raise ValueError(f"a whole number of {len(digits)} digits")
        return int(digits)

    try:
        return json.loads(content, parse_int=whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step: through a kill or a power cut it holds the old file or the new one.

    Raises:
        OSError: it cannot be written; the old file still stands and nothing is left beside it.
    """
    replace_by(path, lambda temporary: write_synced(temporary, content))
    sync(path.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file, and wait until it is on the disk."""
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_by(path: Path, create: Callable[[Path], None]) -> None:
    """Let `create` make a temporary file beside `path`, then rename it to `path`; on an error it is removed.

    Or a temporary folder, which replaces an empty folder only.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        create(temporary)
        os.replace(temporary, path)
        temporary.unlink(missing_ok=True)  # a rename between two names of one file does nothing
    except BaseException as error:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise


def link(source: Path, target: Path) -> None:
    """Make `target` another name of the file `source`, or a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        sync(target)


def append(path: Path, content: bytes) -> None:
    """Add `content` to the end of the file at `path`; on an error (full disk) no part of it stays."""
    with open(path, "ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            while content:
                content = content[file.write(content) :]
        except BaseException:
            file.truncate(size)
            raise


def open_log(path: Path) -> TextIO:
    """Open a file to add lines to its end. It may lie in a stranger's folder: no link is followed, no pipe waited for.

    Raises:
        OSError: it cannot be written, or is a link or a pipe that nobody reads.
        UserError: it is no ordinary file.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    file = os.fdopen(os.open(path, flags, 0o666), "a", buffering=1)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UserError(f"{path}: not an ordinary file but a pipe or a device; it is not written")
    return file


def sync(path: Path) -> None:
    """Wait until the file or folder at `path` is on the disk; some file systems cannot say that of a folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC or not path.is_dir():
            raise
        _warn_of_no_folder_sync()


@cache
def _warn_of_no_folder_sync() -> None:
    warn("the file system cannot sync a folder: a power cut may lose the newest checkpoint, not the one before it")


def check_folder(path: Path) -> None:
    """Refuse, before anything is computed, a folder that cannot be made: a file stands there or where it should lie.

    Raises:
        UserError: which file.
    """
    above = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not above.is_dir():
        raise UserError(f"{path}: not a folder, for {above} is a file; give another `out`")
