"""Runs as jobs of Slurm, handed over by submitit."""

import json
import os
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from irrl.errors import UserError, reason
from irrl.extras import import_extra
from irrl.files import parse_json, read_file, replace_file
from irrl.references import resolve
from irrl.studies.engines.engine import Ended, Engine
from irrl.studies.engines.local import last_line, log_of
from irrl.studies.study import Job

MOST_QUEUED = 1_000
"""Jobs of an array: what Slurm takes by default."""

STOPPED = 130
"""Exit status of a training that was asked to stop and has saved."""

DEFAULTS: dict[str, Any] = {"timeout_min": 24 * 60, "slurm_signal_delay_s": 120}
"""A day, and two minutes before its end in which to save."""

MOST_BYTES = 1_000_000
"""Of the list of jobs that were handed over."""


@final
class SlurmEngine(Engine):
    """A job for each run, all that are started together as an array.

    Slurm's warning, SIGUSR2 or SIGTERM, has a run save and be queued again. The jobs stay when this process ends, and
    are found again by the next.
    """

    jobs_stay = True

    def __init__(self, logs: Path, parameters: Sequence[str]):
        """Args:
            logs: folder for what the runs and submitit write, on a path that all nodes share.
            parameters: `NAME=VALUE`, of submitit's `AutoExecutor`: `slurm_partition=long`; and `cluster=local`, which
                runs them on this machine.

        Raises:
            UserError: there is no Slurm here, or no such parameter.
        """
        self._submitit = submitit = import_extra("submitit", "slurm")
        given = DEFAULTS | dict(map(_parameter, parameters))
        self._folder = (logs / "slurm").absolute()
        self._handed_over = self._folder / "jobs.json"
        self._cluster = given.pop("cluster", "slurm")
        try:
            # As often as need be: each time it goes on where it was.
            self._executor = submitit.AutoExecutor(self._folder, cluster=self._cluster, slurm_max_num_timeout=10_000)
            self._executor.update_parameters(name="irrl", **given)
        except (RuntimeError, ValueError, TypeError, NameError, AssertionError) as error:
            raise UserError(f"`engine=slurm`: {reason(error)}") from error
        self._logs = logs.absolute()
        self._running: list[tuple[Job, Any]] = []
        self._leaving = False

    def room(self) -> int:
        return MOST_QUEUED - len(self._running)

    def start(self, jobs: Sequence[Job], *, take_over: frozenset[Path]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        known = self._known()
        self._running += [(job, known[job.folder]) for job in jobs if job.folder in known]
        for threads in sorted({job.threads for job in jobs}):
            same = [job for job in jobs if job.threads == threads and job.folder not in known]
            if same:
                self._executor.update_parameters(cpus_per_task=threads)
                with self._executor.batch():
                    handed = [self._executor.submit(self._work(job, job.folder in take_over)) for job in same]
                self._running += zip(same, handed, strict=True)
        here = {job.folder: handed for job, handed in self._running}
        ids = {str(folder): handed.job_id for folder, handed in (known | here).items()}
        replace_file(self._handed_over, json.dumps(ids, indent=2).encode())

    def ended(self) -> list[Ended]:
        done = [(job, handed) for job, handed in self._running if self._leaving or handed.done()]
        self._running = [each for each in self._running if each not in done]
        return [Ended(job, self._why(job, handed)) for job, handed in done]

    def stop(self) -> None:
        """Leave the jobs in the queue: the next process finds them there."""
        self._leaving = True

    def close(self) -> None:
        """Do nothing, for the same reason."""

    def _work(self, job: Job, take_over: bool) -> "Work":
        return Work([*job.words, *["--take-over"] * take_over], str(log_of(self._logs, job)))

    def _known(self) -> dict[Path, Any]:
        """Jobs of Slurm that an earlier process handed over, and that have not ended, by their runs' folders."""
        if self._cluster != "slurm":
            return {}
        known = {}
        with suppress(OSError, ValueError):
            said = parse_json(read_file(self._handed_over, MOST_BYTES))
            for folder, name in said.items() if isinstance(said, dict) else ():
                if re.fullmatch(r"\d+(_\d+)?", str(name)):
                    handed = self._submitit.SlurmJob(folder=self._folder, job_id=str(name), tasks=[0])
                    # Of a job that Slurm knows nothing of, nobody would ever say that it has ended.
                    if not handed.done(force_check=True) and handed.state != "UNKNOWN":
                        known[Path(folder)] = handed
        return known

    def _why(self, job: Job, handed: Any) -> str:
        # Not its result: submitit keeps it as a pickle, which may be a stranger's.
        return f"job {handed.job_id} ended as {handed.state}; {last_line(log_of(self._logs, job))}"


class Work:
    """What a job does."""

    def __init__(self, words: list[str], log: str):
        self.words, self.log, self.folder = words, log, os.getcwd()

    def __call__(self) -> int:
        """Train; once asked to stop, save and have submitit queue this again.

        Raises:
            RuntimeError: the command failed: so Slurm, too, tells of a failed job.
        """
        words = self.words
        if int(os.environ.get("SLURM_RESTART_COUNT", "0")):
            words = [*words, "--take-over"]  # Slurm repeats a job when the node that had it is gone
        status = resolve("irrl.cli.worker:run_command")(words, self.log, self.folder)
        if status == STOPPED:
            signal.raise_signal(signal.SIGUSR2)
        if status:
            raise RuntimeError(f"exit status {status}; {last_line(Path(self.log))}")
        return status

    def checkpoint(self) -> Any:
        """What submitit hands over again: the same, for it goes on where it was."""
        submitit = import_extra("submitit", "slurm")
        return submitit.helpers.DelayedSubmission(self)


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UserError(f"`slurm={text}`: write NAME=VALUE, as in slurm_partition=long")
    return name, int(value) if value.isdigit() else value
