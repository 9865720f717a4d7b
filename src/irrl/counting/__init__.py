"""The third task: a robot walks round a table until it knows how many cubes of a kind are on it."""

from typing import TYPE_CHECKING

from irrl.lazy import lazily

if TYPE_CHECKING:
    from irrl.counting.config import PRESETS, Config, preset
    from irrl.counting.evaluate import Agent
    from irrl.counting.training import train

__all__ = ["PRESETS", "Agent", "Config", "preset", "train"]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "Agent": "irrl.counting.evaluate",
        "Config": "irrl.counting.config",
        "PRESETS": "irrl.counting.config",
        "preset": "irrl.counting.config",
        "train": "irrl.counting.training",
    },
)
