"""The numbers of a report: what is compared, curves, settings and where each run comes from."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from irrl.comparison import Curve, Group, Row, compare, groups_of, published_curve
from irrl.errors import UserError, one_line, printable, warn
from irrl.figures import curve_colors, mix
from irrl.registry import part_of
from irrl.report.curves import OTHER_POINTS, SCORE_POINTS, Bundle, Series, bundle, rounded, series_of
from irrl.report.text import bounded
from irrl.run_folder import is_count, read_json, read_rows
from irrl.seeds import run_folders
from irrl.task import Task

MOST_RUNS = 200
"""Of a report: each takes a few hundred bytes for its name, commands and machine alone."""
MOST_STARTS = 5
"""Of a run, that are told: the first ones and the last."""
POINTS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1, 0.06, 0.04, 0.02)
"""Shares of `SCORE_POINTS` and `OTHER_POINTS`, tried in turn until the numbers fit."""
VARIANTS = (
    ("solid", "white", 0),
    ("dashed", "white", 0.4),
    ("dotted", "white", 0.2),
    ("solid", "black", 0.5),
    ("dashed", "black", 0.4),
    ("solid", "white", 0.6),
)
"""Line, and what is mixed into a reward's colour at which share, in turns, of groups with the same reward."""


@dataclass(frozen=True)
class Section:
    """What a report shows of one task."""

    task: Task
    runs: Sequence[Path]
    """folders of runs, or of several seeds"""
    title: str = ""
    """its heading; the task's name if empty"""
    labels: Mapping[Path, str] = field(default_factory=dict)
    """names of curves, by one of their `runs`; others go by the settings in which they differ"""
    figure: str | None = None
    """name of the published figure whose curves stand behind; None: those that the paper has of such runs"""


class Behind(NamedTuple):
    """A published curve, drawn behind."""

    curve: Curve
    reward: str
    """whose colour it has"""


@dataclass(frozen=True)
class Chapter:
    """A section, read."""

    section: Section
    groups: list[Group]
    """the best first"""
    rows: list[Row]
    """the same, compared"""
    published: dict[str, Behind]
    series: dict[Path, dict[str, Series]]
    """metrics by a run's folder"""

    @property
    def task(self) -> Task:
        """Whose runs they are."""
        return self.section.task

    @cached_property
    def names(self) -> list[str]:
        """What each group is called."""
        called = {path.resolve(): label for path, label in self.section.labels.items()}
        return [
            next((called[each] for folder in group.folders for each in _above(folder) if each in called), group.label)
            for group in self.groups
        ]

    @cached_property
    def metrics(self) -> list[str]:
        """Names of all metrics, the score first."""
        return list(dict.fromkeys(name for group in self.groups for run in group.folders for name in self.series[run]))

    @cached_property
    def bundles(self) -> list[dict[str, Bundle]]:
        """Curves of each group by metric."""
        return [{name: each for name in self.metrics if (each := self._bundle(group, name))} for group in self.groups]

    def _bundle(self, group: Group, metric: str) -> Bundle | None:
        having = [
            (seed, self.series[folder][metric])
            for seed, folder in zip(group.seeds, group.folders, strict=True)
            if metric in self.series[folder]
        ]
        most = SCORE_POINTS if metric == self.task.score.metric else OTHER_POINTS
        return bundle([seed for seed, _ in having], [series for _, series in having], most) if having else None

    @property
    def has_common_end(self) -> bool:
        """Whether all are compared at the same epoch."""
        return len({row.at for row in self.rows}) == 1

    @cached_property
    def differing(self) -> list[str]:
        """Settings in which the groups differ."""
        names = dict.fromkeys(name for group in self.groups for name in group.settings)
        first = self.groups[0].settings
        return [name for name in names if any(group.settings.get(name) != first.get(name) for group in self.groups)]


def _above(folder: Path) -> tuple[Path, Path]:
    """The paths by which a run may have been named: its own, and that of all seeds."""
    folder = folder.resolve()
    return folder, folder.parent


def read_section(section: Section) -> Chapter:
    """Read the runs of a section. Those that have no score yet are left out, with a warning.

    Raises:
        UserError: none has, or there are too many; or as for `groups_of`.
    """
    task = section.task
    folders = run_folders(section.runs)
    if len(folders) > MOST_RUNS:
        raise UserError(f"{len(folders)} runs of the task {task.name}; a report shows {MOST_RUNS} at most")
    unit, score = task.progress.unit, task.score.metric
    series, scores = {}, {}
    for folder in folders:  # one at a time: the rows of all of them together may take gigabytes
        path = folder / "metrics.jsonl"
        rows = read_rows(path)
        series[folder] = series_of(rows, unit, score)
        scores[path] = [
            {unit: row[unit], score: row[score]} for row in rows if is_count(row.get(unit)) and score in row
        ]
    measured = [folder for folder in folders if score in series[folder]]
    for folder in folders:
        if measured and folder not in measured:
            warn(f"{folder}: no {task.score.name} there yet; it is left out")
    groups = groups_of(task, measured or folders, read=scores.__getitem__)
    try:
        rows = compare(groups)
    except UserError:  # measured at no common epoch: each at its own end
        rows = sorted((row for group in groups for row in compare([group])), key=lambda row: -row.interquartile_mean)
    # A row holds its group's own settings, not a copy; labels may be alike.
    groups = [next(group for group in groups if group.settings is row.settings) for row in rows]
    return Chapter(section, groups, rows, _published(section, groups), series)


