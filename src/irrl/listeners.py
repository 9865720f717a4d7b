"""Who hears what a training reports: the command line's progress line, TensorBoard, Weights & Biases."""

import os
import secrets
from pathlib import Path
from typing import Any

from irrl.extras import import_extra
from irrl.files import replace_file


class Listener:
    """Hears what a training reports, and shows or sends it: a progress line, TensorBoard, W&B."""

    def log(self, row: dict[str, Any]) -> None:
        """Hear one row of metrics."""

    def progress(self, step: int, steps: int) -> None:
        """Hear that `step` of `steps` are done."""

    def close(self) -> None:
        """Hear that the run is over."""


class TensorBoardListener(Listener):
    """Writes every number of a row to TensorBoard, under the folder's `tensorboard`; needs the extra `tensorboard`."""

    def __init__(self, folder: Path):
        self._module = import_extra("tensorboardX", "tensorboard")
        self._folder = folder / "tensorboard"
        self._writer = None

    def log(self, row: dict[str, Any]) -> None:
        """Write the row's numbers."""
        if self._writer is None:
            # What a killed training wrote from this step on is hidden: it is written again now.
            first = row["step"]
            self._writer = self._module.SummaryWriter(str(self._folder), purge_step=first, filename_suffix=f".{first}")
        for name, number in row.items():
            if name != "step" and isinstance(number, int | float):
                self._writer.add_scalar(name, number, row["step"])

    def close(self) -> None:
        """Write out what is still in memory."""
        if self._writer is not None:
            self._writer.close()


class WandbListener(Listener):
    """Sends rows to Weights & Biases; needs the extra `wandb`.

    Offline unless logged in; the environment variable WANDB_MODE overrides that. The W&B run's id is kept in the
    folder, so a resumed training goes on in the same W&B run.
    """

    def __init__(self, folder: Path, config: dict[str, Any], project: str = "irrl"):
        wandb = import_extra("wandb", "wandb")
        id_file = folder / "wandb-id.txt"
        if not id_file.exists():
            replace_file(id_file, secrets.token_hex(4).encode())
        online = "WANDB_MODE" in os.environ or wandb.login(prompt=False, verify=False)
        settings = {"project": project, "dir": str(folder), "id": id_file.read_text(), "resume": "allow"}
        self._run = wandb.init(**settings, config=config, mode=None if online else "offline")

    def log(self, row: dict[str, Any]) -> None:
        """Send the row."""
        self._run.log(row, step=row["step"])

    def close(self) -> None:
        """Send what is left, and end the W&B run."""
        self._run.finish()
