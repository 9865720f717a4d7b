"""The paper's figures of learning curves, drawn from runs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from irrl.checkpoint import replace_by
from irrl.digits.comparison import Curve, Group, groups_of, published
from irrl.errors import UserError
from irrl.stats import bootstrap_interval

FORMATS = (".png", ".pdf", ".svg")

COLORS = {"clipped-linear": "#0a64d8", "clipped-log": "#e8750a", "accuracy": "#248a3d", "log": "#d70015"}
OTHER_COLORS = ("#8944ab", "#8e6b3f", "#d6368f", "#178f9c", "#6b6b70")
"""One colour a reward: those of the paper have the same one in every figure."""

STYLES = (("-", 0), ("-.", 0.4), (":", 0.25))
"""Line style and paleness, in turns, of groups with the same reward."""


def draw_curves(figure: str, paths: Sequence[Path], out: Path) -> None:
    """Draw runs beside the published curves of a figure.

    Args:
        figure: ram, dt-ram or hacking.
        paths: folders of runs, or of several seeds.
        out: the picture, a png, pdf or svg file; its folder is made.

    Raises:
        UserError: runs that `groups_of` refuses, or another kind of file.
        OSError: the file cannot be written.
    """
    check_format(out)
    write_figure(learning_curves(groups_of(paths), published(figure)), out)


def check_format(out: Path) -> None:
    """Refuse a kind of picture that `write_figure` cannot write, before anything is computed."""
    if out.suffix not in FORMATS:
        raise UserError(f"--out {out}: its name must end with one of {', '.join(FORMATS)}")


def write_figure(figure: Figure, out: Path) -> None:
    """Write a png, pdf or svg file; its folder is made."""
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_by(out, partial(figure.savefig, format=out.suffix[1:], dpi=160))


def learning_curves(groups: Sequence[Group], paper: dict[str, Curve]) -> Figure:
    """Validation accuracy against epochs: mean over seeds and its interval; the published curves dashed behind."""
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    colors = _colors([*paper, *(group.curve_name for group in groups)])
    for name, curve in paper.items():
        axes.plot(
            curve.epochs, 100 * curve.accuracy, "--o", color=colors[name], markersize=3, linewidth=1, alpha=0.7,
            zorder=1, label=f"{name}, published",
        )  # fmt: skip
    drawn: dict[str, int] = {}
    for group in groups:
        variant = drawn[group.curve_name] = drawn.get(group.curve_name, -1) + 1
        style, paleness = STYLES[variant % len(STYLES)]
        color = _mix(colors[group.curve_name], "white", paleness)
        seeds = f"seed {group.seeds[0]}" if len(group.seeds) == 1 else f"{len(group.seeds)} seeds"
        label = f"{group.label} ({seeds})"
        axes.plot(
            group.epochs, 100 * group.accuracy.mean(axis=0), style, color=color, linewidth=1.3, zorder=3, label=label
        )
        interval = bootstrap_interval(group.accuracy, np.mean)
        if interval is not None:
            low, high = 100 * interval
            axes.fill_between(group.epochs, low, high, color=color, alpha=0.2, linewidth=0, zorder=2)
    axes.set(xlim=(0, _last_epoch(groups, paper)), ylim=(0, 100))
    axes.set(xlabel="epoch", ylabel="validation accuracy (%)")
    axes.set_title("mean over seeds and its 95 % bootstrap interval; published: mean, read off the plot", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    handles, labels = axes.get_legend_handles_labels()
    # Ours first, the published ones below.
    order = [*range(len(paper), len(labels)), *range(len(paper))]
    axes.legend([handles[at] for at in order], [labels[at] for at in order], frameon=False, fontsize=8, loc="best")
    return figure


def _colors(curve_names: Sequence[str]) -> dict[str, str]:
    """A colour a reward; with `+hacking` it is darker."""
    rewards = dict.fromkeys(name.removesuffix("+hacking") for name in curve_names)
    others = (reward for reward in rewards if reward not in COLORS)
    colors = COLORS | {reward: OTHER_COLORS[at % len(OTHER_COLORS)] for at, reward in enumerate(others)}
    return {
        name: _mix(colors[name.removesuffix("+hacking")], "black", 0.45 * name.endswith("+hacking"))
        for name in curve_names
    }


def _last_epoch(groups: Sequence[Group], paper: dict[str, Curve]) -> int:
    """Where the picture ends: at the next published point, so that the dashed lines reach the runs' end."""
    last = max(int(group.epochs[-1]) for group in groups)
    later = [int(epoch) for curve in paper.values() for epoch in curve.epochs if epoch > last]
    return min(later, default=last)


def _mix(color: str, other: str, share: float | int) -> str:
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(to_rgb(color), to_rgb(other), strict=True))
    return to_hex((red, green, blue))
