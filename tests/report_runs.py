"""Run folders with made-up metrics, and a task whose samples cost nothing: reports are tested without training."""

import dataclasses
import json
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from bandit import TASK as BANDIT
from irrl import checkpoint
from irrl.digits.config import preset
from irrl.figures import Picture

HOSTILE = (
    "</script><script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=1> ${1} {{7*7}} \u202e é漢\ud800"
)


def sample(path: Path) -> Picture:
    """A grey square, the lighter the later."""
    pull = checkpoint.load_state(path)["pull"]
    content = BytesIO()
    Image.new("L", (40, 30), pull % 256).save(content, "WEBP")
    return Picture(content.getvalue(), (40, 30), f"what it does after {pull} pulls")


TASK = dataclasses.replace(BANDIT, sample="report_runs:sample")
"""The bandit of docs/extending.md, with samples."""


def write_digits(folder: Path, accuracy, more=None, starts=(), **settings) -> Path:
    """A run of digits with these validation accuracies from epoch 1 on, and what else rows and config shall say."""
    config = dataclasses.asdict(preset("paper", **settings))
    rows = [
        {"step": 211 * epoch, "epoch": epoch, "validation_accuracy": each, "reward": each / 2, "loss": -each}
        for epoch, each in enumerate(np.asarray(accuracy).tolist(), start=1)
    ]
    return write(folder, "digits", config | (more or {}), rows, starts)


def write(folder: Path, task: str, config: dict, rows: list[dict], starts=()) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"task": task, "config": config}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if starts:
        (folder / "environment.json").write_text(json.dumps(list(starts)))
    return folder


def write_bandit(folder: Path, seed: int = 1, kept=(100, 200, 300), **settings) -> Path:
    """A run of the bandit with a checkpoint at each of these pulls."""
    config = dataclasses.asdict(BANDIT.config(seed=seed, **settings))
    rows = [{"step": pull, "pull": pull, "reward": 0.1, "told_apart": min(1.0, pull / 300)} for pull in kept]
    write(folder, BANDIT.name, config, rows)
    for pull in kept:
        state = {"task": BANDIT.name, "config": config, "pull": pull, "step": pull}
        checkpoint.save(folder / f"pull-{pull:06}.safetensors", {"logits": np.zeros((2, 2))}, state)
    return folder


def start_of(*words: str) -> dict:
    """What environment.json says of a start."""
    return {
        "started": "2026-01-02T03:04:05+00:00", "command": ["/usr/bin/irrl", *words], "git_commit": "0" * 40,
        "versions": {"python": "3.11.7", "irrl": "0.2.0"}, "system": "Linux", "cpu": "a processor", "cores": 2,
        "memory_bytes": 8 << 30, "devices": ["cpu: cpu"],
    }  # fmt: skip
