"""What a training shows while it runs: one live line in a terminal, a plain line an epoch elsewhere."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from irrl.listeners import Listener


class ProgressLine(Listener):
    """Epoch, accuracy, reward, images per second and time left."""

    def __init__(self, epochs: int):
        self._epochs = epochs
        self._last: tuple[float, int] | None = None
        self._seconds_per_step = 0.0
        self._steps_left = 0
        self._bar = None
        if sys.stderr.isatty():
            columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True)
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("compiling", total=None)
            self._bar.start()

    def progress(self, step: int, steps: int) -> None:
        """Move the bar, and measure the pace for the time left."""
        now = time.monotonic()
        if self._last and step > self._last[1]:
            self._seconds_per_step = (now - self._last[0]) / (step - self._last[1])
        self._last, self._steps_left = (now, step), steps - step
        if self._bar:
            self._bar.update(self._task, completed=step, total=steps)

    def log(self, row: dict[str, Any]) -> None:
        """Show an epoch's row."""
        text = f"epoch {row['epoch']}/{self._epochs}  accuracy {row['accuracy']:.1%}"
        if "validation_accuracy" in row:
            text += f"  validation {row['validation_accuracy']:.1%}"
        text += f"  reward {row['reward']:.3f}  {row['images_per_second']:,.0f} images/s"
        if self._bar:
            self._bar.update(self._task, description=text)
        else:
            print(f"{text}  {_duration(self._steps_left * self._seconds_per_step)} left", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the line as it stands."""
        if self._bar:
            self._bar.stop()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
