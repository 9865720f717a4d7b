"""What runs of the digits task are compared by, and the paper's learning curves."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from irrl.comparison import Curve, Study, read_curves
from irrl.digits.config import FREE, PRESETS, Config

PUBLISHED = {"ram": "ram.csv", "dt-ram": "dt-ram.csv", "hacking": "ram-reward-hacking.csv"}
"""Files of published curves, by figure."""


def published(figure: str) -> dict[str, Curve]:
    """The published learning curves of a figure (ram, dt-ram, hacking), by reward; accuracies as shares of 1."""
    return read_curves("irrl.digits", PUBLISHED[figure], unit="epoch", scale=100)


def _curve_name(settings: Mapping[str, Any]) -> str:
    return settings["reward"] + ("+hacking" if settings.get("oracle") else "")


def _curve(settings: Mapping[str, Any]) -> Curve | None:
    """The curve that the paper has for this reward, if the agent looks at the paper's canvases as its agent does."""
    paper = asdict(PRESETS["paper"])
    if any(settings[name] != paper[name] for name in ("data", "patch", "scales", "glimpses")):
        return None
    hacking = settings.get("oracle") or settings["reward"] == "log"
    figure = "hacking" if settings["model"] == "ram" and hacking else settings["model"]
    return published(figure).get(_curve_name(settings)) if figure in PUBLISHED else None


STUDY = Study(
    task="digits",
    defaults=asdict(Config()),
    free=FREE,
    unit="epoch",
    score="validation_accuracy",
    title="validation accuracy (%)",
    scale=100,
    goals=(0.5, 0.8, 0.9),
    goal_format=".0%",
    curve_name=_curve_name,
    named={"oracle"},
    presets={name: asdict(config) for name, config in PRESETS.items()},
    curve=_curve,
    most=100,
)
