"""The paper's learning curves in the large rooms."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from irrl.comparison import Curve, Group, Published, read_curves
from irrl.skills.config import FREE, PRESETS
from irrl.skills.task import TASK


def published() -> dict[str, Curve]:
    """The published learning curves in the large rooms, by reward."""
    return read_curves("irrl.skills", "large-rooms.csv", unit="million_iterations", scale=1, units=1_000_000)


def published_for(figure: str | None, groups: Sequence[Group]) -> dict[str, Curve]:
    """These, if one of the groups has the paper's rooms, number of skills and steps."""
    paper = PRESETS["paper"]
    names = ("rooms", "skills", "steps")
    alike = (all(group.settings[name] == getattr(paper, name) for name in names) for group in groups)
    return published() if any(alike) else {}


def _curve(settings: Mapping[str, Any]) -> Curve | None:
    """The curve that the paper has for this reward, if all else is as there."""
    paper = asdict(PRESETS["paper"])
    others = set(paper) - FREE - {"reward", "disdain", "ensemble", "seed"}
    as_there = all(settings[name] == paper[name] for name in others)
    as_there &= (settings["disdain"], settings["ensemble"]) in ((0, 1), (20, 2))
    return published().get(TASK.curve_name(settings)) if as_there else None


PUBLISHED = Published(_curve, published_for)
