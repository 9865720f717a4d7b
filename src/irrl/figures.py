"""Pictures: learning curves of runs over the published ones, and small ones for a report."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import EngFormatter, MaxNLocator
from PIL import Image

from irrl.comparison import Curve, Group
from irrl.errors import UserError
from irrl.files import check_folder, replace_file
from irrl.stats import bootstrap_interval

FORMATS = (".png", ".pdf", ".svg")

COLORS = {
    "clipped-linear": "#0a64d8",
    "clipped-log": "#e8750a",
    "accuracy": "#248a3d",
    "log": "#d70015",
    "linear": "#8944ab",
    "box-cox:0.5": "#d6368f",
    "clipped-box-cox:0.5": "#178f9c",
}
"""One colour a reward, the same in every figure."""
OTHER_COLORS = ("#8e6b3f", "#6b6b70", "#1fa8e0", "#b59400", "#3a3a3c")
"""Of rewards that are not among them, in their order."""

MANY = 10_000
"""From so many epochs or iterations on, the axis is labelled in thousands or millions."""

STYLES = (("-", 0), ("-.", 0.4), (":", 0.25))
"""Line style and paleness, in turns, of groups with the same reward."""


QUALITIES = (85, 70, 55, 40, 25, 10)
"""Of WebP, tried in turn until a picture is small enough."""


class Picture(NamedTuple):
    """A picture that a report holds."""

    webp: bytes
    size: tuple[int, int]
    """width and height, pixels"""
    text: str
    """what is to be seen there, for whoever cannot see it"""


def small_picture(figure: Figure, text: str, *, dpi: int = 96, most: int = 14_000) -> Picture:
    """A figure as a WebP picture of about `most` bytes at most: the coarser, the more there is in it."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    while True:
        for quality in QUALITIES:
            content = BytesIO()
            drawn.save(content, "WEBP", quality=quality, method=6)
            if content.tell() <= most:
                return Picture(content.getvalue(), drawn.size, text)
        drawn = drawn.resize((max(1, drawn.width * 2 // 3), max(1, drawn.height * 2 // 3)))


def check_picture(out: Path) -> None:
    """Refuse a picture that `write_figure` cannot write there, before anything is computed."""
    if out.suffix not in FORMATS:
        raise UserError(f"`out={out}`: its name must end with one of {', '.join(FORMATS)}")
    check_folder(out.parent)


def write_figure(figure: Figure, out: Path) -> None:
    """Write a png, pdf or svg file; its folder is made."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_picture(figure, out, dpi=160)


def write_picture(figure: Figure, path: Path, *, dpi: int) -> None:
    """Write a png, pdf or svg file in one step.

    Raises:
        OSError: it cannot be written; the older one, if any, still stands.
    """
    content = BytesIO()  # Matplotlib's own writers fail in odd ways on a full disk
    figure.savefig(content, format=path.suffix[1:], dpi=dpi)
    replace_file(path, content.getvalue())


def drawable(text: str) -> str:
    """A name as a figure can show it: what its font lacks is escaped, and nothing in it is taken for an instruction."""
    has = get_font(findfont(FontProperties())).get_char_index
    shown = "".join(each if each.isprintable() and has(ord(each)) else ascii(each)[1:-1] for each in text)
    # Between dollars Matplotlib reads mathematics, and a legend leaves out what begins with a line.
    return " " * shown.startswith("_") + shown.replace("$", r"\$")


def learning_curves(groups: Sequence[Group], paper: dict[str, Curve]) -> Figure:
    """Scores against epochs or iterations: mean over seeds and its interval; the published curves dashed behind."""
    task = groups[0].task
    score = task.score
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    colors = curve_colors([*paper, *(group.curve_name for group in groups)])
    for name, curve in paper.items():
        axes.plot(
            curve.at, score.scale * curve.score, "--o", color=colors[name], markersize=3, linewidth=1, alpha=0.7,
            zorder=1, label=drawable(f"{name}, published"),
        )  # fmt: skip
    drawn: dict[str, int] = {}
    for group in groups:
        variant = drawn[group.curve_name] = drawn.get(group.curve_name, -1) + 1
        style, paleness = STYLES[variant % len(STYLES)]
        color = mix(colors[group.curve_name], "white", paleness)
        seeds = f"seed {group.seeds[0]}" if len(group.seeds) == 1 else f"{len(group.seeds)} seeds"
        label = drawable(f"{group.label} ({seeds})")
        axes.plot(
            group.at, score.scale * group.scores.mean(axis=0), style, color=color, linewidth=1.3, zorder=3, label=label
        )
        interval = bootstrap_interval(group.scores, np.mean)
        if interval is not None:
            low, high = score.scale * interval
            axes.fill_between(group.at, low, high, color=color, alpha=0.2, linewidth=0, zorder=2)
    end = _end(groups, paper)
    axes.set(xlim=(0, end), ylim=(0, 100 if score.is_share else None), xlabel=task.progress.unit, ylabel=score.label)
    title = "mean over seeds and its 95 % bootstrap interval"
    axes.set_title(title + "; published: mean, read off the plot" * bool(paper), fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if end >= MANY:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    handles, labels = axes.get_legend_handles_labels()
    # Ours first, the published ones below.
    order = [*range(len(paper), len(labels)), *range(len(paper))]
    axes.legend([handles[at] for at in order], [labels[at] for at in order], frameon=False, fontsize=8, loc="best")
    return figure


def colors_of(rewards: Sequence[str]) -> dict[str, str]:
    """The colour of each reward, by its name: its own of `COLORS`, or the next of `OTHER_COLORS`."""
    others = (reward for reward in dict.fromkeys(rewards) if reward not in COLORS)
    colors = COLORS | {reward: OTHER_COLORS[at % len(OTHER_COLORS)] for at, reward in enumerate(others)}
    return {reward: colors[reward] for reward in rewards}


def curve_colors(curve_names: Sequence[str]) -> dict[str, str]:
    """A colour a reward; with `+hacking` it is darker."""
    colors = colors_of([name.removesuffix("+hacking") for name in curve_names])
    return {
        name: mix(colors[name.removesuffix("+hacking")], "black", 0.45 * name.endswith("+hacking"))
        for name in curve_names
    }


def _end(groups: Sequence[Group], paper: dict[str, Curve]) -> int:
    """Where the picture ends: at the next published point, so that the dashed lines reach the runs' end."""
    last = max(int(group.at[-1]) for group in groups)
    return min((int(at) for curve in paper.values() for at in curve.at if at > last), default=last)


def mix(color: str, other: str, share: float | int) -> str:
    """`color` with a share of `other` in it."""
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(to_rgb(color), to_rgb(other), strict=True))
    return to_hex((red, green, blue))
