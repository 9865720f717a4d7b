"""One run's folder: what was asked for, on what it ran, what was measured, and where to go on from.

A training function is handed a `Run` and speaks to the outside only through it: `restore` once, then `log`, `progress`
and `save` as it goes, looking at `stop_requested` between steps. `MemoryRun` touches no disk, `DiskRun` has a folder:

    config.json         task and config
    environment.json    a list: versions, git commit, hardware and command line of each start
    metrics.jsonl       one row of metrics a line
    NAME.safetensors    checkpoints: last, previous (the one before it), best, and epoch-000010 and the like if kept

How far a run is, a task counts in a unit of its own: epochs, or iterations.
"""

import fcntl
import importlib
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np

from irrl.checkpoint import Checkpoint, encode, load
from irrl.errors import UserError
from irrl.files import TEMPORARY_SUFFIX, append, link, replace_by, replace_file, sync
from irrl.listeners import Listener
from irrl.machine import memory_bytes
from irrl.seeds import check_single


class Run(ABC):
    """What a training function speaks to. A context manager: leaving it closes the listeners and frees the folder."""

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = []
        """The rows of metrics so far, those from before a resume included."""
        self.stop_requested = False
        """True once the user asked to stop: the training saves and returns."""
        self.listeners: list[Listener] = []

    @abstractmethod
    def restore(self) -> Checkpoint | None:
        """Give the checkpoint to go on from, or None to start from scratch."""

    @abstractmethod
    def save(self, arrays: Mapping[str, np.ndarray], state: dict[str, Any], *, best: bool, keep: bool) -> None:
        """Checkpoint. `state` has at least `step`, and the run's unit; rows up to that step were logged before.

        `best` marks the best by validation so far; `keep` one that later ones do not overwrite.
        """

    def log(self, row: dict[str, Any]) -> None:
        """Record one row of metrics: numbers by name, among them `step` and the run's unit."""
        row = json.loads(_json_line(row))
        self.history.append(row)
        for listener in self.listeners:
            listener.log(row)

    def progress(self, step: int, steps: int) -> None:
        """Say that `step` of `steps` are done; cheap enough to be called between any two chunks of steps."""
        for listener in self.listeners:
            listener.progress(step, steps)

    def close(self) -> None:
        """Close the listeners."""
        for listener in self.listeners:
            listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """While active, Ctrl-C or SIGTERM sets `stop_requested`; Ctrl-C after that raises KeyboardInterrupt.

        Does nothing off the main thread, where Python lets nobody handle signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def request_stop(number: int, frame: object) -> None:
            if self.stop_requested and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stop_requested = True

        old_handlers = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old_handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


class MemoryRun(Run):
    """A run that touches no disk: metrics are in `history`, checkpoints are dropped."""

    def restore(self) -> Checkpoint | None:
        """Give None: there is nothing to go on from."""

    def save(self, arrays: Mapping[str, np.ndarray], state: dict[str, Any], *, best: bool, keep: bool) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Plan:
    """What a run is asked to be. A folder's run is gone on with if it was asked to be the same."""

    task: str
    config: Mapping[str, Any]
    """JSON values"""
    free: Set[str] = frozenset()
    """fields that may change between one start and the next"""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """what fields count as that a recorded config lacks, for it is older than they are"""
    unit: str = "epoch"
    """what the task counts its progress in: the name of a number in a checkpoint's state"""

    @property
    def identity(self) -> dict[str, Any]:
        """Task and config as a file gives them back."""
        return json.loads(json.dumps({"task": self.task, "config": dict(self.config)}))

    def check(self, where: Path, recorded: Mapping[str, Any]) -> None:
        """Refuse the recorded task and config of what lies at `where` if they are not this run's.

        Raises:
            UserError: each difference is shown.
        """
        before, after = ({"task": either.get("task"), **either["config"]} for either in (recorded, self.identity))
        before = {**self.defaults, **before} if before["task"] == after["task"] else before
        changes = [
            f"{name}: {before.get(name, '(absent)')} -> {after.get(name, '(absent)')}"
            for name in dict.fromkeys([*before, *after])
            if name not in self.free and (name in before, before.get(name)) != (name in after, after.get(name))
        ]
        if changes:
            raise UserError(f"{where}: made with another config, it cannot go on with this one: {', '.join(changes)}")


