"""Hard visual attention: an agent that decides where to look on a cluttered canvas, and says which digit is there."""

from typing import TYPE_CHECKING

from irrl.lazy import lazily

if TYPE_CHECKING:
    from irrl.digits.config import PRESETS, Config, preset
    from irrl.digits.evaluate import Agent
    from irrl.digits.training import train

__all__ = ["PRESETS", "Agent", "Config", "preset", "train"]
__getattr__, __dir__ = lazily(
    __name__,
    {
        "Agent": "irrl.digits.evaluate",
        "Config": "irrl.digits.config",
        "PRESETS": "irrl.digits.config",
        "preset": "irrl.digits.config",
        "train": "irrl.digits.training",
    },
)
