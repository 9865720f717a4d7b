"""Moved: what was here is in `irrl.skills.compiled_reward`."""

from irrl.lazy import moved

__getattr__ = moved(__name__, "irrl.skills.compiled_reward")
