"""A command in the process of an engine: for studies, which start the same commands as a user does."""

import os
import signal
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.5


def run_command(words: list[str], log: str, folder: str, path: str = "") -> int:
    """Run `irrl WORDS` here; its exit status.

    Args:
        log: file to which is added what it says.
        folder: where the user is: a task of his own is looked for there.
        path: his PYTHONPATH, where this process was not started with it.
    """
    from irrl.cli import main

    with suppress(OSError):
        os.chdir(folder)
    sys.path += [each for each in path.split(os.pathsep) if each and each not in sys.path]
    sys.argv = ["irrl", *words]  # as a run's folder records the command
    from irrl.files import open_log

    with open_log(Path(log)) as file, redirect_stdout(file), redirect_stderr(file):
        try:
            main(words)
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else 1
    return 0


def end_with(parent: int) -> None:
    """Ask this process to save and end, once its parent has ended: nobody would hear of it, or wait for it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """`python -m irrl.cli.worker PARENT WORD...`: `irrl WORD...`, which ends with its parent."""
    parent, *words = sys.argv[1:]
    end_with(int(parent))
    sys.argv = ["irrl", *words]
    from irrl.cli import main as irrl

    irrl(words)


if __name__ == "__main__":
    main()
