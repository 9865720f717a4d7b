"""Moved: what was here is in `irrl.digits.curves`."""

from irrl.lazy import moved

__getattr__ = moved(__name__, "irrl.digits.curves")
