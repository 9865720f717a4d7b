"""The second task: unsupervised skill discovery in four rooms."""

from typing import TYPE_CHECKING

from irrl.lazy import lazily

if TYPE_CHECKING:
    from irrl.skills.agent import Agent
    from irrl.skills.config import PRESETS, Config, preset
    from irrl.skills.training import train

__all__ = ["PRESETS", "Agent", "Config", "preset", "train"]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "Agent": "irrl.skills.agent",
        "Config": "irrl.skills.config",
        "PRESETS": "irrl.skills.config",
        "preset": "irrl.skills.config",
        "train": "irrl.skills.training",
    },
)
