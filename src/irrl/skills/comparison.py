"""Moved: what was here is in `irrl.skills.curves`."""

from irrl.lazy import moved

__getattr__ = moved(__name__, "irrl.skills.curves")
