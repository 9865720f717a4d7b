"""Runs grouped by what they were asked to do, with each group's scores over its seeds beside the published curves."""

import csv
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from rich.box import SIMPLE_HEAD
from rich.table import Table

from irrl.errors import UserError
from irrl.registry import part_of
from irrl.run_folder import is_count, read_rows, read_settings
from irrl.seeds import run_folders
from irrl.settings import recorded
from irrl.stats import bootstrap_interval, interquartile_mean
from irrl.task import Settings, Task


class Curve(NamedTuple):
    """A published learning curve."""

    at: Int[np.ndarray, " points"]
    """epochs or iterations"""
    score: Float[np.ndarray, " points"]
    """mean over seeds"""


class Published(NamedTuple):
    """The paper's learning curves of a task."""

    curve: Callable[[Settings], Curve | None]
    """settings -> that of such runs, if there is one of the same task"""
    figure: Callable[[str | None, Sequence["Group"]], dict[str, Curve]]
    """(name of a figure, where there are several; groups) -> the curves that are drawn behind these, by name"""


@dataclass(frozen=True)
class Group:
    """Runs that differ in seed and budget only."""

    task: Task
    settings: dict[str, Any]
    """their config, but for the seed and the budget and logging fields"""
    label: str
    """the reward, the preset if there are several, and in what else this group differs from the others"""
    seeds: tuple[int, ...]
    at: Int[np.ndarray, " points"]
    """epochs or iterations at which every seed was measured: they end with the shortest run"""
    scores: Float[np.ndarray, "seeds points"]
    folders: tuple[Path, ...] = ()
    """of the runs, in the order of the seeds"""

    @property
    def curve_name(self) -> str:
        """The name that the published curve with this reward has: `log`, `log+hacking`."""
        return self.task.curve_name(self.settings)


@dataclass(frozen=True)
class Row:
    """A group's line in a comparison."""

    label: str
    settings: dict[str, Any]
    seeds: tuple[int, ...]
    at: int
    """epoch or iteration at which the groups are compared"""
    scores: tuple[float, ...]
    """of each seed"""
    interquartile_mean: float
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the interquartile mean; None for a single seed"""
    best: float
    """interquartile mean of each seed's best so far"""
    published: float | None
    """the paper's mean there, on a line between the points read off its plot; None: not the paper's task"""
    reached: dict[str, int | None]
    """when the interquartile mean first reached each of the task's goals"""


def groups_of(
    task: Task,
    paths: Sequence[Path],
    metric: str | None = None,
    read: Callable[[Path], list[dict[str, Any]]] = read_rows,
) -> list[Group]:
    """Group runs by their settings, in the order in which they are given.

    Args:
        paths: folders of runs, or of several seeds.
        metric: by which they are compared, as rows name it; None: the task's score.
        read: a metrics file -> its rows, for who has read them already.

    Raises:
        UserError: a path holds no run of this task, or one without the metric yet; two runs of a group have the same
            seed; or the runs of a group were measured at no common epoch.
    """
    defaults = recorded(task.config())
    members: list[tuple[dict[str, Any], dict[int, Path]]] = []
    for folder in run_folders(paths):
        settings = read_settings(folder, task.name, task.config)
        settings |= {name: defaults[name] for name in task.idle(settings)}
        seed = settings.pop("seed")
        settings = {name: value for name, value in settings.items() if name not in task.free}
        seeds = next((seeds for other, seeds in members if other == settings), None)
        if seeds is None:
            members.append((settings, seeds := {}))
        if seed in seeds:
            raise UserError(f"{folder}: the same settings and seed {seed} as {seeds[seed]}: leave out one of the two")
        seeds[seed] = folder
    labels = _labels(task, [settings for settings, _ in members])
    return [
        _group(task, metric or task.score.metric, settings, label, seeds, read)
        for (settings, seeds), label in zip(members, labels, strict=True)
    ]


def compare(groups: Sequence[Group], at: int | None = None) -> list[Row]:
    """Compare groups at an epoch (or iteration) that all of them have reached, the best first.

    Args:
        groups: as `groups_of` gives them.
        at: where every one was measured; None: the last such one.

    Raises:
        UserError: a group was not measured there, or all of them together nowhere.
    """
    chosen = _last_in_common(groups) if at is None else at
    for group in groups:
        if chosen not in group.at:
            unit, end = group.task.progress.unit, group.at[-1]
            raise UserError(f"`{unit}={chosen}`: {group.label} was not measured there; it ends at {end}")
    return sorted((_row(group, chosen) for group in groups), key=lambda row: -row.interquartile_mean)


