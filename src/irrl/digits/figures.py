"""Moved: what was here is in `irrl.figures`."""

from irrl.lazy import moved

__getattr__ = moved(__name__, "irrl.figures")
