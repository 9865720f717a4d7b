"""What our environments take as actions."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from irrl.errors import UserError


def check_actions(actions: Any, names: Sequence[str], number: int | None = None) -> Int64[np.ndarray, "*number"]:
    """Actions as an array, after a look at them.

    Args:
        actions: integers of any integer type, NumPy's or another library's.
        names: of the actions, in the order of their numbers.
        number: of environments that act; None for a single one, whose action has no axes.

    Raises:
        UserError: they are no integers (booleans and whole floats are not), too many or too few, or out of range.
    """
    try:
        array = np.asarray(actions)
    except (TypeError, ValueError, RuntimeError):  # ragged lists, tensors that are not the processor's
        array = np.array(None)
    wanted = () if number is None else (number,)
    if array.dtype.kind in "iu" and array.shape == wanted and ((array >= 0) & (array < len(names))).all():
        return array.astype(np.int64)
    *others, last = (f"{value} ({name})" for value, name in enumerate(names))
    raise UserError(
        f"{'action is' if number is None else 'actions are'} {shown(actions)}; give "
        f"{', '.join(others)} or {last}{'' if number is None else f' for each of {number}'}"
    )


def shown(value: object) -> str:
    """A value as it stands in a message of one line."""
    return textwrap.shorten(repr(value), 80)
