"""What is named as text, `package.module:attribute`: tasks, their parts, and rewards of one's own."""

import importlib
import operator
import os
import sys
from typing import Any


def resolve(reference: str) -> Any:
    """What `package.module:attribute` names; dots lead to an attribute's attributes.

    Raises:
        ImportError, AttributeError: it cannot be imported, or is not there. A module may raise anything else.
    """
    module, _, attribute = reference.partition(":")
    return operator.attrgetter(attribute)(importlib.import_module(module))


def resolve_typed(reference: str) -> Any:
    """`resolve`, for what the user typed: its module is also looked for in the current directory.

    Never for a name out of a file: a stranger may have named any code.
    """
    # A console script, unlike `python -m`, does not look in the current directory; last, so that it shadows nothing.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return resolve(reference)
