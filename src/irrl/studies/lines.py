"""Where a value stands in a TOML file, for complaints: Python's own reader does not say."""

import re
from collections.abc import Sequence

HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w.-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=""")
PART = re.compile(r""""([^"]*)"|'([^']*)'|([\w-]+)""")


def line_of(text: str, where: Sequence[str | int]) -> int:
    """The number of the line at which a value begins, or the nearest of those that it lies in.

    Args:
        where: keys from the outside in, and numbers in arrays of tables: `("curve", 0, "settings", "epochs")`.
    """
    wanted, best, found = [each for each in where], 1, 0
    for number, path in _paths(text):
        common = next((i for i, (a, b) in enumerate(zip(path, wanted, strict=False)) if a != b), None)
        length = min(len(path), len(wanted)) if common is None else 0
        # A table that lies deeper than what is looked for is not it.
        if length > found and len(path) <= len(wanted):
            best, found = number, length
    return best


def _paths(text: str) -> list[tuple[int, list[str | int]]]:
    """(number of a line, where the table or the value is that begins there)."""
    counts: dict[str, int] = {}
    table: list[str | int] = []
    paths = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            parts = _parts(header[2])
            table = list(parts)
            if header[1] == "[[":
                counts[header[2]] = counts.get(header[2], -1) + 1
                table = [*parts, counts[header[2]]]
            elif parts[:1] and str(parts[0]) in counts:  # a table inside the newest of an array
                table = [parts[0], counts[str(parts[0])], *parts[1:]]
            paths.append((number, table))
        elif key := KEY.match(line):
            paths.append((number, [*table, *_parts(key[1])]))
    return paths


def _parts(dotted: str) -> list[str | int]:
    return [next(each for each in (*found, "") if each or each == found[-1]) for found in PART.findall(dotted)]
