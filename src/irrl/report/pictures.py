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

PICTURE_BYTES = 30_000
"""Of a picture, at most: a task may give larger ones by mistake, and they are left out."""


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
    drawn = []
    try:
        import_packages(task)
        draw = resolve(task.sample or "")
    except UserError as error:
        warn(f"{error}; there are no samples")
        return None
    for called, path in stops:
        try:
            picture = draw(path)
        except KeyboardInterrupt:
            raise
        except Exception as error:  # a task of the user's own may raise anything
            warn(f"{path}: no sample of it: {error if isinstance(error, UserError) else reason(error)}")
            continue
        if embedded := _embedded(picture):
            drawn.append({"at": called, **embedded})
    return {"name": bounded(name), "stops": drawn} if drawn else None


def _overview(chapter: Chapter) -> dict[str, Any] | None:
    if chapter.task.overview is None:
        return None
    folders = [folder for group in chapter.groups for folder in group.folders]
    try:
        picture = resolve(chapter.task.overview)(folders)
    except UserError as error:
        warn(f"{error}; there is no overview")
        return None
    return picture and _embedded(picture, 4 * PICTURE_BYTES)


def _embedded(picture: Picture, most: int = PICTURE_BYTES) -> dict[str, Any] | None:
    if len(picture.webp) > most:
        warn(f"a picture of {len(picture.webp):,} bytes is left out of the report; {most:,} are the most")
        return None
    source = f"data:image/webp;base64,{base64.b64encode(picture.webp).decode()}"
    return {"source": source, "width": picture.size[0], "height": picture.size[1], "text": bounded(picture.text)}
