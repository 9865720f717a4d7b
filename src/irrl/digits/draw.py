"""Pictures: where a trained agent looks and what it answers, how it learned, and what canvases look like."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8, UInt16
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from irrl import keys, rewards
from irrl.devices import in_32_bits
from irrl.digits.config import Config
from irrl.digits.data import CLASSES, FULL_LEVEL, Canvases
from irrl.digits.evaluate import Agent, load_agent
from irrl.digits.glimpse import PIXEL_MEAN, PIXEL_STD, glimpses, pyramid
from irrl.digits.source import canvases_for
from irrl.errors import UserError
from irrl.figures import drawable, write_picture
from irrl.files import check_folder
from irrl.films import write_gif, write_mp4
from irrl.loading import figures_folder
from irrl.run_folder import read_rows

FIRST, LATER, LAST = "#ffd60a", "#30d158", "#ff3b30"
"""Colours of the first glimpse on a canvas, of those between, and of the last."""
WRONG = "#d70015"

MILLISECONDS, LAST_MILLISECONDS = 600, 3000
"""How long the film shows a glimpse, and the last one with the answers."""

_DPI = 96
# Film pixels: the space between two canvases, a title's height, the legend's height and the width it needs.
_GAP, _TITLE, _LEGEND, _LEGEND_WIDTH = 14, 26, 32, 560


class Case(NamedTuple):
    """A canvas, and what the agent did with it."""

    canvas: UInt16[np.ndarray, "canvas canvas"]
    label: int | None
    """the digit on it; None if nobody knows"""
    probabilities: Float[np.ndarray, " classes"]
    """that the agent gives each digit"""
    squares: Int[np.ndarray, "glimpses scales 3"]
    """(x, y) of the top left pixel, and side, of what each glimpse covers"""
    seen: Float[np.ndarray, "glimpses scales patch patch"]
    """each glimpse as the agent gets it, pixels in [0, 1]"""

    @property
    def answer(self) -> int:
        """The likeliest digit."""
        return int(self.probabilities.argmax())


def draw(
    model: Path, out: Path | None = None, *, cases: int = 12, seed: int = 0, mnist: Path | None = None
) -> list[Path]:
    """Draw where a trained agent looks, as a figure and as a film, and its learning curve if there are metrics.

    Args:
        model: a run's folder (its best checkpoint), a checkpoint file, or the name of a packaged agent.
        out: folder for the pictures; None: `figures` in the run's folder, or beside the checkpoint; `NAME-figures` here
            for a packaged agent.
        cases: how many test canvases to draw.
        seed: picks the canvases and draws the first glimpses.
        mnist: folder of other digits than the agent's own.

    Returns:
        The files: glimpses.png, glimpses.gif, glimpses.mp4 and, if there are metrics, learning_curve.png.

    Raises:
        UserError: there is no good checkpoint, or there are not that many test canvases.
        OSError: a file cannot be written; the older one, if any, still stands.
    """
    agent = load_agent(model)
    out = figures_folder(model) if out is None else out
    check_folder(out)
    watched = watch(agent, canvases_for(agent.config, agent.trained_on, "test", mnist), count=cases, seed=seed)
    frames = film(watched)
    pace = {"milliseconds": MILLISECONDS, "last_milliseconds": LAST_MILLISECONDS}
    writers = {
        "glimpses.png": partial(_write_png, gaze_figure(watched)),
        "glimpses.gif": partial(write_gif, frames, **pace),
        "glimpses.mp4": partial(write_mp4, frames, **pace),
    }
    folder = model if model.is_dir() else model.parent
    if model.exists() and (rows := read_rows(folder / "metrics.jsonl")):
        writers["learning_curve.png"] = partial(_write_png, learning_curve(rows, agent.config.reward))
    out.mkdir(parents=True, exist_ok=True)
    for name, write in writers.items():
        write(out / name)
    return [out / name for name in writers]


def sheet(canvases: Canvases, path: Path) -> None:
    """Draw the first 40 canvases, 8 in a row, each under its label, into the PNG file `path`."""
    side = canvases.images.shape[-1]
    figure, grid = _grid(min(40, len(canvases.images)), side, columns=8, pixels=90)
    for axes, image, label in zip(grid, canvases.images, canvases.labels, strict=False):
        _draw_pixels(axes, image / FULL_LEVEL, side)
        axes.set_title(" ".join(map(str, np.atleast_1d(label))), pad=4)
    _write_png(figure, path)


def watch(agent: Agent, canvases: Canvases, *, count: int, seed: int) -> list[Case]:
    """Let the agent look at `count` of the canvases; `seed` picks them and draws the first glimpses.

    Raises:
        UserError: there are not that many.
    """
    total = len(canvases.labels)
    if not 1 <= count <= total:
        raise UserError(f"`cases` is {count}; it must be from 1 to {total}, the number of test canvases")
    picked = keys.generator(seed, "evaluation").choice(total, count, replace=False)
    return look(agent, canvases.images[picked], canvases.labels[picked].tolist(), seed=seed)


@in_32_bits
def look(
    agent: Agent, images: UInt16[np.ndarray, "images canvas canvas"], labels: Sequence[int | None], *, seed: int
) -> list[Case]:
    """Let the agent look at each canvas; `seed` draws the first glimpses. A label is None where nobody knows it."""
    config = agent.config
    log_probs, gazes, used = agent.predict(images, seed=seed)
    features = np.asarray(_seen(jnp.asarray(images), gazes, scales=config.scales, patch=config.patch))
    seen = features.reshape(*gazes.shape[:2], config.scales, config.patch, config.patch) * PIXEL_STD + PIXEL_MEAN
    gazed = zip(images, labels, np.exp(log_probs), gazes, seen, used, strict=True)
    return [
        Case(image, label, chances, squares(gaze[:taken], config), views[:taken])
        for image, label, chances, gaze, views, taken in gazed
    ]


@partial(jax.jit, static_argnames=("scales", "patch"))
def _seen(
    images: UInt16[Array, "images canvas canvas"], gazes: Float[Array, "images glimpses 2"], *, scales: int, patch: int
) -> Float[Array, "images glimpses features"]:
    see = partial(glimpses, pyramid(images, scales=scales), patch=patch)
    return jax.vmap(see, in_axes=1, out_axes=1)(gazes)


def squares(locations: Float[np.ndarray, "glimpses 2"], config: Config) -> Int[np.ndarray, "glimpses scales 3"]:
    """The squares that `glimpses` cuts at `locations` in [-1, 1]: (x, y) of the top left pixel, and side."""
    centres = (0.5 * (locations + 1) * config.canvas).astype(int)
    sides = [config.patch * 2**scale for scale in range(config.scales)]
    return np.stack([np.c_[centres - side // 2, np.full(len(centres), side)] for side in sides], axis=1)


def gaze_figure(cases: list[Case]) -> Figure:
    """Each canvas with all its glimpses: squares at every scale, and the path of the gaze through their centres."""
    figure, grid = _gaze_grid(cases, "digit → answer, its probability")
    for axes, case in zip(grid, cases, strict=True):
        _draw_gaze(axes, case)
        _draw_title(axes, case, answered=True)
    return figure


def draw_answer(case: Case, path: Path) -> None:
    """Draw `answer_figure` into the PNG file `path`."""
    _write_png(answer_figure(case), path)


def answer_figure(case: Case) -> Figure:
    """One canvas, large, with all its glimpses, and beside it the probability that the agent gives each digit."""
    panel = 0.6 * len(case.canvas)
    figure, (axes,) = _gaze_grid([case], "", panel=panel, pixels=360)
    _draw_gaze(axes, case)
    _draw_title(axes, case, answered=True)
    left, row, longest = len(case.canvas) + 0.12 * panel, len(case.canvas) / CLASSES, 0.6 * panel
    for digit, probability in enumerate(case.probabilities.tolist()):
        middle = (digit + 0.5) * row
        color = "#0a64d8" if digit == case.answer else "#8e8e93"
        bar = Rectangle((left, middle - row / 4), longest * probability, row / 2, facecolor=color, clip_on=False)
        axes.add_patch(bar)
        axes.text(left - 0.03 * panel, middle, str(digit), ha="right", va="center")
        axes.text(left + longest * probability + 0.03 * panel, middle, f"{probability:.1%}", va="center")
    return figure


def film(cases: list[Case]) -> list[UInt8[np.ndarray, "height width 3"]]:
    """One frame a glimpse: the path so far, its squares now, what the agent sees in them; at the end the answers."""
    count, scales = max(len(case.squares) for case in cases), cases[0].squares.shape[1]
    pitch = len(cases[0].canvas) / max(3, scales)
    frames = []
    for now in range(count):
        caption = f"glimpse {now + 1} of {count}, and what the agent sees"
        figure, grid = _gaze_grid(cases, caption, panel=pitch)
        for axes, case in zip(grid, cases, strict=True):
            latest = min(now, len(case.squares) - 1)  # it may have answered before
            _draw_path(axes, case, upto=latest)
            for past in range(latest):
                _draw_square(axes, case, past, 0, alpha=0.6 if past else 1, width=1)
            for scale in range(scales):
                _draw_square(axes, case, latest, scale, alpha=0.7**scale, width=2)
                _draw_seen(axes, case, latest, scale, pitch)
            _draw_title(axes, case, answered=now == count - 1 or latest < now)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        frames.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return frames


def learning_curve(rows: list[dict[str, Any]], reward: str | rewards.Reward) -> Figure:
    """Accuracy in training and validation, and the mean reward, epoch by epoch, from a run's rows of metrics."""
    figure = Figure(figsize=(9.6, 3.6), dpi=_DPI)
    figure.set_layout_engine("constrained", wspace=0.1)
    accuracy_axes, reward_axes = figure.subplots(1, 2)
    for axes, name, unit, color, label in (
        (accuracy_axes, "accuracy", 100, "#8e8e93", "training, exploring"),
        (accuracy_axes, "validation_accuracy", 100, "#0a64d8", "validation"),
        (reward_axes, "reward", 1, "#248a3d", None),
    ):
        measured = [row for row in rows if row.get(name) is not None]
        epochs, numbers = [row["epoch"] for row in measured], [unit * row[name] for row in measured]
        axes.plot(epochs, numbers, ".-", color=color, label=label)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    accuracy_axes.axhline(100 / CLASSES, color="black", linewidth=0.8, linestyle=":", label="chance")
    accuracy_axes.set(ylim=(0, 100), ylabel="accuracy (%)")
    accuracy_axes.legend(frameon=False)
    reward_axes.set_ylabel(drawable(f"mean reward per canvas ({rewards.label(reward)})"))
    return figure


