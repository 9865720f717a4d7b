"""Moved: what was here is in `irrl.digits.networks`, `irrl.digits.ram`, `irrl.digits.episode`."""

from irrl.lazy import moved

__getattr__ = moved(__name__, "irrl.digits.networks", "irrl.digits.ram", "irrl.digits.episode")
