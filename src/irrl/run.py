"""One run's folder: what was asked for, on what it ran, what was measured, and where to go on from.

A training function is handed a `Run` and speaks to the outside only through it: `restore` once, then `log`, `progress`
and `save` as it goes, looking at `stop_requested` between steps. `MemoryRun` touches no disk, `DiskRun` has a folder:

    config.json         task and config
    environment.json    a list: versions, git commit, hardware and command line of each start
    metrics.jsonl       one row of metrics a line
    NAME.safetensors    checkpoints: last, previous (the one before it), best, and epoch-000010 and the like if kept

How far a run is, a task counts in a unit of its own: epochs, or iterations.
"""

import json
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from irrl.checkpoint import Checkpoint, encode, load, load_state
from irrl.errors import UserError, warn
from irrl.files import (
    append,
    link,
    read_file,
    replace_by,
    replace_file,
    sync,
    write_synced,
)
from irrl.listeners import Listener
from irrl.locks import FolderLock, lock_folder
from irrl.plan import Plan
from irrl.provenance import environment
from irrl.run_folder import (
    MOST_METRICS_BYTES,
    check_progress,
    read_json,
    read_rows,
    run_checkpoints,
    set_aside,
    sweep,
)
from irrl.seeds import check_single

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2")
"""Signals on which a training saves and returns: Ctrl-C, `kill`, the terminal was closed, and Slurm wants its node."""

UNSAVED = ".no-checkpoint-yet"
"""Stands in a run's folder until its first checkpoint does."""


