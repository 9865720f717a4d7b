"""Runs as jobs of Slurm, handed over by submitit."""

import os
import signal
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
"""Jobs of an array: what Slurm takes by default."""

STOPPED = 130
"""Exit status of a training that was asked to stop and has saved."""

DEFAULTS: dict[str, Any] = {"timeout_min": 24 * 60, "slurm_signal_delay_s": 120}
"""A day, and two minutes before its end in which to save."""


@final
class SlurmEngine(Engine):
    """A job for each run, all that are started together as an array.

    Slurm's warning, SIGUSR2 or SIGTERM, has a run save and be queued again. The jobs stay when this process ends.
    """

    def __init__(self, logs: Path, parameters: Sequence[str]):
        """Args:
            logs: folder for what the runs and submitit write, on a path that all nodes share.
            parameters: `NAME=VALUE`, of submitit's `AutoExecutor`: `slurm_partition=long`; and `cluster=local`, which
                runs them on this machine.

        Raises:
            UserError: there is no Slurm here, or no such parameter.
        """
        submitit = import_extra("submitit", "slurm")
        given = DEFAULTS | dict(map(_parameter, parameters))
        cluster = given.pop("cluster", "slurm")
        try:
            self._executor = submitit.AutoExecutor(folder=(logs / "slurm").absolute(), cluster=cluster)
            self._executor.update_parameters(name="irrl", **given)
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            raise UserError(f"`engine=slurm`: {reason(error)}") from error
        self._logs, self._cluster = logs.absolute(), cluster
        self._cpus: int | None = None
        self._running: list[tuple[Job, Any]] = []

    def room(self) -> int:
        return MOST_QUEUED - len(self._running)

    def start(self, jobs: Sequence[Job], *, take_over: frozenset[Path]) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        for threads in sorted({job.threads for job in jobs}):
            same = [job for job in jobs if job.threads == threads]
            self._executor.update_parameters(cpus_per_task=threads)
            with self._executor.batch():
                handed = [
                    self._executor.submit(
                        Work([*job.words, *["--take-over"] * (job.folder in take_over)], str(log_of(self._logs, job)))
                    )
                    for job in same
                ]
            self._running += zip(same, handed, strict=True)

    def ended(self) -> list[Ended]:
        found = [(job, handed) for job, handed in self._running if handed.done()]
        self._running = [each for each in self._running if each not in found]
        return [Ended(job, self._why(job, handed)) for job, handed in found]

    def _why(self, job: Job, handed: Any) -> str:
        log = log_of(self._logs, job)
        try:
            return reason_of(handed.result(), log)
        except Exception as error:  # submitit has many
            return reason(error)

    def stop(self) -> None:
        """Leave the jobs in the queue. Those on this machine are asked to save and end."""
        if self._cluster == "local":
            for _, handed in self._running:
                handed.cancel()
        else:
            self._running = []

    def close(self) -> None:
        """Do nothing: jobs of Slurm outlive who handed them over."""


class Work:
    """What a job does."""

    def __init__(self, words: list[str], log: str):
        self.words, self.log, self.folder = words, log, os.getcwd()

    def __call__(self) -> int:
        """Train; once asked to stop, save and have submitit queue this again."""
        words = self.words
        if int(os.environ.get("SLURM_RESTART_COUNT", "0")):
            words = [*words, "--take-over"]  # Slurm repeats a job when the node that had it is gone
        status = resolve("irrl.cli.worker:run_command")(words, self.log, self.folder)
        if status == STOPPED:
            signal.raise_signal(signal.SIGUSR2)
        return status

    def checkpoint(self) -> Any:
        """What submitit hands over again: the same, for it goes on where it was."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UserError(f"`slurm={text}`: write NAME=VALUE, as in slurm_partition=long")
    return name, int(value) if value.isdigit() else value
