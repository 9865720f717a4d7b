"""Runs as tasks of a Ray cluster, whose nodes share the study's folder."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from irrl.errors import UserError, reason
from irrl.extras import import_extra
from irrl.references import resolve
from irrl.studies.engines.engine import Ended, Engine
from irrl.studies.engines.local import log_of, reason_of
from irrl.studies.study import Job

MOST_QUEUED = 1_000
"""Tasks that Ray is handed at a time."""


SECONDS_TO_ANSWER = 10.0
"""Of a cluster's head."""


@final
class RayEngine(Engine):
    """A task of Ray for each run. A node may be lost: the run goes on at another."""

    def __init__(self, logs: Path, address: str, gpus: float):
        """Args:
            logs: folder for what the runs say, on the shared path.
            address: of the cluster; `auto` finds the one that this machine belongs to, `local` makes one of its own.
            gpus: accelerators that a run takes.

        Raises:
            UserError: there is no cluster there.
        """
        self._ray = ray = import_extra("ray", "ray")
        self._mine = not ray.is_initialized()
        if self._mine:
            _check_answers(address)
            alone = {"include_dashboard": False} if address == "local" else {}
            try:
                ray.init(address=address, log_to_driver=False, logging_level="error", **alone)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UserError(
                    f"no Ray cluster at `address={address}` ({reason(error)}): start one with 'ray start --head', or "
                    "say `address=local`"
                ) from error
        self._logs, self._gpus = logs.absolute(), gpus
        # A process for each run: JAX's devices are chosen once in a process. And none is repeated by Ray, which would
        # not see whether it got further.
        self._task = ray.remote(max_calls=1, max_retries=0)(resolve("irrl.cli.worker:run_command"))
        self._running: dict[Any, Job] = {}

    def room(self) -> int:
        return MOST_QUEUED - len(self._running)

    def start(self, jobs: Sequence[Job], *, take_over: frozenset[Path]) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        for job in jobs:
            words = [*job.words, *["--take-over"] * (job.folder in take_over)]
            task = self._task.options(num_cpus=job.threads, num_gpus=self._gpus, name=job.name)
            path = os.environ.get("PYTHONPATH", "")
            self._running[task.remote(words, str(log_of(self._logs, job)), os.getcwd(), path)] = job

    def ended(self) -> list[Ended]:
        if not self._running:
            return []
        done, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        return [self._ended(reference, self._running.pop(reference)) for reference in done]

    def _ended(self, reference: Any, job: Job) -> Ended:
        try:
            return Ended(job, reason_of(self._ray.get(reference), log_of(self._logs, job)))
        except self._ray.exceptions.TaskCancelledError:
            return Ended(job, "stopped")
        except self._ray.exceptions.RayError as error:  # its process or its node is gone: Ray sees to it
            return Ended(job, reason(error).splitlines()[0], take_over=True)

    def stop(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=False)  # as Ctrl-C there: it saves and ends

    def close(self) -> None:
        if self._mine:
            self._ray.shutdown()


def _check_answers(address: str) -> None:
    """Refuse an address where nobody answers: Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # auto, local: names that Ray understands
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise UserError(f"no Ray cluster at `address={address}`: {error.strerror or error}") from error
