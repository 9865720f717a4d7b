"""Packages that only some uses need."""

import importlib
from typing import Any

from irrl.errors import UserError


def import_extra(module: str, extra: str) -> Any:
    """Import a package of one of the extras.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"{module} is not installed: pip install 'irrl[{extra}]'") from error
