"""Curves of every metric along training, thinned to what a picture can show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from irrl.run_folder import is_count
from irrl.stats import bootstrap_interval

MOST_METRICS = 60
"""Of a run, that can be chosen."""

SCORE_POINTS, OTHER_POINTS = 500, 150
"""Of a curve, at most: of the score, and of any other metric."""

DIGITS = 5
"""That a number of a curve has."""


class Series(NamedTuple):
    """A metric of one run."""

    at: Int[np.ndarray, " points"]
    """epochs or iterations"""
    value: Float[np.ndarray, " points"]


@dataclass(frozen=True)
class Bundle:
    """A metric of a group of runs that differ in their seed."""

    at: Int[np.ndarray, " points"]
    """epochs or iterations that all seeds have in common"""
    mean: Float[np.ndarray, " points"]
    interval: Float[np.ndarray, "2 points"] | None
    """95 % bootstrap interval of the mean; None for a single seed"""
    seeds: Mapping[str, Series]
    """where there are several"""

    def as_json(self, most: int) -> dict[str, Any]:
        """Lists of at most `most` numbers by name."""
        kept = thin(self.mean, most)
        found: dict[str, Any] = {"at": self.at[kept].tolist(), "mean": rounded(self.mean[kept])}
        if self.interval is not None:
            found |= {"low": rounded(self.interval[0][kept]), "high": rounded(self.interval[1][kept])}
        if self.seeds:
            found["seeds"] = {seed: _series_as_json(series, most) for seed, series in self.seeds.items()}
        return found


def _series_as_json(series: Series, most: int) -> dict[str, list[Any]]:
    kept = thin(series.value, most)
    return {"at": series.at[kept].tolist(), "value": rounded(series.value[kept])}


def series_of(rows: Sequence[Mapping[str, Any]], unit: str, first: str) -> dict[str, Series]:
    """The metrics of a run by its rows, `first` before the others; points that are not finite are left out."""
    last = {row[unit]: row for row in rows if is_count(row.get(unit))}
    rows = [last[at] for at in sorted(last)]
    names = dict.fromkeys([first, *(name for row in rows for name in row)])
    found = {}
    for name in [name for name in names if name not in ("step", unit)][:MOST_METRICS]:
        at, value = _finite([(row[unit], float(row[name])) for row in rows if name in row])
        if len(at):
            found[name] = Series(at, value)
    return found


def _finite(points: list[tuple[int, float]]) -> Series:
    value = np.array([value for _, value in points])
    kept = np.isfinite(value)
    return Series(np.array([at for at, _ in points], np.int64)[kept], value[kept])


def bundle(seeds: Sequence[int], series: Sequence[Series], most: int) -> Bundle | None:
    """Curves of several seeds together; None where they have no point in common.

    Args:
        most: points of the mean; its interval is not computed at others.
    """
    at = reduce(np.intersect1d, (each.at for each in series))
    if not len(at):
        return None
    values = np.stack([each.value[np.searchsorted(each.at, at)] for each in series])
    kept = thin(values.mean(axis=0), most)
    at, values = at[kept], values[:, kept]
    by_seed = {str(seed): each for seed, each in zip(seeds, series, strict=True)} if len(seeds) > 1 else {}
    return Bundle(at, values.mean(axis=0), bootstrap_interval(values, np.mean), by_seed)


def thin(values: Float[np.ndarray, " points"], most: int) -> Int[np.ndarray, " kept"]:
    """Which points of a curve are drawn: of stretches of equal length the lowest and the highest, and both ends.

    So a spike of a single point stays.
    """
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), max(1, (most - 2) // 2) + 1).astype(int)
    stretches = [(start, end) for start, end in pairwise(edges) if end > start]
    extremes = [start + pick(values[start:end]) for start, end in stretches for pick in (np.argmin, np.argmax)]
    return np.unique([0, *extremes, len(values) - 1])


def rounded(values: Float[np.ndarray, " points"]) -> list[float]:
    """Numbers with as many digits as a picture shows."""
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]
