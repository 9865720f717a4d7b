"""Noise along training, in discriminator or reward: drawn from what training measured, exactly."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, SymmetricalLogLocator

from irrl import rewards
from irrl.comparison import Group, groups_of
from irrl.errors import UserError
from irrl.figures import Picture, colors_of, drawable, small_picture
from irrl.skills.evaluate import NOISE_REWARDS
from irrl.skills.task import TASK

MOST_ROWS = 4
"""Of an overview in a report."""

DRAWN = ("linear", *(name for name in NOISE_REWARDS if name != "linear"))
"""From the bottom up."""


def overview(runs: Sequence[Path]) -> Picture | None:
    """`noise_figure` for a report: of the first groups of runs; None where a run measured no noise."""
    try:
        kept = [folder for group in groups_of(TASK, runs, "delta_bias")[:MOST_ROWS] for folder in group.folders]
        figure = noise_figure(kept)
    except UserError:  # runs of irrl 0.1 did not measure it
        return None
    said = "Noise of the discriminator and of each reward along training: its mean, and its standard deviation."
    return small_picture(figure, said, dpi=80, most=60_000)


def noise_figure(runs: Sequence[Path]) -> Figure:
    """A row of three pictures for each group of runs, means over its seeds.

    The discriminator's noise `delta = q(z | s_T) - p(z | s_T)`, mean and standard deviation; then each reward's noise,
    `g(q) - g(p)`, its mean (bias) and its standard deviation: what the reward would be off by, whichever was trained
    with.

    Raises:
        UserError: as for `groups_of`.
    """

    def measured(metric: str) -> list[Group]:
        return groups_of(TASK, runs, metric)

    bias, variance = measured("delta_bias"), measured("delta_variance")
    noises = {name: [measured(f"noise_{what}/{name}") for what in ("bias", "variance")] for name in DRAWN}
    colors = colors_of(DRAWN)
    figure = Figure(figsize=(13, 3.7 * len(bias)), layout="constrained")
    for row, (axes, group) in enumerate(zip(figure.subplots(len(bias), 3, squeeze=False), bias, strict=True)):
        mean, deviation = group.scores.mean(axis=0), np.sqrt(variance[row].scores).mean(axis=0)
        axes[0].plot(group.at, mean, color="black", linewidth=1.3, label="mean")
        axes[0].fill_between(group.at, mean - deviation, mean + deviation, color="0.8", label="standard deviation")
        for name, (means, variances) in noises.items():
            # Linear rewards, clipped or not, are nearly alike: the one must be seen through the other.
            wide = isinstance(rewards.get(name), rewards.Linear)
            style = {"color": colors[name], "linewidth": 3.5 if wide else 1.3}
            axes[1].plot(group.at, means[row].scores.mean(axis=0), label=drawable(name), **style)
            axes[2].plot(group.at, np.sqrt(variances[row].scores).mean(axis=0), **style)
        seeds = f"seed {group.seeds[0]}" if len(group.seeds) == 1 else f"{len(group.seeds)} seeds"
        axes[0].set(title=drawable(f"{group.label} ({seeds})"), ylabel="discriminator noise q - p")
        axes[1].set(ylabel="reward noise: bias")
        axes[2].set(ylabel="reward noise: standard deviation")
        for each in axes[1:]:
            each.set_yscale("symlog", linthresh=0.01)
            # Labels at 1, 2 and 5: of powers of ten alone there may be a single one.
            each.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=0.01, subs=(1, 2, 5)))
            each.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for each in axes:
            each.set(xlabel="iteration", xlim=(0, group.at[-1]))
            each.xaxis.set_major_formatter(EngFormatter(sep=""))
            each.spines[["top", "right"]].set_visible(False)
            each.grid(alpha=0.25)
        for each in axes[:2]:
            each.legend(frameon=False, fontsize=8)
    return figure