def _published(section: Section, groups: Sequence[Group]) -> dict[str, Behind]:
    """Curves by name: the reward's, or the group's where the paper has several with one reward."""
    task = section.task
    if section.figure is not None and task.published:
        figure = part_of(task, "published").figure(section.figure, groups)
        return {name: Behind(curve, name) for name, curve in figure.items()}
    found: dict[str, Behind] = {}
    for group in groups:
        curve, name = published_curve(task, group.settings), group.curve_name
        if curve is not None:
            known = found.setdefault(name, Behind(curve, name))
            if not np.array_equal(known.curve, curve):
                found[group.label] = Behind(curve, name)
    return found


def numbers_of(chapter: Chapter, share: float) -> dict[str, Any]:
    """A section's numbers, as JSON values; the smaller the share, the fewer points a curve has."""
    task, score = chapter.task, chapter.task.score
    colors = _colors(chapter)
    return {
        "task": task.name,
        "title": bounded(chapter.section.title or task.name),
        "unit": task.progress.unit,
        "score": {"metric": score.metric, "name": score.name, "label": score.label, "scale": score.scale},
        "compared": [bounded(dataclasses.asdict(row)) for row in chapter.rows],
        "metrics": [bounded(name) for name in chapter.metrics],
        "groups": [
            {
                "name": bounded(name),
                **look,
                "seeds": list(group.seeds),
                "runs": [bounded(str(folder)) for folder in group.folders],
                "curves": {
                    bounded(metric): each.as_json(max(4, int(share * _points(chapter, metric))))
                    for metric, each in bundles.items()
                },
            }
            for name, look, group, bundles in zip(
                chapter.names, looks(chapter), chapter.groups, chapter.bundles, strict=True
            )
        ],
        "published": [
            {"name": bounded(name), "color": colors[reward], "at": curve.at.tolist(), "mean": rounded(curve.score)}
            for name, (curve, reward) in chapter.published.items()
        ],
        "differ": {
            bounded(name): [bounded(group.settings.get(name)) for group in chapter.groups] for name in chapter.differing
        },
        "runs": [
            bounded({"run": str(folder), "seed": seed, "starts": starts_of(folder)})
            for group in chapter.groups
            for seed, folder in zip(group.seeds, group.folders, strict=True)
        ],
    }


def _points(chapter: Chapter, metric: str) -> int:
    return SCORE_POINTS if metric == chapter.task.score.metric else OTHER_POINTS


def _colors(chapter: Chapter) -> dict[str, str]:
    rewards = [each.reward for each in chapter.published.values()]
    return curve_colors([*rewards, *(group.curve_name for group in chapter.groups)])


def looks(chapter: Chapter) -> list[dict[str, Any]]:
    """Colour and line of each group: as in figures, unless too many would look alike."""
    names, colors = [group.curve_name for group in chapter.groups], _colors(chapter)
    variants = [names[:at].count(name) for at, name in enumerate(names)]
    if max(variants) < len(VARIANTS):
        return [
            {"color": mix(colors[name], *VARIANTS[variant][1:]), "line": VARIANTS[variant][0]}
            for name, variant in zip(names, variants, strict=True)
        ]
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    hues = colormaps["turbo"](np.linspace(0.05, 0.95, len(names)))
    return [{"color": to_hex(hue), "line": "solid"} for hue in hues]


def starts_of(folder: Path) -> list[dict[str, Any]]:
    """Where and how a run was started, each time it went on; of many the first ones and the last."""
    starts = [each for each in read_json(folder / "environment.json", otherwise=[]) if isinstance(each, dict)]
    if len(starts) > MOST_STARTS:
        starts = [*starts[: MOST_STARTS - 1], starts[-1]]
    return [start | {"command": command_of(start.get("command"))} for start in starts]


def command_of(words: Any) -> str:
    """A command line for a shell: what a file says is quoted, and one line."""
    if not isinstance(words, list) or not words:
        return ""
    first, *others = (printable(one_line(word)) for word in words[:500])
    name = Path(first).name
    return shlex.join(["irrl" if name in ("irrl", "__main__.py") else first, *others])
