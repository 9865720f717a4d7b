"""Who hears what a training reports: the command line's progress line, TensorBoard, Weights & Biases."""

import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from irrl.errors import reason, warn
from irrl.extras import import_extra
from irrl.files import read_file, replace_file

SECONDS_TO_ANSWER = 20
"""How long Weights & Biases may take to start, and at the end to send what is left."""


class Listener:
    """Hears what a training reports, and shows or sends it: a progress line, TensorBoard, W&B."""

    def log(self, row: dict[str, Any]) -> None:
        """Hear one row of metrics."""

    def progress(self, step: int, steps: int) -> None:
        """Hear that `step` of `steps` are done."""

    def close(self) -> None:
        """Hear that the run is over."""


class Logger(Listener, ABC):
    """Writes or sends rows elsewhere. Whatever goes wrong there is said once, and training goes on without it."""

    name: str
    """as the user knows it"""
    _failed = False

    def log(self, row: dict[str, Any]) -> None:
        self._attempt(self._write, row)

    def close(self) -> None:
        self._attempt(self._finish)

    @abstractmethod
    def _write(self, row: dict[str, Any]) -> None:
        """Write or send a row; may raise anything."""

    @abstractmethod
    def _finish(self) -> None:
        """Write or send what is left; may raise anything."""

    def _attempt(self, do: Callable[..., None], *arguments: Any) -> None:
        if self._failed:
            return
        try:
            do(*arguments)
        except Exception as error:
            self._failed = True
            warn(f"{self.name}: {reason(error).rstrip('.')}; training goes on without it")


class TensorBoardListener(Logger):
    """Writes every number of a row to TensorBoard, under the folder's `tensorboard`; needs the extra `tensorboard`."""

    name = "TensorBoard"

    def __init__(self, folder: Path):
        self._module = import_extra("tensorboardX", "tensorboard")
        self._folder = folder / "tensorboard"
        self._writer = None

    def _write(self, row: dict[str, Any]) -> None:
        step, proto = row["step"], self._module.proto.event_pb2
        if self._writer is None:
            # Not a SummaryWriter: on a full disk its thread dies, and the training would wait for that for ever.
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = self._module.event_file_writer.EventsWriter(str(self._folder / "events"), f".{step}")
            # What a killed training wrote from this step on is hidden: it is written again now.
            started = proto.SessionLog(status=proto.SessionLog.START)
            self._writer.write_event(proto.Event(step=step, wall_time=time.time(), session_log=started))
        for name, number in row.items():
            if name != "step" and isinstance(number, int | float):
                summary = self._module.summary.scalar(name, number)
                self._writer.write_event(proto.Event(step=step, wall_time=time.time(), summary=summary))
        self._writer.flush()

    def _finish(self) -> None:
        if self._writer is not None:
            self._writer.close()


class WandbListener(Logger):
    """Sends rows to Weights & Biases; needs the extra `wandb`.

    Offline unless logged in, and where the server cannot be reached; the environment variable WANDB_MODE overrides the
    former. The W&B run's id is kept in the folder, so a resumed training goes on in the same W&B run.
    """

    name = "Weights & Biases"

    def __init__(self, folder: Path, config: dict[str, Any], project: str = "irrl"):
        self._wandb = import_extra("wandb", "wandb")
        self._known = folder, config, project
        self._run: Any = None  # W&B's; there is none before the first row

    def _start(self, folder: Path, config: dict[str, Any], project: str) -> Any:
        id_file = folder / "wandb-id.txt"
        if not id_file.exists():
            replace_file(id_file, secrets.token_hex(4).encode())
        run_id = read_file(id_file, 100).decode()
        known = {"project": project, "dir": str(folder), "id": run_id, "resume": "allow", "config": config}
        bounds = dict.fromkeys(("init_timeout", "login_timeout", "finish_timeout"), SECONDS_TO_ANSWER)
        start = partial(self._wandb.init, **known, settings=self._wandb.Settings(**bounds))
        try:
            online = "WANDB_MODE" in os.environ or self._wandb.login(prompt=False, verify=False)
            return start(mode=None if online else "offline")
        except Exception as error:
            warn(f"{self.name}: {reason(error).rstrip('.')}; the run is kept offline, for `wandb sync` to send later")
            self._wandb.teardown()  # what failed to start still holds the run's id
            return start(mode="offline")

    def _write(self, row: dict[str, Any]) -> None:
        if self._run is None:
            self._run = self._start(*self._known)
        self._run.log(row, step=row["step"])

    def _finish(self) -> None:
        if self._run is not None:
            self._run.finish()
