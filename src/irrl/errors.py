"""What is said to the user: the one exception that they can cause, and lines on stderr."""

import re
import sys
import textwrap
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_MESSAGE = 2_000
"""Characters: it may quote a file."""


FIELD = re.compile(r"(?<![\w'\"/`])`([a-z][a-z0-9_]*)(?:=([^`]*))?`(?![\w'\"/`])")
"""A setting in a message; but not what is quoted, or part of a path: there it is somebody's own text."""

_AS_FLAGS: list[bool] = []
"""Not empty on the command line."""


class UserError(ValueError):
    """Something the user asked for cannot be done.

    The message is one line: what is wrong, where, and what would be right. A setting stands there in backticks, alone
    or with its value: `seed`, `seed=3`. The command line prints it with flags instead, and exits with status 2; a
    library caller catches it like any `ValueError`.
    """


def is_printable(text: str) -> bool:
    """Whether a terminal shows it and no more. Python takes spaces other than the usual one for control characters."""
    return text.isprintable() or all(each.isprintable() or unicodedata.category(each) == "Zs" for each in text)


def printable(text: object) -> str:
    """`text` with control characters escaped: what a stranger's file says must not steer the terminal."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(each if each in "\n\t" or is_printable(each) else ascii(each)[1:-1] for each in text)


def one_line(text: object) -> str:
    """`text` as a line of bearable length; of a longer one, its beginning and its end."""
    line = printable(" ".join(str(text).split()))
    if len(line) <= LONGEST_MESSAGE:
        return line
    return f"{line[: LONGEST_MESSAGE // 2]} ... {line[-LONGEST_MESSAGE // 2 :]}"


def as_flags(message: str) -> str:
    """A message whose settings are written as on the command line: --seed, --seed 3."""
    return FIELD.sub(lambda found: " ".join(filter(None, ("--" + found[1].replace("_", "-"), found[2]))), message)


@contextmanager
def fields_as_flags() -> Iterator[None]:
    """Meanwhile, and in all threads, what is said on stderr is said as on the command line."""
    _AS_FLAGS.append(True)
    try:
        yield
    finally:
        _AS_FLAGS.pop()


def complaint(message: object) -> str:
    """A message for stderr: a line, in which settings are flags if the user gave them as flags."""
    line = one_line(message)
    return as_flags(line) if _AS_FLAGS else line


def shortened(text: str, most: int = 80) -> str:
    """`text` as part of a message: its beginning, if it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[:most]}..."


def say(text: object) -> None:
    """Print a result. A path or a name in it may be a stranger's."""
    print(printable(text))


def warn(message: object) -> None:
    """Say on stderr, in one line, what goes on in another way than the user may think."""
    print(f"warning: {complaint(message)}", file=sys.stderr)


def reason(error: BaseException) -> str:
    """What an error of somebody else's code says, in one line of bearable length.

    JAX puts a whole traceback into some: of these, the last line.
    """
    said = str(error).strip()
    if "Traceback (most recent call last)" in said:
        said = said.splitlines()[-1]
    return textwrap.shorten(f"{type(error).__name__}: {said}", 300, placeholder=" ...")
