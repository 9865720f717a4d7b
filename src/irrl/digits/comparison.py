"""What runs of the digits task are compared by, and the paper's learning curves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from irrl.comparison import Curve, Group, Study, read_curves
from irrl.digits.config import FREE, PRESETS, Config, idle
from irrl.errors import UserError

PUBLISHED = {"ram": "ram.csv", "dt-ram": "dt-ram.csv", "hacking": "ram-reward-hacking.csv"}
"""Files of published curves, by figure."""


def published(figure: str) -> dict[str, Curve]:
    """The published learning curves of a figure (ram, dt-ram, hacking), by reward; accuracies as shares of 1."""
    return read_curves("irrl.digits", PUBLISHED[figure], unit="epoch", scale=100)


def published_of(figure: str, groups: Sequence[Group]) -> dict[str, Curve]:
    """`published(figure)`, for runs of which some belong into that figure.

    Raises:
        UserError: none does.
    """
    fits = {
        "ram": ("model ram", lambda settings: settings["model"] == "ram"),
        "dt-ram": ("model dt-ram", lambda settings: settings["model"] == "dt-ram"),
        "hacking": ("an oracle", lambda settings: bool(settings["oracle"])),
    }
    what, fit = fits[figure]
    if not any(fit(group.settings) for group in groups):
        raise UserError(f"figure {figure}: its published curves are of runs with {what}, and none of these is one")
    return published(figure)


def _curve_name(settings: Mapping[str, Any]) -> str:
    return settings["reward"] + ("+hacking" if settings.get("oracle") else "")


def _curve(settings: Mapping[str, Any]) -> Curve | None:
    """The curve that the paper has for this reward, if the agent looks at the paper's canvases as its agent does."""
    paper = asdict(PRESETS["paper"])
    if any(settings[name] != paper[name] for name in ("data", "patch", "scales", "glimpses")):
        return None
    # The figure on hacking has further curves of RAM.
    figures = ("hacking", "ram") if settings["model"] == "ram" else (settings["model"],)
    curves = {name: curve for figure in figures for name, curve in published(figure).items()}
    return curves.get(_curve_name(settings))


STUDY = Study(
    task="digits",
    config=Config,
    free=FREE,
    idle=idle,
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
