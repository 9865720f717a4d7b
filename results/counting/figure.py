"""Accuracy against moves: robots that learned when to stop, beside those that walk as far as they may.

python results/counting/figure.py
"""

import json
from pathlib import Path

from matplotlib.figure import Figure

HERE = Path(__file__).parent
COLOURS = {"clipped-linear-1": "#0a64d8", "clipped-log-1": "#e8750a", "accuracy-1": "#248a3d", "long-1": "#0b2f66"}
WALKS = {"left-1": "#777777", "random-1": "#c9a227"}

reports = {file.parent.name: json.loads(file.read_text()) for file in sorted(HERE.glob("*/test.json"))}
axes = Figure(figsize=(7, 4.4), layout="constrained").add_subplot()
for name, colour in WALKS.items():
    shares = [100 * share for share in reports[name]["by_moves"]]
    axes.plot(range(len(shares)), shares, color=colour, marker=".", label=f"{name[:-2]}, answering after so many moves")
if "stay-1" in reports:
    axes.plot(0, 100 * reports["stay-1"]["accuracy"], "s", color="black", label="stay")
for name, colour in COLOURS.items():
    if name in reports:
        moves, accuracy = reports[name]["mean_moves"], 100 * reports[name]["accuracy"]
        axes.plot(moves, accuracy, "o", color=colour, label=f"{name[:-2]}, where it stops: {accuracy:.1f}")
ceiling = [100 * share for share in reports["clipped-linear-1"]["ceiling"]]
axes.plot(range(len(ceiling)), ceiling, "--", color="black", linewidth=0.8, label="all-knowing")
axes.set(xlabel="moves (mean)", ylabel="test accuracy (%)", ylim=(55, 101))
axes.spines[["top", "right"]].set_visible(False)
axes.grid(alpha=0.3)
axes.legend(frameon=False, fontsize=8, loc="lower right")
axes.figure.savefig(HERE / "moves.png", dpi=130)
