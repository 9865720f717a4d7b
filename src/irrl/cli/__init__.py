"""The command line. JAX is imported only by the commands that compute."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from cyclopts import App, CycloptsError

import irrl
from irrl.cli.helping import HELP_FLAGS, epilogue, typed
from irrl.cli.surroundings import settle
from irrl.cli.task_app import app_of
from irrl.errors import UserError, complaint, fields_as_flags, one_line
from irrl.registry import BUILT_IN, find, registered

app = App(
    name="irrl",
    version=irrl.__version__,
    help="Internally rewarded reinforcement learning: a policy paid by a discriminator trained on its own behaviour.",
    help_flags=HELP_FLAGS,
    help_epilogue=epilogue("skills train --preset demo --out runs/demo"),
)
app.command(
    "irrl.cli.reporting:report_command",
    name="report",
    help="Make a page of runs of any task: one HTML file.",
    help_epilogue=epilogue("report runs/demo --open"),
)
for _name in registered():
    if _name in app:  # a package cannot take the name of a command of ours
        continue
    # What comes with irrl is quick to import; what others wrote is not imported for its help.
    _help = find(_name).help if _name in BUILT_IN else "A task of an installed package."
    app.command(f"irrl.cli.tasks:{_name}", name=_name, help=_help)
app.command("irrl.cli.studies:app", name="study", help="Train whole figures from files, anywhere, and check them.")

OUT_OF_MEMORY = "not enough memory: make a batch, the network or the data smaller"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; what the user got wrong is one line on stderr and exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with fields_as_flags(), typed(arguments):
        status = _run(arguments)
    sys.exit(status or 0)


def _run(arguments: Sequence[str]) -> Any:
    settle()
    try:
        _add_own(arguments)
        status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        status = _closed()
    except SystemExit as error:  # Rich makes one of a broken pipe
        status = _closed() if isinstance(error.__context__, BrokenPipeError) else error.code
    except (UserError, CycloptsError, OSError, MemoryError) as error:
        status = _say(_in_words(error))
    except RuntimeError as error:  # JAX's own out-of-memory error is one
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        status = _say(OUT_OF_MEMORY)
    return status


def _add_own(arguments: Sequence[str]) -> None:
    """Let `module:ATTRIBUTE` be a command: a task that the user has written."""
    if arguments and ":" in arguments[0] and arguments[0] not in app:
        app.command(app_of(find(arguments[0]), arguments[0]), name=arguments[0])


def _in_words(error: BaseException) -> str:
    if isinstance(error, UserError):
        return complaint(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or OUT_OF_MEMORY


def _say(message: str) -> int:
    """Say in one line what is wrong; the exit status."""
    try:
        print(f"irrl: {one_line(message)}", file=sys.stderr)
    except OSError:
        return _closed()
    return 2


def _closed() -> int:
    """Nobody reads on, as after `| head -1`: end without a word, with the status that a shell gives for SIGPIPE."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # at its end Python flushes them once more
            os.dup2(nowhere, stream.fileno())
    return 128 + 13
