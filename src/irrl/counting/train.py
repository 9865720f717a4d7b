"""Moved: what was here is in `irrl.counting.training`."""

from irrl.lazy import moved

__getattr__ = moved(__name__, "irrl.counting.training")