class DiskRun(Run):
    """A run kept in a folder, from which a stopped or killed training goes on. `DiskRun.open` makes it."""

    def __init__(self, folder: Path, plan: Plan, lock: TextIOWrapper, start: Path | None):
        super().__init__()
        self.folder = folder
        self._plan = plan
        self._lock = lock
        self._start = start
        self._last_is_good = False

    @classmethod
    def open(cls, folder: Path, plan: Plan, *, resume: str = "auto") -> "DiskRun":
        """Start a run in a new folder, or take up the one that the folder holds.

        Args:
            folder: made, parents included, when it does not exist.
            plan: on a resume it must be the recorded one.
            resume: "auto" goes on if the folder holds a run, "never" refuses to; else the checkpoint, or the run's
                folder, from which a new folder goes on.

        Raises:
            UserError: the plan differs (each difference is shown, nothing is touched), another process trains in
                the folder, it cannot be written, or the checkpoint named by `resume` is not good.
        """
        start = None if resume in ("auto", "never") else Path(resume)
        if start is not None:
            check_single(start)
            start = start / "last.safetensors" if start.is_dir() else start
            _load_own(start, plan)
        try:
            with ExitStack() as held:
                lock = held.enter_context(_lock(folder))
                _check_folder(folder, resume, plan)
                for stale in folder.glob(f".*{TEMPORARY_SUFFIX}"):
                    stale.unlink()
                replace_file(folder / "config.json", _json_file(plan.identity))
                environments = folder / "environment.json"
                starts = _read_json(environments, otherwise=[])
                replace_file(environments, _json_file([*starts, environment()]))
                held.pop_all()
        except OSError as error:
            raise UserError(f"{folder}: cannot write in this folder: {error.strerror}") from error
        return cls(folder, plan, lock, start)

    def restore(self) -> Checkpoint | None:
        """Give the checkpoint to go on from, and cut the metrics back to its step.

        That is the one `open` was given, else `last`, else `previous`, else the newest of the others. A damaged one is
        passed over with a warning on stderr.

        Raises:
            UserError: there are checkpoints, but none is good.
        """
        checkpoint = self._newest() if self._start is None else self._adopt(self._start)
        rows = [] if checkpoint is None else read_rows(self.folder / "metrics.jsonl")
        self.history[:] = [row for row in rows if checkpoint and row["step"] <= checkpoint.state["step"]]
        replace_file(self.folder / "metrics.jsonl", "".join(map(_json_line, self.history)).encode())
        return checkpoint

    def save(self, arrays: Mapping[str, np.ndarray], state: dict[str, Any], *, best: bool, keep: bool) -> None:
        """Checkpoint into `last`, the old `last` becoming `previous`, and as asked into `best` and `epoch-N`.

        Raises:
            OSError: it cannot be written (full disk); the checkpoints already there are as good as before.
        """
        content = encode(arrays, {**state, **self._plan.identity})
        if (self.folder / "metrics.jsonl").exists():
            sync(self.folder / "metrics.jsonl")
        # `last` comes after the others: killed in between, the training resumes before this point and makes them again.
        if best:
            replace_file(self.folder / "best.safetensors", content)
        if keep:
            replace_file(self.folder / f"{self._plan.unit}-{state[self._plan.unit]:06d}.safetensors", content)
        last = self.folder / "last.safetensors"
        # A damaged `last` must not push out a good `previous`.
        if self._last_is_good and last.exists():
            replace_by(self.folder / "previous.safetensors", lambda temporary: link(last, temporary))
        replace_file(last, content)
        self._last_is_good = True

    def log(self, row: dict[str, Any]) -> None:
        """Record one row of metrics, on the disk before anywhere else; on an error no half row stays."""
        append(self.folder / "metrics.jsonl", _json_line(row).encode())
        super().log(row)

    def close(self) -> None:
        """Close the listeners and free the folder for another process."""
        with self._lock:
            super().close()

    def _newest(self) -> Checkpoint | None:
        bad = []
        others = [self.folder / "best.safetensors", *kept_checkpoints(self.folder, self._plan.unit).values()]
        for paths in [self.folder / "last.safetensors"], [self.folder / "previous.safetensors"], others:
            good = []
            for path in filter(Path.exists, paths):
                try:
                    good.append((path, _load_own(path, self._plan)))
                except UserError as error:
                    bad.append(error)
            if good:
                path, checkpoint = max(good, key=lambda found: found[1].state["step"])
                for error in bad:
                    print(f"warning: {error}; going on from {path.name} instead", file=sys.stderr)
                self._last_is_good = path.name == "last.safetensors"
                return checkpoint
        if bad:
            raise UserError(f"{self.folder}: no checkpoint here is good, start in another folder; {bad[0]}")
        return None

    def _adopt(self, path: Path) -> Checkpoint:
        checkpoint = load(path)
        metrics, best = path.parent / "metrics.jsonl", path.parent / "best.safetensors"
        if metrics.exists():
            replace_file(self.folder / "metrics.jsonl", metrics.read_bytes())
        with suppress(UserError):
            older = _load_own(best, self._plan)
            if older.state["step"] <= checkpoint.state["step"]:
                replace_file(self.folder / "best.safetensors", best.read_bytes())
        # It becomes `last` at once, so that a training killed before its first checkpoint goes on from here too.
        self.save(checkpoint.arrays, checkpoint.state, best=False, keep=False)
        return checkpoint