def table(task: Task, rows: Sequence[Row]) -> Table:
    """A comparison as a table."""
    goals, has_published = " / ".join(rows[0].reached), task.published is not None
    unit, label, scale = task.progress.unit, task.score.label, task.score.scale
    where = f"{unit} {short(rows[0].at)}"
    caption = (
        f"{label[0].upper()}{label[1:]} at {where}: interquartile mean over seeds [95 % bootstrap "
        "interval]; best: of each seed's best so far"
    )
    caption += "; paper: its mean, read off the plots." if has_published else "."
    caption += f" Last: {unit}s until the interquartile mean reached {goals}." if goals else ""
    drawn = Table(caption=caption, caption_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    drawn.add_column("reward", min_width=20)
    for name in ("seeds", where, "best", *["paper"] * has_published, *[goals] * bool(goals)):
        drawn.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        score = f"{scale * row.interquartile_mean:.1f}"
        if row.interval:
            score += " [{:.1f}, {:.1f}]".format(*(scale * end for end in row.interval))
        paper = "-" if row.published is None else f"{scale * row.published:.1f}"
        reached = " / ".join("-" if at is None else short(at) for at in row.reached.values())
        last = [*[paper] * has_published, *[reached] * bool(goals)]
        drawn.add_row(row.label, str(len(row.seeds)), score, f"{scale * row.best:.1f}", *last)
    return drawn


def short(number: int) -> str:
    """A count as a table has room for: 11.1M, 250k, 480."""
    if number >= 1_000_000:
        return f"{number / 1_000_000:g}M"
    if number >= 10_000:
        return f"{number / 1000:g}k"
    return str(number)


def published_curve(task: Task, settings: Settings) -> Curve | None:
    """The paper's curve of runs with these settings, if it has one."""
    return part_of(task, "published").curve(settings) if task.published else None


def published_at(task: Task, settings: Settings, at: int) -> float | None:
    """The paper's score of such runs there, on a line between the points read off its plot; None beyond its ends."""
    curve = published_curve(task, settings)
    return float(np.interp(at, *curve)) if curve and curve.at[0] <= at <= curve.at[-1] else None


def read_curves(package: str, name: str, *, unit: str, scale: float | int, units: int = 1) -> dict[str, Curve]:
    """The published curves in a package's file `published/NAME`, by reward.

    Args:
        unit: the first column.
        scale: numbers in the file over scores.
        units: how many epochs or iterations one of the file's units is.
    """
    rows = list(csv.DictReader((files(package) / "published" / name).read_text().splitlines()))
    curves = {}
    for reward in list(rows[0])[1:]:
        points = [(round(float(row[unit]) * units), float(row[reward]) / scale) for row in rows if row[reward]]
        at, scores = zip(*points, strict=True)
        curves[reward] = Curve(np.array(at), np.array(scores))
    return curves


def _labels(task: Task, groups: list[dict[str, Any]]) -> list[str]:
    """The reward of each, and the settings in which they differ: if they go by several presets, each from its own."""

    defaults = recorded(task.config())
    presets = {name: recorded(config) for name, config in task.presets.items()}

    def is_said(name: str, settings: Mapping[str, Any]) -> bool:
        # Whether there is such a thing may be said by the name already, which one only if there are several.
        return name in task.named and settings.get(name) == defaults.get(name)

    def differs(name: str) -> bool:
        values = [settings.get(name) for settings in groups if not is_said(name, settings)]
        return any(value != values[0] for value in values)

    def text(value: Any) -> str:
        # A setting may be a whole map.
        return f"#{zlib.crc32(value.encode()):08x}" if isinstance(value, str) and "\n" in value else str(value)

    def of_preset(settings: Mapping[str, Any]) -> tuple[str, list[str]]:
        # The nearest preset, and the settings in which this differs from it.
        changed = {
            preset: [
                name for name in settings if name not in {"reward", *task.named} and settings[name] != its.get(name)
            ]
            for preset, its in presets.items()
        }
        return min(changed.items(), key=lambda found: len(found[1]))

    nearest = [of_preset(settings) for settings in groups]
    if len({preset for preset, _ in nearest}) == 1:
        names = dict.fromkeys(name for settings in groups for name in settings if name != "reward" and differs(name))
        # What a run has not, for it is of another version of irrl, is not said of it.
        said = [[name for name in names if name in settings and not is_said(name, settings)] for settings in groups]
        openings = [""] * len(groups)
    else:
        said = [changed for _, changed in nearest]
        openings = [f", preset {preset}" for preset, _ in nearest]
    return [
        task.curve_name(settings) + opening + "".join(f", {name} {text(settings.get(name))}" for name in names)
        for settings, opening, names in zip(groups, openings, said, strict=True)
    ]


def _group(
    task: Task,
    metric: str,
    settings: dict[str, Any],
    label: str,
    folders: dict[int, Path],
    read: Callable[[Path], list[dict[str, Any]]],
) -> Group:
    curves, unit = [], task.progress.unit
    for folder in (folders[seed] for seed in sorted(folders)):
        rows = read(folder / "metrics.jsonl")
        measured = (row for row in rows if isinstance(row.get(metric), float | int) and is_count(row.get(unit)))
        curves.append({row[unit]: row[metric] for row in measured})
        if not curves[-1]:
            raise UserError(f"{folder}: no {metric.replace('_', ' ')} there yet: leave it out, or train on")
    common = sorted(set.intersection(*map(set, curves)))
    if not common:
        raise UserError(f"{label}: its seeds have no {unit} in common at which all of them were measured")
    scores = np.array([[float(curve[at]) for at in common] for curve in curves])
    seeds = tuple(sorted(folders))
    return Group(task, settings, label, seeds, np.array(common), scores, tuple(folders[seed] for seed in seeds))


def _last_in_common(groups: Sequence[Group]) -> int:
    common = set.intersection(*(set(group.at.tolist()) for group in groups))
    if not common:
        raise UserError(f"the runs have no {groups[0].task.progress.unit} in common at which all of them were measured")
    return max(common)


def _row(group: Group, at: int) -> Row:
    column = int(np.flatnonzero(group.at == at)[0])
    scores, means = group.scores[:, column], interquartile_mean(group.scores)
    interval = bootstrap_interval(scores)
    score = group.task.score
    reached = {format(goal, ".0%" if score.is_share else "g"): group.at[means >= goal] for goal in score.goals}
    return Row(
        label=group.label,
        settings=group.settings,
        seeds=group.seeds,
        at=at,
        scores=tuple(scores.tolist()),
        interquartile_mean=float(means[column]),
        interval=None if interval is None else (float(interval[0]), float(interval[1])),
        best=float(interquartile_mean(group.scores[:, : column + 1].max(axis=1))),
        published=published_at(group.task, group.settings, at),
        reached={goal: int(found[0]) if len(found) else None for goal, found in reached.items()},
    )
