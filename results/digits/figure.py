"""Collect paper-preset runs into this folder and draw them beside the published curve.

    python results/digits/figure.py RUNS_FOLDER

takes the finished RUNS_FOLDER/{paper,fast,ram8}*-*, copies config, environment and metrics of each here, and writes
paper-preset.png and the table of summary.json from paper-{leak,stop}-{1,2,3}.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from irrl.digits.curves import published
from irrl.run import read_rows

HERE = Path(__file__).parent
NAMES = {"leak": ("reward not detached, as the authors' code", "#0a64d8"), "stop": ("reward detached", "#248a3d")}


def collect(runs: Path) -> None:
    for source in sorted(path for name in ("paper", "fast", "ram8") for path in runs.glob(f"{name}*-*")):
        rows = read_rows(source / "metrics.jsonl")
        if not rows or rows[-1]["epoch"] < json.loads((source / "config.json").read_text())["config"]["epochs"]:
            continue  # still training
        folder = HERE / source.name
        folder.mkdir(exist_ok=True)
        for name in ("config.json", "metrics.jsonl"):
            shutil.copy(source / name, folder / name)
        starts = json.loads((source / "environment.json").read_text())
        for start in starts:  # which folder the code and the runs lay in is nobody's business
            words = [word.replace(str(runs.resolve()), "runs") for word in start["command"][1:]]
            start["command"] = ["irrl", *words]
        (folder / "environment.json").write_text(json.dumps(starts, indent=2) + "\n")


def main() -> None:
    if len(sys.argv) > 1:
        collect(Path(sys.argv[1]))
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    summary = {}
    for gradient, (label, color) in NAMES.items():
        runs = [read_rows(path / "metrics.jsonl") for path in sorted(HERE.glob(f"paper-{gradient}-*"))]
        epochs = min(len(rows) for rows in runs)
        accuracy = 100 * np.array([[row["validation_accuracy"] for row in rows[:epochs]] for rows in runs])
        steps = np.arange(1, epochs + 1)
        axes.plot(steps, accuracy.mean(0), color=color, label=f"{label}: mean of {len(runs)} seeds")
        axes.fill_between(steps, accuracy.min(0), accuracy.max(0), color=color, alpha=0.2, linewidth=0)
        summary[gradient] = {
            "epoch": epochs,
            "validation_accuracy_percent": [round(float(value), 2) for value in accuracy[:, -1]],
            "mean": round(float(accuracy[:, -1].mean()), 2),
        }
    paper = published("ram")["clipped-linear"]
    shown = paper.at <= 100
    axes.plot(
        paper.at[shown],
        100 * paper.score[shown],
        "k--o",
        markersize=4,
        label="published mean, read off the plot",
    )
    axes.set(xlabel="epoch", ylabel="validation accuracy (%)", ylim=(0, 60), xlim=(0, 102))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(HERE / "paper-preset.png", dpi=140)
    (HERE / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
