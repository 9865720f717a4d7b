"""The numbers that a report holds, read back from the file."""

from pathlib import Path
from typing import Any

from irrl.errors import UserError
from irrl.files import parse_json, read_file

FORMAT, VERSION = "irrl report", 1

START, END = b'<script type="application/json" id="numbers">', b"</script>"

MOST_BYTES = 64 << 20
"""Of a report that is read: films may be in it."""


def extract(path: Path) -> dict[str, Any]:
    """The numbers of a report, as JSON values.

    Nothing of the page is run. A stranger's report may hold any numbers: they are not checked beyond being JSON.

    Raises:
        UserError: it is missing, too large, damaged, no report of ours, or of a newer version.
    """
    try:
        content = read_file(path, MOST_BYTES)
    except OSError as error:
        raise UserError(f"{path}: cannot read this report: {error.strerror}") from error
    _, found, rest = content.partition(START)
    text, ended, _ = rest.partition(END)
    if not (found and ended):
        raise UserError(f"{path}: no report of irrl: there are no numbers in it")
    try:
        numbers = parse_json(text)
    except ValueError as error:  # of Unicode too
        raise UserError(f"{path}: damaged: its numbers are not JSON") from error
    if not isinstance(numbers, dict) or numbers.get("format") != FORMAT:
        raise UserError(f"{path}: no report of irrl: its numbers are of another kind")
    if numbers.get("version") != VERSION:
        raise UserError(f"{path}: report version {str(numbers.get('version'))[:60]!r}, this irrl reads {VERSION}")
    return numbers
