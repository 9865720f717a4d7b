"""Several trainings at the same time, in threads: for those that compute outside Python's global lock."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from irrl.errors import UserError, complaint
from irrl.run import MemoryRun, Run

C = TypeVar("C")


def train_all(
    train: Callable[[C, Run], Any], configs: Sequence[C], open_run: Callable[[C], Run], threads: int
) -> list[UserError | OSError]:
    """Train several runs, as many at a time as there are threads; each ends as it would alone.

    Threads take one run after the other: so none waits for another at the end of a chunk, as the threads of one
    parallel loop over runs would. A run that fails says so on stderr, once where several fail alike, and the others go
    on. Ctrl-C stops all.

    Args:
        train: (config, run) -> anything.
        open_run: gives the run of a config when its turn comes.

    Returns:
        What the runs that failed failed with.
    """
    asked = MemoryRun()  # hears of Ctrl-C on behalf of all
    said: set[str] = set()

    def train_one(config: C) -> UserError | OSError | None:
        if asked.stop_requested:
            return None
        try:
            with open_run(config) as run:
                run.stops_with = asked
                train(config, run)
        except (UserError, OSError) as error:
            message = complaint(error)
            if message not in said:
                said.add(message)
                which = f"seed {getattr(config, 'seed', '')}: " if len(configs) > 1 else ""
                with suppress(OSError):
                    sys.stderr.write(f"irrl: {which}{message}\n")  # at once: others write lines too
            return error

    with asked.interruptible(), ThreadPoolExecutor(threads) as pool:
        return [error for error in pool.map(train_one, configs) if error]