def _grid(
    count: int, side: int, *, columns: int, pixels: int, panel: int | float = 0, legend: bool = False
) -> tuple[Figure, list[Axes]]:
    """Axes for canvases of `side`, in units of canvas pixels, with `panel` of them free on the right.

    Each canvas pixel becomes a whole number of film pixels, so that a canvas is about `pixels` wide.
    """
    zoom, columns = max(1, round(pixels / side)), min(count, columns)
    width, height = round((side + panel) * zoom), side * zoom
    # A film is coded in blocks of two by two pixels.
    all_width = 2 * (max(columns * (width + _GAP) + _GAP, legend * _LEGEND_WIDTH) // 2)
    all_height = 2 * ((legend * _LEGEND + -(-count // columns) * (height + _TITLE) + _GAP) // 2)
    figure, grid = Figure(figsize=(all_width / _DPI, all_height / _DPI), dpi=_DPI), []
    for cell in range(count):
        left = (all_width - columns * (width + _GAP) + _GAP) // 2 + cell % columns * (width + _GAP)
        bottom = all_height - legend * _LEGEND - (cell // columns + 1) * (height + _TITLE)
        axes = figure.add_axes((left / all_width, bottom / all_height, width / all_width, height / all_height))
        axes.set(xlim=(0, width / zoom), ylim=(side, 0), autoscale_on=False)
        axes.set_axis_off()
        grid.append(axes)
    return figure, grid


def _gaze_grid(cases: list[Case], caption: str, panel: int | float = 0, pixels: int = 180) -> tuple[Figure, list[Axes]]:
    """The canvases without any glimpse, under a legend."""
    side = len(cases[0].canvas)
    figure, grid = _grid(len(cases), side, columns=4, pixels=pixels, panel=panel, legend=True)
    for axes, case in zip(grid, cases, strict=True):
        _draw_pixels(axes, case.canvas / FULL_LEVEL, side)
    colors = {"first glimpse": FIRST, "later": LATER, "last": LAST}
    marks = [Line2D([], [], linestyle="", marker="s", color=color, label=label) for label, color in colors.items()]
    width, height = figure.get_size_inches() * _DPI
    left, right, middle = _GAP / width, 1 - _GAP / width, 1 - 0.6 * _LEGEND / height
    style = {"frameon": False, "handlelength": 1, "handletextpad": 0.4, "columnspacing": 1, "borderpad": 0}
    figure.legend(handles=marks, loc="center left", bbox_to_anchor=(left, middle), ncols=3, borderaxespad=0, **style)
    figure.text(right, middle, caption, ha="right", va="center")
    return figure, grid


def _draw_pixels(
    axes: Axes, image: Float[np.ndarray, "y x"], side: int | float, left: float = 0.0, top: float = 0.0
) -> None:
    style = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest", "aspect": "auto"}
    axes.imshow(image, extent=(left, left + side, top + side, top), **style)


def _draw_gaze(axes: Axes, case: Case) -> None:
    last = len(case.squares) - 1
    _draw_path(axes, case, upto=last)
    for glimpse in range(last + 1):
        ends = glimpse in (0, last)
        for scale in range(case.squares.shape[1]):
            _draw_square(axes, case, glimpse, scale, alpha=(0.5 if ends else 0.3) ** scale, width=2 if ends else 1)


def _draw_path(axes: Axes, case: Case, *, upto: int) -> None:
    x, y, side = case.squares[: upto + 1, 0].T
    axes.plot(x + side / 2, y + side / 2, color=LATER, linewidth=1.2, alpha=0.7, zorder=3)


def _draw_square(axes: Axes, case: Case, glimpse: int, scale: int, *, alpha: int | float, width: int) -> None:
    x, y, side = case.squares[glimpse, scale].tolist()
    color = _color(case, glimpse)
    # Over everything the finest scale, and there the first and the last glimpse.
    order = 2 if scale else 4 if color == LATER else 5
    line = {"edgecolor": color, "linewidth": 1 if scale else width, "alpha": alpha, "zorder": order}
    square = axes.add_patch(Rectangle((x, y), side, side, fill=False, **line))
    square.set_clip_path(Rectangle((0, 0), len(case.canvas), len(case.canvas), transform=axes.transData))


def _draw_seen(axes: Axes, case: Case, glimpse: int, scale: int, pitch: float) -> None:
    """Beside the canvas, the finest scale on top; what lies outside the canvas is dark grey there."""
    side, left, top = 0.9 * pitch, len(case.canvas) + 0.1 * pitch, scale * pitch
    _draw_pixels(axes, case.seen[glimpse, scale], side, left, top)
    axes.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor=_color(case, glimpse), clip_on=False))


def _draw_title(axes: Axes, case: Case, *, answered: bool) -> None:
    text = f"{case.answer}   {case.probabilities.max():.0%}" if answered else "?"
    color = WRONG if answered and case.label not in (None, case.answer) else "black"
    middle = len(case.canvas) / 2 / axes.get_xlim()[1]
    axes.set_title(text if case.label is None else f"{case.label} → {text}", x=middle, color=color, pad=4)


def _color(case: Case, glimpse: int) -> str:
    return LAST if glimpse == len(case.squares) - 1 else LATER if glimpse else FIRST


def _write_png(figure: Figure, path: Path) -> None:
    write_picture(figure, path, dpi=2 * _DPI)
