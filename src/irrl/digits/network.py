"""Moved: what was here is in `irrl.digits.networks`, or in a module that it names."""

from irrl.lazy import moved

__getattr__ = moved(__name__, "irrl.digits.networks", "irrl.digits.episode", "irrl.digits.fast", "irrl.digits.search")
