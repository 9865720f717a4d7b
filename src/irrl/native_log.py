"""A process that stands before the terminal: it says one line where JAX dumps many as it aborts.

JAX ends a process whose peer is gone with a stack trace of C++, and nothing in the process itself can keep it from
that. So what compiled code writes to standard error goes through a process of its own: this file, run as a script with
the two sentences that it may have to say. It imports nothing of irrl, to be there in no time.
"""

import re
import sys
from collections.abc import Iterable, Iterator

GONE = "irrl: another process is gone"
"""What the process itself writes when it finds out first."""

LEAVES = "irrl: this process leaves"
"""What it writes when it has said itself why it ends: nothing that comes after is to be seen."""

_MESSAGE = re.compile(r"[IWEF]\d{4} [\d:.]+ +\d+ (\S+)\.(?:cc|h):\d+\] (.*)")
"""The first line of a message of JAX's compiled part: in which file it arose, and what it says."""

_OF_THE_SERVICE = ("coordination_service", "preemption_sync", "distributed_runtime", "grpc", "client", "service")


def relayed(lines: Iterable[str], gone: str, nobody: str) -> Iterator[str]:
    """The lines that are to be seen.

    Args:
        gone: what to say where another process is gone.
        nobody: what to say where the processes never came together.
    """
    drops = False
    for line in lines:
        if line.startswith(LEAVES):
            return
        found = _MESSAGE.match(line)
        if line.startswith(GONE) or (found and found[2].startswith("Polled an error")):
            yield gone
            return
        if found and found[2].startswith("Terminating process because the JAX distributed service"):
            yield nobody
            return
        if found or line.startswith("[Gloo]"):
            drops = not found or found[1].startswith(_OF_THE_SERVICE)
        if not drops:
            yield line
        drops = drops and not line.startswith("[Gloo]")


def main(gone: str, nobody: str) -> None:
    """Relay standard input to standard error until its end."""
    lines = (line.decode(errors="backslashreplace") for line in sys.stdin.buffer)
    for line in relayed(lines, gone + "\n", nobody + "\n"):
        sys.stderr.write(line)
        sys.stderr.flush()
    for _ in sys.stdin.buffer:  # the rest of the dump: unread, it would hold up its writer
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
