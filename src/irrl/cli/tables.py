"""Tables on a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table


def text_console(**options: Any) -> Console:
    """What is shown may be a stranger's: it is text, and no markup."""
    return Console(markup=False, highlight=False, emoji=False, **options)


def print_wide(drawn: Table) -> None:
    """Print a table. On a narrow terminal, or none: better long lines than a column left out."""
    console = text_console()
    console.width = max(console.width, console.measure(drawn, options=console.options.update(width=1000)).maximum)
    console.print(drawn)
