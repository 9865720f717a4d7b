"""Runs as processes of this machine, each on processor cores of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import final

from irrl.errors import UserError, complaint, one_line
from irrl.files import check_ordinary, open_log
from irrl.machine import cores, temporary_folder
from irrl.studies.engines.engine import Ended, Engine
from irrl.studies.study import Job

MOST_READ, MOST_LOG_BYTES = 10_000, 2**40
"""Of a log: what is read of its end for the last line, and what it can have in all."""


@final
class LocalEngine(Engine):
    """Processes of this machine."""

    def __init__(self, logs: Path, workers: int, threads: int):
        """Args:
        logs: folder for what the runs say.
        workers: how many at a time.
        threads: cores that a run takes at most.
        """
        self._logs, self._free = logs, list(range(workers))
        self._unstarted: list[Ended] = []
        self._cores: dict[int, tuple[int, ...]] = {}
        self._claimed = ExitStack()
        unclaimed = iter(_free_cores(self._claimed, workers * threads))
        if workers * threads <= cores():
            for slot in range(workers):
                own = tuple(islice(unclaimed, threads))
                if len(own) == threads:
                    self._cores[slot] = own
        self._running: dict[int, tuple[Job, subprocess.Popen[bytes]]] = {}

    def room(self) -> int:
        return len(self._free)

    def start(self, jobs: Sequence[Job], *, take_over: frozenset[Path]) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        for job in jobs:
            try:
                log = open_log(log_of(self._logs, job))
            except (OSError, UserError) as error:
                self._unstarted.append(Ended(job, complaint(error)))
                continue
            slot = self._free.pop(0)
            words = [*job.words, *["--take-over"] * (job.folder in take_over)]
            # -P: as the installed command does, look for modules in the current directory last.
            command = [sys.executable, "-P", "-m", "irrl.cli.worker", str(os.getpid()), *words]
            with log, _on_cores(self._cores.get(slot)):
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C goes to this process, which asks them to stop
                )
            self._running[slot] = job, process

    def ended(self) -> list[Ended]:
        found, self._unstarted = self._unstarted, []
        for slot, (job, process) in list(self._running.items()):
            if process.poll() is not None:
                del self._running[slot]
                self._free.append(slot)
                found.append(Ended(job, reason_of(process.returncode, log_of(self._logs, job))))
        return found

    def stop(self) -> None:
        for _, process in self._running.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        for _, process in self._running.values():
            process.kill()
            process.wait()
        self._claimed.close()


def log_of(logs: Path, job: Job) -> Path:
    """Where what a run says is written."""
    return logs / f"{job.name}.log"


def reason_of(status: int, log: Path) -> str:
    """Why a command ended: its exit status or signal, and the last line that it said."""
    how = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
    return f"{how}; {last_line(log)}"


def last_line(log: Path) -> str:
    """The last line of a log, and where the others are."""
    with suppress(OSError, UserError):
        check_ordinary(log, MOST_LOG_BYTES)
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - MOST_READ))
            lines = file.read(MOST_READ).decode(errors="replace").strip().splitlines()
        if lines:
            return f"{one_line(lines[-1])} (all it said: {log})"
    return "it said nothing"


def _free_cores(held: ExitStack, wanted: int) -> list[int]:
    """Cores of this process that no other study has taken; they are taken, until `held` is closed or it ends."""
    folder = temporary_folder("cores")
    if not hasattr(os, "sched_setaffinity") or folder is None:
        return []
    import fcntl

    found = []
    for core in sorted(os.sched_getaffinity(0)):
        file = held.enter_context(open_log(folder / str(core)))
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found.append(core)
        if len(found) == wanted:
            break
    return found


@contextmanager
def _on_cores(own: tuple[int, ...] | None) -> Iterator[None]:
    """Meanwhile, processes that this thread starts run on these cores; anywhere, if there are none."""
    if own is None:
        yield
        return
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, own)
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)
