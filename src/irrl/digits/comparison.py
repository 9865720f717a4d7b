"""Runs grouped by what they were asked to do, each group's accuracy over its seeds, and the published curves."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from rich.box import SIMPLE_HEAD
from rich.table import Table

from irrl.digits.config import FREE, PRESETS, Config
from irrl.errors import UserError
from irrl.run import read_config, read_rows
from irrl.seeds import run_folders
from irrl.stats import bootstrap_interval, interquartile_mean

PUBLISHED = {"ram": "ram.csv", "dt-ram": "dt-ram.csv", "hacking": "ram-reward-hacking.csv"}
"""Files of published curves, by figure."""

GOALS = (0.5, 0.8, 0.9)
"""Validation accuracies for which a comparison says when they were reached."""


class Curve(NamedTuple):
    """A published learning curve."""

    epochs: Int[np.ndarray, "points"]
    accuracy: Float[np.ndarray, "points"]
    """validation accuracy, a share, mean over seeds"""


@dataclass(frozen=True)
class Group:
    """Runs that differ in seed and budget only."""

    settings: dict[str, Any]
    """their config, but for the seed and the budget and logging fields"""
    label: str
    """the reward, and in what else this group differs from the others"""
    seeds: tuple[int, ...]
    epochs: Int[np.ndarray, "epochs"]
    """those at which every seed was validated: they end with the shortest run"""
    accuracy: Float[np.ndarray, "seeds epochs"]
    """validation accuracy, a share"""

    @property
    def curve_name(self) -> str:
        """The name that the published curve with this reward has: `log`, `log+hacking`."""
        return _curve_name(self.settings)


@dataclass(frozen=True)
class Row:
    """A group's line in a comparison. Accuracies are validation accuracies, shares of 1."""

    label: str
    settings: dict[str, Any]
    seeds: tuple[int, ...]
    epoch: int
    """at which the groups are compared"""
    accuracy: tuple[float, ...]
    """of each seed"""
    interquartile_mean: float
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the interquartile mean; None for a single seed"""
    best: float
    """interquartile mean of each seed's best up to that epoch"""
    published: float | None
    """the paper's mean at that epoch, on a line between the points read off its plot; None: not the paper's task"""
    epochs_to: dict[str, int | None]
    """the first epoch at which the interquartile mean reached 50 %, 80 % and 90 %"""


def groups_of(paths: Sequence[Path]) -> list[Group]:
    """Group runs by their settings, in the order in which they are given.

    Args:
        paths: folders of runs, or of several seeds.

    Raises:
        UserError: a path holds no run of this task, or one without a validation yet; two runs of a group have the same
            seed; or the runs of a group were validated at no common epoch.
    """
    members: list[tuple[dict[str, Any], dict[int, Path]]] = []
    for folder in run_folders(paths):
        settings = asdict(Config()) | read_config(folder, "digits")  # an older run has not every field
        seed = settings.pop("seed")
        settings = {name: value for name, value in settings.items() if name not in FREE}
        seeds = next((seeds for other, seeds in members if other == settings), None)
        if seeds is None:
            members.append((settings, seeds := {}))
        if seed in seeds:
            raise UserError(f"{folder}: the same settings and seed {seed} as {seeds[seed]}: leave out one of the two")
        seeds[seed] = folder
    labels = _labels([settings for settings, _ in members])
    return [_group(settings, label, seeds) for (settings, seeds), label in zip(members, labels, strict=True)]


def compare(groups: Sequence[Group], epoch: int | None = None) -> list[Row]:
    """Compare groups at an epoch that all of them have reached, the best first.

    Args:
        groups: as `groups_of` gives them.
        epoch: at which every one was validated; None: the last such one.

    Raises:
        UserError: a group was not validated at that epoch, or all of them together at none.
    """
    at = _last_common_epoch(groups) if epoch is None else epoch
    for group in groups:
        if at not in group.epochs:
            raise UserError(f"--epoch {at}: {group.label} was not validated there; it ends at {group.epochs[-1]}")
    return sorted((_row(group, at) for group in groups), key=lambda row: -row.interquartile_mean)


