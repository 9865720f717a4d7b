"""Pictures of a report: what an agent does, from checkpoint to checkpoint, and what metrics say beside the curves."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from irrl.errors import UserError, reason, warn
from irrl.figures import Picture
from irrl.references import resolve
from irrl.report.numbers import Chapter
from irrl.report.text import bounded
from irrl.run_folder import kept_checkpoints
from irrl.task import Task, import_packages

MOST_STOPS, MOST_RUNS, MOST_SAMPLES = 12, 6, 36
"""Of a slider; runs that have one; and pictures of all of them together."""

PICTURE_BYTES, OVERVIEW_BYTES = 30_000, 120_000
"""Of a picture, at most: a task of one's own may give larger ones by mistake, and they are left out."""


def pictures_of(chapters: Sequence[Chapter]) -> list[dict[str, Any]]:
    """For each chapter its sliders and its overview, as JSON values.

    The first seed of each group that has checkpoints gets a slider. A checkpoint that cannot be drawn is left out, with
    a warning.
    """
    chosen = [_runs_with_checkpoints(chapter) for chapter in chapters]
    most_runs = max(1, MOST_RUNS // max(1, sum(map(bool, chosen))))
    chosen = [runs[:most_runs] for runs in chosen]
    most_stops = min(MOST_STOPS, MOST_SAMPLES // max(1, sum(map(len, chosen))))
    return [
        {
            "sliders": [
                slider
                for name, seed, stops in runs
                if (slider := _slider(chapter.task, f"{name}, seed {seed}", evenly(stops, most_stops)))
            ],
            "overview": _overview(chapter),
        }
        for chapter, runs in zip(chapters, chosen, strict=True)
    ]


def _runs_with_checkpoints(chapter: Chapter) -> list[tuple[str, int, list[tuple[str, Path]]]]:
    """(group's name, seed, what each stop is called and its file)."""
    found, unit = [], chapter.task.progress.unit
    if chapter.task.sample is None:
        return []
    for name, group in zip(chapter.names, chapter.groups, strict=True):
        for seed, folder in zip(group.seeds, group.folders, strict=True):
            kept = [(f"{unit} {number:,}", path) for number, path in kept_checkpoints(folder, unit).items()]
            last = next((path for path in (folder / "last.safetensors",) if path.is_file()), None)
            if not kept and last:
                kept = [("last", last)]
            if kept:
                found.append((name, seed, kept))
                break
    return found


def evenly(stops: Sequence[Any], most: int) -> list[Any]:
    """At most so many of them, the first and the last among these."""
    if len(stops) <= most:
        return list(stops)
    return [stops[at] for at in np.unique(np.linspace(0, len(stops) - 1, max(1, most)).round().astype(int))]


def _slider(task: Task, name: str, stops: Sequence[tuple[str, Path]]) -> dict[str, Any] | None:
    drawn = [{"at": called, **picture} for called, path in stops if (picture := _drawn(task, task.sample, path))]
    return {"name": bounded(name), "stops": drawn} if drawn else None


def _overview(chapter: Chapter) -> dict[str, Any] | None:
    if chapter.task.overview is None:
        return None
    folders = [folder for group in chapter.groups for folder in group.folders]
    return _drawn(chapter.task, chapter.task.overview, folders, OVERVIEW_BYTES)


def _drawn(task: Task, by: str | None, what: Any, most: int = PICTURE_BYTES) -> dict[str, Any] | None:
    """The picture that a task's function makes, as JSON values; None, with a warning, where it cannot."""
    name = what if isinstance(what, Path) else task.name
    try:
        import_packages(task)
        picture: Picture | None = resolve(by or "")(what)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # a task of the user's own may raise anything
        said = str(error) if isinstance(error, UserError) else reason(error)
        warn(f"{said if str(name) in said else f'{name}: {said}'}; it is not in the report")
        return None
    if picture is None:
        return None
    if len(picture.webp) > most:
        warn(f"{name}: its picture has {len(picture.webp):,} bytes, and {most:,} are the most; it is not in the report")
        return None
    source = f"data:image/webp;base64,{base64.b64encode(picture.webp).decode()}"
    return {"source": source, "width": picture.size[0], "height": picture.size[1], "text": bounded(picture.text)}
