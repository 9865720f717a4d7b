"""The paper's learning curves of object counting."""

from collections.abc import Mapping, Sequence
from typing import Any

from irrl.comparison import Curve, Group, Published, read_curves
from irrl.counting.task import TASK


def published() -> dict[str, Curve]:
    """The published learning curves, by reward; accuracies as shares of 1. Scenes there were others than ours."""
    return read_curves("irrl.counting", "counting.csv", unit="million_episodes", scale=100, units=1_000_000)


def _curve(settings: Mapping[str, Any]) -> Curve | None:
    return published().get(TASK.curve_name(settings))


def _figure(figure: str | None, groups: Sequence[Group]) -> dict[str, Curve]:
    return published()


PUBLISHED = Published(_curve, _figure)