class Run(ABC):
    """What a training function speaks to. A context manager: leaving it closes the listeners and frees the folder."""

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = []
        """The rows of metrics so far, those from before a resume included."""
        self.listeners: list[Listener] = []
        self.threads: int | None = None
        """How many share a batch, where what is learned depends on that, if only by rounding. To be set before
        `restore`."""
        self.stops_with: Run | None = None
        """Another run: when that is asked to stop, so is this one."""
        self._stop_requested = False

    @property
    def stop_requested(self) -> bool:
        """True once the user asked to stop: the training saves and returns."""
        return self._stop_requested or (self.stops_with is not None and self.stops_with.stop_requested)

    @stop_requested.setter
    def stop_requested(self, asked: bool) -> None:
        self._stop_requested = asked

    def next_look(self, steps: int) -> int:
        """How many steps to take before the user is heard again: `steps`, or 0 if they asked to stop."""
        return 0 if self.stop_requested else steps

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
        self._tell(lambda listener: listener.log(row))

    def progress(self, step: int, steps: int) -> None:
        """Say that `step` of `steps` are done; cheap enough to be called between any two chunks of steps."""
        self._tell(lambda listener: listener.progress(step, steps))

    def close(self) -> None:
        """Close the listeners."""
        self._tell(lambda listener: listener.close())

    def _tell(self, what: Callable[[Listener], None]) -> None:
        for listener in self.listeners:
            try:
                what(listener)
            except OSError:  # nobody is there any more to read what it shows: as if the terminal had been closed
                self.stop_requested = True

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """While active, a signal of `STOPPING` sets `stop_requested`. Ctrl-C after that does what it did before: it
        raises KeyboardInterrupt, or ends the process.

        A signal that is ignored, as by `nohup` and of what a script runs in the background, stays ignored. Does nothing
        off the main thread, where Python lets nobody handle signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def request_stop(number: int, frame: Any) -> None:
            if self.stop_requested and number == signal.SIGINT:
                before = old_handlers[number]
                if callable(before):
                    before(number, frame)
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            self.stop_requested = True

        numbers = [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]
        heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        old_handlers = {number: signal.signal(number, request_stop) for number in heard}
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


class DiskRun(Run):
    """A run kept in a folder, from which a stopped or killed training goes on.

    Nothing is read or written before `restore`: until then a training can complain and leave nothing behind.
    """

    def __init__(self, folder: Path, plan: Plan, *, resume: str = "auto", take_over: bool = False):
        """See `open`, which opens the folder at once."""
        super().__init__()
        self.folder = folder
        self._plan = plan
        self._resume = resume
        self._take_over = take_over
        self._lock: FolderLock | None = None
        self._start: Path | None = None
        self._last_is_good = False

    @classmethod
    def open(cls, folder: Path, plan: Plan, *, resume: str = "auto", take_over: bool = False) -> "DiskRun":
        """Start a run in a new folder, or take up the one that the folder holds.

        Args:
            folder: made, parents included, when it does not exist.
            plan: on a resume it must be the recorded one.
            resume: "auto" goes on if the folder holds a run, "never" refuses to; else the checkpoint, or the run's
                folder, from which a new folder goes on.
            take_over: take the folder also from a process of another host, which must be dead.

        Raises:
            UserError: the plan differs (each difference is shown, nothing is touched), another process trains in
                the folder, it cannot be written, or the checkpoint named by `resume` is not good.
        """
        run = cls(folder, plan, resume=resume, take_over=take_over)
        run._open()
        return run

    def _open(self) -> None:
        folder, plan, resume = self.folder, self._plan, self._resume
        start = None if resume in ("auto", "never") else Path(resume)
        if start is not None:
            check_single(start)
            start = start / "last.safetensors" if start.is_dir() else start
            _load_own(start, plan)
        try:
            with ExitStack() as held:
                lock = held.enter_context(lock_folder(folder, take_over=self._take_over))
                sweep(folder)
                _check_folder(folder, resume, plan)
                if not run_checkpoints(folder, plan.unit):
                    (folder / UNSAVED).touch()
                replace_file(folder / "config.json", _json_file(plan.identity))
                environments = folder / "environment.json"
                starts = read_json(environments, otherwise=[])
                if not starts and environments.exists():
                    set_aside(environments, "damaged")
                _warn_of_other_threads(folder, starts, self.threads)
                replace_file(environments, _json_file([*starts, {**environment(), "threads": self.threads}]))
                held.pop_all()
        except OSError as error:
            raise UserError(f"{folder}: cannot write in this folder: {error.strerror}") from error
        self._lock, self._start = lock, start

    def restore(self) -> Checkpoint | None:
        """Open the folder if need be, give the checkpoint to go on from, and cut the metrics back to its step.

        That is the one given as `resume`, else `last`, else `previous`, else the newest of the others. A damaged one is
        passed over with a warning on stderr.

        Raises:
            UserError: there are checkpoints, but none is good; or as for `open`.
        """
        if self._lock is None:
            self._open()
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
        last = self.folder / "last.safetensors"
        copies = ["best"] * best + [f"{self._plan.unit}-{state[self._plan.unit]:06d}"] * keep

        def write(temporary: Path) -> None:
            write_synced(temporary, content)
            # `last` comes after the others: killed in between, the training resumes before here and makes them again.
            for name in copies:
                replace_by(self.folder / f"{name}.safetensors", partial(link, temporary))
            # A damaged `last` must not push out a good `previous`.
            if self._last_is_good and last.exists():
                replace_by(self.folder / "previous.safetensors", partial(link, last))

        # All are names of one file, and the folder is synced once: the disk is waited for as seldom as can be.
        replace_by(last, write)
        sync(self.folder)
        self._last_is_good = True
        (self.folder / UNSAVED).unlink(missing_ok=True)

    def log(self, row: dict[str, Any]) -> None:
        """Record one row of metrics, on the disk before anywhere else; on an error no half row stays."""
        append(self.folder / "metrics.jsonl", _json_line(row).encode())
        super().log(row)

    def close(self) -> None:
        """Close the listeners and free the folder for another process."""
        with self._lock or nullcontext():
            super().close()

    def _newest(self) -> Checkpoint | None:
        bad = []
        found = run_checkpoints(self.folder, self._plan.unit)
        newest = [[path for path in found if path.stem == name] for name in ("last", "previous")]
        for paths in (*newest, [path for path in found if path.stem not in ("last", "previous")]):
            good = []
            for path in paths:
                try:
                    good.append((path, _load_own(path, self._plan)))
                except UserError as error:
                    bad.append(error)
            if good:
                path, checkpoint = max(good, key=lambda found: found[1].state["step"])
                for error in bad:
                    warn(f"{error}; going on from {path.name} instead")
                self._last_is_good = path.name == "last.safetensors"
                return checkpoint
        if bad:
            raise UserError(f"{self.folder}: no checkpoint here is good, start in another folder; {bad[0]}")
        return None

    def _adopt(self, path: Path) -> Checkpoint:
        checkpoint = load(path)
        metrics, best = path.parent / "metrics.jsonl", path.parent / "best.safetensors"
        if metrics.exists():
            replace_file(self.folder / "metrics.jsonl", read_file(metrics, MOST_METRICS_BYTES))
        with suppress(UserError):
            older = _load_own(best, self._plan)
            if older.state["step"] <= checkpoint.state["step"]:
                replace_file(self.folder / "best.safetensors", encode(*older))
        # It becomes `last` at once, so that a training killed before its first checkpoint goes on from here too.
        self.save(checkpoint.arrays, checkpoint.state, best=False, keep=False)
        return checkpoint


def progress_of(folder: Path, plan: Plan, *, resume: str = "auto") -> int:
    """How many epochs (or whatever its unit) the run in `folder` has behind it, 0 if there is none; nothing is touched.

    Raises:
        UserError: `DiskRun.open` would refuse to go on there with this plan.
    """
    _check_folder(folder, resume, plan)
    with suppress(UserError):
        state = load_state(folder / "last.safetensors")
        check_progress(folder, state, plan.unit)
        return state[plan.unit]
    return 0


def _warn_of_other_threads(folder: Path, starts: list[Any], threads: int | None) -> None:
    before = starts[-1].get("threads") if starts and isinstance(starts[-1], dict) else None
    if isinstance(before, int) and before != threads:
        warn(
            f"{folder}: goes on with {threads} threads to a batch, before there were {before}: what it learns may "
            "differ by rounding"
        )


def _check_folder(folder: Path, resume: str, plan: Plan) -> None:
    metrics = folder / "metrics.jsonl"
    found = run_checkpoints(folder, plan.unit)
    # A start from another run's checkpoint that was killed before it was taken over may be made again.
    if resume not in ("auto", "never") and (folder / UNSAVED).exists():
        found = [path for path in found if path.stem == "last"]
    if not found:
        # Killed before its first checkpoint, a training starts again; but nothing that was measured is erased.
        if metrics.exists() and metrics.stat().st_size and not (folder / UNSAVED).exists():
            raise UserError(
                f"{folder}: holds the metrics of a run, but no checkpoint to go on from: give another `out`, or, to "
                f"start afresh here, move {metrics.name} away first"
            )
        return  # A start that failed early leaves a config, but nothing that could be lost.
    if resume != "auto":
        raise UserError(f"{folder}: already holds a run: leave out `resume` to go on with it, or choose another folder")
    recorded = read_json(folder / "config.json", otherwise={})
    if not isinstance(recorded.get("config"), dict):
        raise UserError(f"{folder / 'config.json'}: missing, damaged, or not of a run: choose another folder")
    plan.check(folder, recorded)


def _load_own(path: Path, plan: Plan) -> Checkpoint:
    checkpoint = load(path)
    if not isinstance(checkpoint.state.get("config"), dict):
        raise UserError(f"{path}: not the checkpoint of a run: it lacks a config")
    check_progress(path, checkpoint.state, plan.unit)
    plan.check(path, checkpoint.state)
    return checkpoint


def _json_line(row: dict[str, Any]) -> str:
    return json.dumps(row, default=lambda number: number.item()) + "\n"


def _json_file(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
