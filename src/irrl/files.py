"""Files on the disk: read with a bound, and replaced in one step, the whole old one by the whole new one."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from irrl.errors import UserError

TEMPORARY_SUFFIX = ".irrl-tmp"


def read_file(path: Path, most: int) -> bytes:
    """The content of an ordinary file.

    A pipe would hang, a device never end, and what a stranger wrote may be larger than the memory.

    Args:
        most: bytes that no honest file of its kind exceeds.

    Raises:
        OSError: it is missing, or cannot be read.
        UserError: it is no ordinary file, or larger.
    """
    found = path.stat()  # before it is opened: that alone would wait for a pipe's other end
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: not an ordinary file but a pipe or a device; it is not read")
    if found.st_size > most:
        raise UserError(f"{path}: {found.st_size:,} bytes; at most {most:,} are read of such a file")
    with path.open("rb") as file:
        return file.read(most)


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step: through a kill or a power cut it holds the old file or the new one.

    Raises:
        OSError: it cannot be written; the old file still stands and nothing is left beside it.
    """

    def write(temporary: Path) -> None:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    replace_by(path, write)
    sync(path.parent)


def replace_by(path: Path, create: Callable[[Path], None]) -> None:
    """Let `create` make a temporary file beside `path`, then rename it to `path`; on an error it is removed.

    Or a temporary folder, which replaces an empty folder only.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        create(temporary)
        os.replace(temporary, path)
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


def sync(path: Path) -> None:
    """Wait until the file or folder at `path` is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_folder(path: Path) -> None:
    """Refuse, before anything is computed, a folder that cannot be made: a file stands there or where it should lie.

    Raises:
        UserError: which file.
    """
    above = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not above.is_dir():
        raise UserError(f"{path}: not a folder, for {above} is a file; give another --out")
