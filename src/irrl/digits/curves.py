"""The paper's learning curves on Cluttered MNIST."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from irrl.comparison import Curve, Group, Published, read_curves
from irrl.digits.config import PRESETS
from irrl.digits.task import TASK
from irrl.errors import UserError

FILES = {"ram": "ram.csv", "dt-ram": "dt-ram.csv", "hacking": "ram-reward-hacking.csv"}
"""Files of published curves, by figure."""


def published(figure: str) -> dict[str, Curve]:
    """The published learning curves of a figure (ram, dt-ram, hacking), by reward; accuracies as shares of 1."""
    return read_curves("irrl.digits", FILES[figure], unit="epoch", scale=100)


def published_of(figure: str | None, groups: Sequence[Group]) -> dict[str, Curve]:
    """`published(figure)`, for runs of which some belong into that figure.

    Raises:
        UserError: none does.
    """
    fits = {
        "ram": ("model ram", lambda settings: settings["model"] == "ram"),
        "dt-ram": ("model dt-ram", lambda settings: settings["model"] == "dt-ram"),
        "hacking": ("an oracle", lambda settings: bool(settings["oracle"])),
    }
    if figure not in fits:
        raise UserError(f"no published figure {figure!r}; choose one of {', '.join(fits)}")
    what, fit = fits[figure]
    if not any(fit(group.settings) for group in groups):
        raise UserError(f"figure {figure}: its published curves are of runs with {what}, and none of these is one")
    return published(figure)


def _curve(settings: Mapping[str, Any]) -> Curve | None:
    """The curve that the paper has for this reward, if the agent looks at the paper's canvases as its agent does."""
    paper = asdict(PRESETS["paper"])
    if any(settings[name] != paper[name] for name in ("data", "patch", "scales", "glimpses")):
        return None
    # The figure on hacking has further curves of RAM.
    figures = ("hacking", "ram") if settings["model"] == "ram" else (settings["model"],)
    curves = {name: curve for figure in figures if figure in FILES for name, curve in published(figure).items()}
    return curves.get(TASK.curve_name(settings))


PUBLISHED = Published(_curve, published_of)
