"""How far the runs of a study are: read from their folders, whoever trains them, and wherever."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

from irrl.errors import UserError
from irrl.locks import is_held, owner_of
from irrl.plan import plan_of
from irrl.run import progress_of
from irrl.run_folder import is_count, read_json, read_rows, read_settings
from irrl.settings import recorded
from irrl.studies.study import Job, known_by
from irrl.task import Task

State = Literal["over", "running", "stopped", "waiting", "refused"]


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    job: Job
    state: State
    reached: int
    """epochs, iterations or episodes behind it: those of its last checkpoint, or of its metrics where that was not
    kept"""
    budget: int
    rate: float | None = None
    """epochs, iterations or episodes a second, lately"""
    where: str = ""
    """who is at work"""
    complaint: str = ""
    """why it cannot go on"""

    @property
    def seconds_left(self) -> float | None:
        """Of learning."""
        return (self.budget - self.reached) / self.rate if self.rate else None


def progress(job: Job) -> Progress:
    """How far a run is; nothing is touched."""
    budget = getattr(job.config, job.task.progress.budget)
    try:
        # The checkpoint's, though more may have been measured: killed before it was saved, that is trained again.
        reached = progress_of(job.folder, plan_of(job.task, job.config))
    except UserError as error:
        if not _is_kept_without_checkpoints(job):
            return Progress(job, "refused", 0, budget, complaint=str(error))
        reached = _measured(job)
    if reached >= budget:
        return Progress(job, "over", reached, budget)
    rate = _rate(job)
    if is_held(job.folder):
        return Progress(job, "running", reached, budget, rate, str(owner_of(job.folder)))
    return Progress(job, "stopped" if reached else "waiting", reached, budget, rate)


def is_over(job: Job) -> bool:
    """Whether there is nothing left to train."""
    return progress(job).state == "over"


def with_folders_in(jobs: Sequence[Job], out: Path) -> list[Job]:
    """The same runs, but in the folders under `out` that hold them, whatever these are called.

    A run is known by its task, its settings and its seed. Of two that are the same, the one in the study's own place
    counts, else the one that has gone further.
    """
    found: dict[Any, list[Path]] = {}
    tasks = {job.task.name: job.task for job in jobs}
    for config in sorted(out.rglob("config.json")):
        task = tasks.get(str(read_json(config, otherwise={}).get("task")))
        if task is not None and (key := _key_of_folder(config.parent, task)) is not None:
            found.setdefault(key, []).append(config.parent)

    def placed(job: Job) -> Job:
        same = [] if (job.folder / "config.json").exists() else found.get(_key(job.task, recorded(job.config)), [])
        if not same:
            return job
        return replace(job, folder=max(same, key=lambda folder: _measured(replace(job, folder=folder))))

    return [placed(job) for job in jobs]


def _key_of_folder(folder: Path, task: Task) -> Any:
    try:
        return _key(task, read_settings(folder, task.name, task.config))
    except UserError:
        return None


def _key(task: Task, settings: Mapping[str, Any]) -> Any:
    return task.name, frozenset(known_by(task, settings).items())


def _is_kept_without_checkpoints(job: Job) -> bool:
    """Whether metrics were kept of this very run, but no checkpoint: so are results that are committed."""
    return _key_of_folder(job.folder, job.task) == _key(job.task, recorded(job.config)) and not list(
        job.folder.glob("*.safetensors")
    )


def _measured(job: Job) -> int:
    unit = job.task.progress.unit
    return max((row[unit] for row in _rows(job) if is_count(row.get(unit))), default=0)


def _rate(job: Job) -> float | None:
    """The median over the newest rows that say how many seconds they took: a stop in between counts little."""
    unit, rows = job.task.progress.unit, _rows(job)[-6:]
    rates = [
        (row[unit] - before[unit]) / row["seconds"]
        for before, row in zip(({unit: 0}, *rows), rows, strict=False)
        if is_count(row.get(unit)) and is_count(before.get(unit)) and row.get("seconds", 0) > 0
    ]
    return median(rates[1:] or rates) if rates else None


def _rows(job: Job) -> list[dict[str, Any]]:
    try:
        return read_rows(job.folder / "metrics.jsonl")
    except UserError:
        return []
