"""The one exception a user can cause, and what is said on stderr."""

import sys
import textwrap
import unicodedata

LONGEST_MESSAGE = 2_000
"""Characters: it may quote a file."""


class UserError(ValueError):
    """Something the user asked for cannot be done.

    The message is one line: what is wrong, where, and what would be right. The command line prints it and exits
    with status 2; a library caller catches it like any `ValueError`.
    """


def is_printable(character: str) -> bool:
    """Whether a terminal shows it and no more. Python takes spaces other than the usual one for control characters."""
    return character.isprintable() or unicodedata.category(character) == "Zs"


def printable(text: object) -> str:
    """`text` with control characters escaped: what a stranger's file says must not steer the terminal."""
    return "".join(each if is_printable(each) or each in "\n\t" else ascii(each)[1:-1] for each in str(text))


def one_line(text: object) -> str:
    """`text` as a line of bearable length; of a longer one, its beginning and its end."""
    line = printable(" ".join(str(text).split()))
    if len(line) <= LONGEST_MESSAGE:
        return line
    return f"{line[: LONGEST_MESSAGE // 2]} ... {line[-LONGEST_MESSAGE // 2 :]}"


def shortened(text: str, most: int = 80) -> str:
    """`text` as part of a message: its beginning, if it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[:most]}..."


def say(text: object) -> None:
    """Print a result. A path or a name in it may be a stranger's."""
    print(printable(text))


def warn(message: object) -> None:
    """Say on stderr, in one line, what goes on in another way than the user may think."""
    print(f"warning: {one_line(message)}", file=sys.stderr)


def reason(error: BaseException) -> str:
    """What an error of somebody else's code says, in one line of bearable length.

    JAX puts a whole traceback into some: of these, the last line.
    """
    said = str(error).strip()
    if "Traceback (most recent call last)" in said:
        said = said.splitlines()[-1]
    return textwrap.shorten(f"{type(error).__name__}: {said}", 300, placeholder=" ...")
