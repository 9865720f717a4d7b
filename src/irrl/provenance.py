"""Where a run comes from: versions, commit, hardware, command line."""

import importlib
import importlib.metadata
import os
import platform
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irrl.errors import UserError
from irrl.files import read_file
from irrl.machine import memory_bytes

MOST_BYTES = 10_000_000
"""Of a file of git's that is read: `packed-refs` has a line for each branch and tag."""


def environment() -> dict[str, Any]:
    """Describe what this process runs on: versions, git commit, hardware and command line; no host name."""
    jax = sys.modules.get("jax")
    packages = ["irrl", "jax", "jaxlib", "numpy", "optax", "scipy", "safetensors", "numba", "mujoco", "gymnasium"]
    versions = {"python": platform.python_version()}
    for package in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "git_commit": git_commit(),
        "versions": versions,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": memory_bytes(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()] if jax else [],
    }


def _cpu_model() -> str:
    with suppress(OSError, IndexError):
        return Path("/proc/cpuinfo").read_text().split("model name")[1].splitlines()[0].strip("\t :")
    return platform.processor()


def git_commit() -> str | None:
    """The commit that the working directory's repository is at; None outside one.

    Read from git's files. To ask git itself would run what the repository's configuration names (a file system monitor,
    filters), and the working directory may be a stranger's. So changes that are not committed are not seen.
    """
    with suppress(OSError, UserError, ValueError):
        here = Path.cwd()
        markers = (each / ".git" for each in (here, *here.parents))
        marker = next((each for each in markers if each.exists()), None)
        return marker and _head(marker)
    return None


def _head(marker: Path) -> str | None:
    folder = marker
    if marker.is_file():  # of a worktree or submodule: it says where its folder is
        folder = marker.parent / _text(marker).removeprefix("gitdir:").strip()
    head = _text(folder / "HEAD").strip()
    if not head.startswith("ref:"):
        return _commit(head)
    name = head.removeprefix("ref:").strip()
    # A name that leads out of git's folder would have another file read.
    if not re.fullmatch(r"refs(/[^/\\\x00-\x20]+)+", name) or ".." in name:
        return None
    shared = folder / _text(folder / "commondir").strip() if (folder / "commondir").exists() else folder
    for each in (folder, shared):
        if (each / name).is_file():
            return _commit(_text(each / name).strip())
    packed = (line.split() for line in _text(shared / "packed-refs").splitlines())
    return next((_commit(words[0]) for words in packed if len(words) == 2 and words[1] == name), None)


def _commit(text: str) -> str | None:
    return text if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) else None


def _text(path: Path) -> str:
    return read_file(path, MOST_BYTES).decode()
