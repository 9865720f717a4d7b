"""Results of a study beside what its file expects."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from irrl.comparison import published_at, short
from irrl.run_folder import is_count, read_rows
from irrl.settings import recorded
from irrl.stats import bootstrap_interval, interquartile_mean
from irrl.studies.study import Curve, Expectation, Job, Study

Verdict = Literal["as expected", "above", "below", "not there yet"]


@dataclass(frozen=True)
class Finding:
    """What a study expects of a curve, and what it is: in numbers as tables show them."""

    curve: str
    seeds: tuple[int, ...]
    """that were measured there"""
    of_seeds: int
    """how many the study has"""
    at: int | None
    """epoch, iteration or episode; None: nothing was measured"""
    score: float | None
    """interquartile mean over seeds"""
    interval: tuple[float, float] | None
    """its 95 % bootstrap interval; None of a single seed"""
    published: float | None
    expected: str
    """in words: 47.1 +- 5"""
    verdict: Verdict


def check(study: Study, jobs: Sequence[Job]) -> list[Finding]:
    """What became of each expectation."""
    by_curve = {curve.label: [job for job in jobs if job.curve == curve.label] for curve in study.curves}
    curves = {curve.label: curve for curve in study.curves}
    expected = [each for each in study.expectations if by_curve[each.curve]]
    rows = cache(_rows)  # of each run they are read once, whatever is expected
    return [_finding(curves[each.curve], by_curve[each.curve], each, rows) for each in expected]


def results(study: Study, jobs: Sequence[Job], at: int | None = None) -> list[Finding]:
    """What each curve reached, at the last point at which any of its seeds was measured, or at `at`."""
    by_curve = [(curve, [job for job in jobs if job.curve == curve.label]) for curve in study.curves]
    return [_finding(curve, its, Expectation(curve.label, at=at), _rows) for curve, its in by_curve if its]


def _rows(folder: Path) -> list[dict[str, Any]]:
    return read_rows(folder / "metrics.jsonl")


def _finding(
    curve: Curve, jobs: Sequence[Job], expected: Expectation, rows: Callable[[Path], list[dict[str, Any]]]
) -> Finding:
    task = curve.task
    unit, metric = task.progress.unit, expected.metric or task.score.metric
    is_score = metric == task.score.metric
    scale = task.score.scale if is_score else 1
    measured = {job.config.seed: _points(rows(job.folder), unit, metric) for job in jobs}
    at = expected.at or max((max(points, default=0) for points in measured.values()), default=0) or None
    scores = {seed: scale * points[at] for seed, points in sorted(measured.items()) if at in points}
    published = (
        scale * value
        if is_score and at and (value := published_at(task, recorded(curve.config), at)) is not None
        else None
    )
    centre = published if expected.value is None else expected.value
    mean = interval = None
    if scores:
        numbers = np.array([*scores.values()], float)
        mean = float(interquartile_mean(numbers))
        interval = None if (ends := bootstrap_interval(numbers)) is None else (float(ends[0]), float(ends[1]))
    return Finding(
        curve=curve.label,
        seeds=tuple(scores),
        of_seeds=len(jobs),
        at=at,
        score=mean,
        interval=interval,
        published=published,
        expected=_in_words(expected, centre),
        verdict=_verdict(expected, centre, mean),
    )


def _points(rows: Sequence[dict[str, Any]], unit: str, metric: str) -> dict[int, float]:
    """What was measured of a run, by epoch or the like."""
    measured = {row[unit]: row[metric] for row in rows if is_count(row.get(unit)) and metric in row}
    return {at: float(number) for at, number in measured.items() if math.isfinite(number)}


def _verdict(expected: Expectation, centre: float | None, mean: float | None) -> Verdict:
    if mean is None:
        return "not there yet"
    least, most = expected.least, expected.most
    if expected.within is not None and centre is not None:
        least, most = centre - expected.within, centre + expected.within
    if least is not None and mean < least:
        return "below"
    if most is not None and mean > most:
        return "above"
    return "as expected"


def _in_words(expected: Expectation, centre: float | None) -> str:
    if expected.within is not None:
        return f"{'?' if centre is None else f'{centre:.1f}'} ± {expected.within:g}"
    bounds = [("at least", expected.least), ("at most", expected.most)]
    return ", ".join(f"{what} {bound:g}" for what, bound in bounds if bound is not None)


COLUMNS = ("curve", "seeds", "at", "score", "published", "expected", "verdict")


def cells(finding: Finding) -> tuple[str, ...]:
    """A finding as a row of `COLUMNS`."""

    def shown(number: float | None) -> str:
        return "-" if number is None else f"{number:.1f}"

    seeds = str(finding.of_seeds)
    if len(finding.seeds) < finding.of_seeds:
        seeds = f"{len(finding.seeds)}/{seeds}"
    score = shown(finding.score)
    if finding.interval is not None:
        score += " [{:.1f}, {:.1f}]".format(*finding.interval)
    at = "-" if finding.at is None else short(finding.at)
    verdict = finding.verdict if finding.expected else "-"
    return finding.curve, seeds, at, score, shown(finding.published), finding.expected or "-", verdict


def table(findings: Sequence[Finding], title: str) -> Table:
    """Findings for a terminal."""
    drawn = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in COLUMNS:
        drawn.add_column(name, no_wrap=name != "curve", justify="left" if name in ("curve", "verdict") else "right")
    for finding in findings:
        is_fine = finding.verdict == "as expected" or not finding.expected
        drawn.add_row(*cells(finding), style=None if is_fine else "bold")
    return drawn


def markdown(findings: Sequence[Finding]) -> str:
    """Findings as a table of Markdown; without the columns that no row fills."""
    rows = [cells(finding) for finding in findings]
    kept = [number for number in range(len(COLUMNS)) if any(row[number] != "-" for row in rows)]

    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(row[number].replace("|", "\\|") for number in kept) + " |"

    return "\n".join([line(COLUMNS), "|" + "---|" * len(kept), *map(line, rows)])
