"""What trainings show while they run: a live line each in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from irrl.listeners import Listener

SMOOTHING = 0.1
"""Weight of the latest pace in the one that the time left is told by: a validation is no change of pace."""


class ProgressLines:
    """The lines of all trainings of a command."""

    def __init__(self, *, seconds_between: float | int = 0):
        """`seconds_between`: plain lines of one training are at least so far apart, but for its last."""
        self._seconds_between = seconds_between
        self._lines = 0
        self._bars = None
        if sys.stderr.isatty():
            columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True)
            self._bars = Progress(*columns, console=Console(stderr=True))

    def line(self, describe: Callable[[dict[str, Any]], str]) -> Listener:
        """A training's line.

        Args:
            describe: a row of metrics in a few words.
        """
        self._lines += 1
        if self._bars and self._lines == 1:
            self._bars.start()
        return _Line(describe, self, self._bars, self._seconds_between)

    def close_one(self) -> None:
        """Leave the lines as they stand once every training is over."""
        self._lines -= 1
        if self._bars and not self._lines:
            self._bars.stop()


class _Line(Listener):
    def __init__(
        self,
        describe: Callable[[dict[str, Any]], str],
        lines: ProgressLines,
        bars: Progress | None,
        seconds_between: float | int,
    ):
        self._describe, self._lines, self._bars, self._seconds_between = describe, lines, bars, seconds_between
        self._task = bars.add_task("compiling", total=None) if bars else None
        self._last: tuple[float, int] | None = None
        self._printed = float("-inf")
        self._seconds_per_step = 0.0
        self._steps_left = 0

    def progress(self, step: int, steps: int) -> None:
        """Move the bar, and measure the pace for the time left."""
        now = time.monotonic()
        if self._last and step > self._last[1]:
            latest = (now - self._last[0]) / (step - self._last[1])
            weight = SMOOTHING if self._seconds_per_step else 1
            self._seconds_per_step += weight * (latest - self._seconds_per_step)
        self._last, self._steps_left = (now, step), steps - step
        if self._bars and self._task is not None:
            self._bars.update(self._task, completed=step, total=steps)

    def log(self, row: dict[str, Any]) -> None:
        """Show a row."""
        now = time.monotonic()
        if self._bars and self._task is not None:
            self._bars.update(self._task, description=self._describe(row))
        elif now - self._printed >= self._seconds_between or not self._steps_left:
            self._printed = now
            left = duration(self._steps_left * self._seconds_per_step)
            sys.stderr.write(f"{self._describe(row)}  {left} left\n")  # at once: seeds side by side write lines, too
            sys.stderr.flush()

    def close(self) -> None:
        """Leave the line as it stands."""
        self._lines.close_one()


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
