"""Internally rewarded reinforcement learning: policies paid by a discriminator trained on their own behaviour."""

from importlib import import_module
from typing import TYPE_CHECKING

import irrl.forks  # noqa: F401  a fork is seen by who was there before it

if TYPE_CHECKING:
    from irrl import rewards
    from irrl.errors import UserError
    from irrl.loading import load

__all__ = ["UserError", "__version__", "load", "rewards"]
__version__ = "0.2.0"

_HOME = {"UserError": "irrl.errors", "load": "irrl.loading", "rewards": "irrl.rewards"}


def __getattr__(name: str):
    """Import public names when they are first used: `irrl --help` must not wait for JAX."""
    if name not in _HOME:
        raise AttributeError(f"module 'irrl' has no attribute {name!r}")
    module = import_module(_HOME[name])
    return module if name == "rewards" else getattr(module, name)
