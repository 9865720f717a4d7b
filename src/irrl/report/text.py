"""Bounds of what a report shows: run folders may be a stranger's."""

import math
from typing import Any

from irrl.errors import printable, shortened

MOST_TEXT = 300
"""Characters of a setting, a label or a name."""
MOST_NAMES = 300
"""Entries of a mapping or a list, except of numbers."""
MOST_DEPTH = 12


def bounded(value: Any, depth: int = MOST_DEPTH) -> Any:
    """JSON values as a page may hold them: text printable and not too long, numbers finite or None."""
    if isinstance(value, str):
        return shortened(printable(value), MOST_TEXT)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict) and depth:
        return {bounded(str(name)): bounded(each, depth - 1) for name, each in list(value.items())[:MOST_NAMES]}
    if isinstance(value, list | tuple) and depth:
        return [bounded(each, depth - 1) for each in value[:MOST_NAMES]]
    return "..."