def table(rows: Sequence[Row]) -> Table:
    """A comparison as a table, accuracies in per cent."""
    goals = " / ".join(rows[0].epochs_to)
    caption = (
        f"Validation accuracy (%) at epoch {rows[0].epoch}: interquartile mean over seeds [95 % bootstrap interval]; "
        "best: of each seed's best so far; paper: its mean, read off the plots. "
        f"Last: epochs until the interquartile mean reached {goals}."
    )
    drawn = Table(caption=caption, caption_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    drawn.add_column("reward", min_width=20)
    for name in ("seeds", f"epoch {rows[0].epoch}", "best", "paper", goals):
        drawn.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        accuracy = f"{100 * row.interquartile_mean:.1f}"
        if row.interval:
            accuracy += " [{:.1f}, {:.1f}]".format(*(100 * end for end in row.interval))
        paper = "-" if row.published is None else f"{100 * row.published:.1f}"
        reached = " / ".join("-" if epoch is None else str(epoch) for epoch in row.epochs_to.values())
        drawn.add_row(row.label, str(len(row.seeds)), accuracy, f"{100 * row.best:.1f}", paper, reached)
    return drawn


def published(figure: str) -> dict[str, Curve]:
    """The published learning curves of a figure (ram, dt-ram, hacking), by reward."""
    text = (files("irrl.digits") / "published" / PUBLISHED[figure]).read_text()
    rows = list(csv.DictReader(text.splitlines()))
    epochs = np.array([int(row["epoch"]) for row in rows])
    return {
        name: Curve(epochs, np.array([float(row[name]) / 100 for row in rows])) for name in rows[0] if name != "epoch"
    }


def _curve_name(settings: dict[str, Any]) -> str:
    return settings["reward"] + ("+hacking" if settings.get("oracle") else "")


def _labels(groups: list[dict[str, Any]]) -> list[str]:
    """The reward of each, and the settings in which they differ; empty ones are left out."""

    def differs(name: str) -> bool:
        # That a reward comes from an oracle is said by its name already, which oracle only if there are several.
        values = [settings.get(name) for settings in groups if name != "oracle" or settings.get(name)]
        return any(value != values[0] for value in values)

    names = dict.fromkeys(name for settings in groups for name in settings if name != "reward" and differs(name))
    return [
        ", ".join([_curve_name(settings), *(f"{name} {settings[name]}" for name in names if settings.get(name))])
        for settings in groups
    ]


def _group(settings: dict[str, Any], label: str, folders: dict[int, Path]) -> Group:
    curves = []
    for folder in (folders[seed] for seed in sorted(folders)):
        rows = read_rows(folder / "metrics.jsonl")
        curves.append({row["epoch"]: row["validation_accuracy"] for row in rows if "validation_accuracy" in row})
        if not curves[-1]:
            raise UserError(f"{folder}: no validation accuracy there yet: leave it out, or train on")
    epochs = sorted(set.intersection(*map(set, curves)))
    if not epochs:
        raise UserError(f"{label}: its seeds have no epoch in common at which all of them were validated")
    accuracy = np.array([[float(curve[epoch]) for epoch in epochs] for curve in curves])
    return Group(settings, label, tuple(sorted(folders)), np.array(epochs), accuracy)


def _last_common_epoch(groups: Sequence[Group]) -> int:
    common = set.intersection(*(set(group.epochs.tolist()) for group in groups))
    if not common:
        raise UserError("the runs have no epoch in common at which all of them were validated")
    return max(common)


def _row(group: Group, epoch: int) -> Row:
    column = int(np.flatnonzero(group.epochs == epoch)[0])
    accuracy, means = group.accuracy[:, column], interquartile_mean(group.accuracy)
    interval = bootstrap_interval(accuracy)
    reached = {f"{goal:.0%}": group.epochs[means >= goal] for goal in GOALS}
    curve = _published_curve(group)
    return Row(
        label=group.label,
        settings=group.settings,
        seeds=group.seeds,
        epoch=epoch,
        accuracy=tuple(accuracy.tolist()),
        interquartile_mean=float(means[column]),
        interval=None if interval is None else (float(interval[0]), float(interval[1])),
        best=float(interquartile_mean(group.accuracy[:, : column + 1].max(axis=1))),
        published=float(np.interp(epoch, *curve)) if curve and curve.epochs[0] <= epoch <= curve.epochs[-1] else None,
        epochs_to={goal: int(epochs[0]) if len(epochs) else None for goal, epochs in reached.items()},
    )


def _published_curve(group: Group) -> Curve | None:
    """The curve that the paper has for this reward, if the group looks at the paper's canvases as its agent does."""
    settings, paper = group.settings, asdict(PRESETS["paper"])
    if any(settings[name] != paper[name] for name in ("data", "patch", "scales", "glimpses")):
        return None
    hacking = settings.get("oracle") or settings["reward"] == "log"
    figure = "hacking" if settings["model"] == "ram" and hacking else settings["model"]
    return published(figure).get(group.curve_name) if figure in PUBLISHED else None