def kept_checkpoints(folder: Path, unit: str) -> dict[int, Path]:
    """The checkpoints that a run kept for good, by epoch (or whatever its unit), in order."""
    found = {path.stem.removeprefix(f"{unit}-"): path for path in folder.glob(f"{unit}-*.safetensors")}
    return dict(sorted((int(number), path) for number, path in found.items() if number.isdigit()))


def progress_of(folder: Path, plan: Plan, *, resume: str = "auto") -> int:
    """How many epochs (or whatever its unit) the run in `folder` has behind it, 0 if there is none; nothing is touched.

    Raises:
        UserError: `DiskRun.open` would refuse to go on there with this plan.
    """
    _check_folder(folder, resume, plan)
    with suppress(UserError, KeyError):
        return load(folder / "last.safetensors").state[plan.unit]
    return 0


def read_config(folder: Path, task: str) -> dict[str, Any]:
    """The config of the run in `folder`.

    Raises:
        UserError: there is none, or it belongs to another task.
    """
    check_single(folder)
    recorded = _read_json(folder / "config.json", otherwise={})
    if not isinstance(recorded.get("config"), dict) or recorded.get("task") != task:
        raise UserError(f"{folder / 'config.json'}: missing, damaged, or not of a run of the task {task}")
    return recorded["config"]


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
        "git_commit": _git_commit(),
        "versions": versions,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": memory_bytes(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()] if jax else [],
    }


def _git_commit() -> str | None:
    """The working directory's commit, `-dirty` behind it if tracked files differ from it; None outside a repository."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()


def _cpu_model() -> str:
    with suppress(OSError, IndexError):
        return Path("/proc/cpuinfo").read_text().split("model name")[1].splitlines()[0].strip("\t :")
    return platform.processor()


def _lock(folder: Path) -> TextIOWrapper:
    """Make the folder and lock it; the operating system frees the lock however this process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(folder / ".lock", "a")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise UserError(f"{folder}: another training is running in this folder: wait, or choose another") from error
    return lock


def _check_folder(folder: Path, resume: str, plan: Plan) -> None:
    if not any(folder.glob("*.safetensors")):
        return  # A start that failed early leaves a config, but nothing that could be lost.
    if resume != "auto":
        raise UserError(f"{folder}: already holds a run: leave out --resume to go on with it, or choose another folder")
    recorded = _read_json(folder / "config.json", otherwise={})
    if not isinstance(recorded.get("config"), dict):
        raise UserError(f"{folder / 'config.json'}: missing, damaged, or not of a run: choose another folder")
    plan.check(folder, recorded)


def _load_own(path: Path, plan: Plan) -> Checkpoint:
    checkpoint = load(path)
    if "step" not in checkpoint.state or not isinstance(checkpoint.state.get("config"), dict):
        raise UserError(f"{path}: not the checkpoint of a run: it lacks step or config")
    plan.check(path, checkpoint.state)
    return checkpoint


def _read_json(path: Path, otherwise: Any) -> Any:
    """Read a file that holds the kind of value `otherwise` is, which stands for a file that does not."""
    with suppress(FileNotFoundError, ValueError):
        found = json.loads(path.read_bytes())
        return found if isinstance(found, type(otherwise)) else otherwise
    return otherwise


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a metrics file, passing over lines that a kill or a power cut left unreadable."""
    rows = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with suppress(ValueError):
            rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict) and "step" in row]


def _json_line(row: dict[str, Any]) -> str:
    return json.dumps(row, default=lambda number: number.item()) + "\n"


def _json_file(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
