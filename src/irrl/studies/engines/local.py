"""Runs as processes of this machine, each on processor cores of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import final

from irrl.errors import one_line
from irrl.machine import cores
from irrl.studies.engines.engine import Ended, Engine
from irrl.studies.study import Job

MOST_LOG = 10_000
"""Bytes of a log's end that are read for its last line."""


@final
class LocalEngine(Engine):
    """Processes of this machine."""

    def __init__(self, logs: Path, workers: int):
        """Args:
        logs: folder for what the runs say.
        workers: how many at a time.
        """
        self._logs, self._free = logs, list(range(workers))
        self._running: dict[int, tuple[Job, subprocess.Popen[bytes]]] = {}

    def room(self) -> int:
        return len(self._free)

    def start(self, jobs: Sequence[Job], *, take_over: frozenset[Path]) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        for job in jobs:
            slot = self._free.pop(0)
            words = [*job.words, *["--take-over"] * (job.folder in take_over)]
            # -P: as the installed command does, look for modules in the current directory last.
            command = [sys.executable, "-P", "-m", "irrl.cli.worker", str(os.getpid()), *words]
            with log_of(self._logs, job).open("ab") as log, _on_cores(slot, job.threads):
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C goes to this process, which asks them to stop
                )
            self._running[slot] = job, process

    def ended(self) -> list[Ended]:
        found = []
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


def log_of(logs: Path, job: Job) -> Path:
    """Where what a run says is written."""
    return logs / f"{job.name}.log"


def reason_of(status: int, log: Path) -> str:
    """Why a command ended: its exit status or signal, and the last line that it said."""
    how = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
    return f"{how}; {last_line(log)}"


def last_line(log: Path) -> str:
    """The last line of a log, and where the others are."""
    with suppress(OSError):
        lines = log.read_bytes()[-MOST_LOG:].decode(errors="replace").strip().splitlines()
        if lines:
            return f"{one_line(lines[-1])} (all it said: {log})"
    return "it said nothing"


@contextmanager
def _on_cores(slot: int, threads: int):
    """Meanwhile, processes that this thread starts run on cores of their own, as far as there are so many."""
    if not hasattr(os, "sched_setaffinity") or threads >= cores():
        yield
        return
    mine = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {mine[(slot * threads + number) % len(mine)] for number in range(threads)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)
