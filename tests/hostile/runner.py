"""Give a command line a hostile input, and see that it answers as it should.

It must end with status 0 or 2 and at most one line of complaint, without a traceback, without control characters for
the terminal, in bounded time and memory; and run, import, start or open nothing that a file names.
"""

import contextlib
import io
import resource
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from irrl.cli import main

SECONDS, BYTES = 2, 500_000_000
"""Within which a command answers, and by which it grows."""

SLOW_MACHINE = 10
"""By how much longer it may take where other tests run at the same time."""

COMPILING = 3
"""And by how much longer still if it was no refusal: it may have had to compile a training."""

FORBIDDEN_EVENTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"}
OUR_READER = ("-P", "-m", "irrl.digits.picture")
"""Pictures are read in a process of its own."""
FORBIDDEN_MODULES = {"evil", "antigravity", "this", "unittest.__main__", "webbrowser"}
FORBIDDEN_PATHS = ("/etc/passwd", "/etc/hostname", "stolen")
"""That hostile files name."""


class Case(NamedTuple):
    """A hostile input, already on the disk, and a command line that reads it."""

    name: str
    words: Sequence[object]


class Answer(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str
    seconds: float
    grown: int
    """bytes by which the process became larger than it had ever been"""
    warned: list[str]
    """Python's own warnings, which the user would see among what is said"""


_seen: list[str] = []
_listening = False


def _audit(event: str, arguments: tuple) -> None:
    if not _listening:
        return
    if event == "subprocess.Popen" and tuple(arguments[1][1:4]) == OUR_READER:
        return
    if event in FORBIDDEN_EVENTS:
        _seen.append(f"{event} {arguments[:1]}")
    elif event == "import" and arguments[0] in FORBIDDEN_MODULES:
        _seen.append(f"import {arguments[0]}")
    elif event == "open" and isinstance(arguments[0], str) and arguments[0].endswith(FORBIDDEN_PATHS):
        _seen.append(f"open {arguments[0]}")


sys.addaudithook(_audit)


def answer(words: Sequence[object]) -> Answer:
    """Run a command line in this process."""
    global _listening  # noqa: PLW0603
    _seen.clear()
    out, err = io.StringIO(), io.StringIO()
    before, began = _peak(), time.perf_counter()
    _listening = True
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(record=True) as caught,
        ):
            main([str(word) for word in words])
    except SystemExit as exit:
        status = exit.code
    finally:
        _listening = False
    warned = [str(warning.message) for warning in caught]
    return Answer(status, out.getvalue(), err.getvalue(), time.perf_counter() - began, _peak() - before, warned)


def check(case: Case) -> Answer:
    """Assert that a command answers a case as it should."""
    try:
        found = answer(case.words)
    except BaseException as error:
        raise AssertionError(f"{case.name}: {case.words} ended in a traceback") from error
    said = f"{case.name}: {case.words}: {found}"
    assert found.status in (0, 2), said
    complaints = [line for line in found.err.splitlines() if line.startswith(("irrl: ", "seed 1: "))]
    assert len(complaints) == (found.status == 2), said
    assert all(each.isprintable() or each in "\n\t" for each in found.out + found.err), said
    assert "Traceback" not in found.err, said
    assert not found.warned, said
    assert not _seen, f"{said}: {_seen}"
    assert found.seconds < SECONDS * SLOW_MACHINE * (1 if found.status else COMPILING), said
    assert found.grown < BYTES, said
    return found


def check_all(cases: Iterator[Case], most: int) -> None:
    """Check the first `most` cases; some must have been refused, or nothing was hostile."""
    answers = [check(case) for case in islice(cases, most)]
    assert any(found.status == 2 for found in answers)


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def evil_module(folder: Path) -> None:
    """Put a module `evil` there, which leaves a file `stolen` when it is imported."""
    (folder / "evil.py").write_text(
        "from pathlib import Path\nfrom irrl.rewards import Linear as R\nPath(__file__).with_name('stolen').touch()\n"
    )
