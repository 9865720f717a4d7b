"""Checks that the tasks' configs share, and presets. No JAX here: the command line reads configs to answer `--help`."""

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

from irrl.errors import UserError


def check_type(name: str, value: object, wanted: Any) -> None:
    """Refuse what Python would let pass and training would misread: a misspelt choice, 3.5 glimpses."""
    choices = get_args(wanted)
    if choices and value not in choices:
        raise UserError(f"unknown {flag(name)} {value!r}; choose one of {', '.join(choices)}")
    allowed = {int: int, float: (int, float), str: str}.get(wanted)
    if allowed and (not isinstance(value, allowed) or isinstance(value, bool)):
        raise UserError(f"{flag(name)} is {value!r}; it must be of type {wanted.__name__}")


def check_range(name: str, value: int, least: int, most: int = 2**31 - 1) -> None:
    """Refuse a number outside `least` to `most`."""
    if not least <= value <= most:
        raise UserError(f"{flag(name)} is {value}; it must be from {least} to {most}")


def flag(field: str) -> str:
    """How a field is written on the command line."""
    return "--" + field.replace("_", "-")


def preset_of(presets: Mapping[str, Any], name: str, overrides: Mapping[str, Any]) -> Any:
    """The preset called `name` with some fields changed.

    Raises:
        UserError: no such preset (the valid ones are listed), or a field's value is out of range.
    """
    if name not in presets:
        raise UserError(f"unknown preset {name!r}; choose one of {', '.join(presets)}")
    return dataclasses.replace(presets[name], **overrides)
