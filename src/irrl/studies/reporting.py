"""A study's page."""

from collections.abc import Sequence
from pathlib import Path

from irrl.errors import UserError
from irrl.report.document import Section, report
from irrl.studies.study import Job, Study


def report_of(study: Study, jobs: Sequence[Job], out: Path) -> Path:
    """Write a study's report: a section for each of its tasks, with the curves' own names.

    Args:
        jobs: its runs; those that have not begun are left out.
        out: the HTML file.

    Raises:
        UserError: none has begun; or as for `irrl.report.report`.
    """
    begun = [job for job in jobs if (job.folder / "metrics.jsonl").exists()]
    if not begun:
        raise UserError(f"{study.name}: none of its runs has begun: train them with 'irrl study run {study.name}'")
    tasks = {job.task.name: job.task for job in begun}
    sections = []
    for task in tasks.values():
        labels = {job.folder: job.curve for job in begun if job.task == task}
        figure = study.published if study.published in task.figures else None
        sections.append(Section(task, list(labels), labels=labels, figure=figure))
    return report(study.title, sections, out)
