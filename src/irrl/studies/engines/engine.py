"""Engines: what they do for the loop that hands them the runs of a study."""

import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, final

from irrl.errors import complaint
from irrl.locks import Owner, is_held, owner_of
from irrl.run import Run
from irrl.studies.progress import Progress, progress
from irrl.studies.study import Job

SECONDS_BETWEEN_LOOKS = 0.2
"""At what the engine says."""

SECONDS_BETWEEN_LOOKS_ELSEWHERE = 2.0
"""At runs that somebody else trains."""

ATTEMPTS = 2
"""At a run that gets no further, before it is given up."""


class Ended(NamedTuple):
    """A run that an engine trains no more."""

    job: Job
    reason: str
    """why, in words: for one that is not over"""
    take_over: bool = False
    """whether whoever trained it is known to be dead, so that its lock counts no more"""


class Engine(ABC):
    """Starts runs, and says which have ended. It neither repeats nor orders them: `train_all` does.

    A run's command goes on where it was, and does nothing where it is over. So an engine may lose one at any time.
    """

    jobs_stay: bool = False
    """whether what it started goes on when it is stopped"""

    @abstractmethod
    def room(self) -> int:
        """How many more runs it takes now."""

    @abstractmethod
    def start(self, jobs: Sequence[Job], *, take_over: frozenset[Path]) -> None:
        """Train these.

        Args:
            take_over: folders whose locks another host's dead process left.
        """

    @abstractmethod
    def ended(self) -> list[Ended]:
        """Those that ended since it was last asked, in whatever way."""

    @abstractmethod
    def stop(self) -> None:
        """Ask all to save and to end soon. Safe to call again."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything, now."""


def _stranger(folder: Path) -> Owner | None:
    """Who of another host holds a folder."""
    owner = owner_of(folder)
    return None if owner is None or owner.is_here else owner


@final
class Failure(NamedTuple):
    """A run that was given up."""

    job: Job
    reason: str


def train_all(
    jobs: Sequence[Job],
    engine: Engine,
    asked: Run,
    look: Callable[[Sequence[Progress]], None] = lambda all_of_them: None,
    *,
    take_over: bool = False,
) -> list[Failure]:
    """Train what is not over, in the order given, until everything is over or was given up.

    A run that crashes is tried again, and again as long as it gets further in between. What somebody else trains is
    waited for, and gone on with if it stops.

    Args:
        asked: when this is asked to stop, all runs save and end.
        look: is told how far everything is, now and then.
        take_over: whether locks of processes of other hosts count no more.

    Returns:
        What was given up.
    """
    waiting, running, elsewhere = list(jobs), set[Path](), list[Job]()
    failures: list[Failure] = []
    attempts, reached = Counter[Path](), dict[Path, int]()
    dead = {job.folder: _stranger(job.folder) for job in jobs} if take_over else dict[Path, Owner | None]()
    next_look = next_look_elsewhere = 0.0
    stopping = False

    def start() -> None:
        starting, taken = list[Job](), set[Path]()
        while waiting and len(starting) < engine.room():
            job = waiting.pop(0)
            now = progress(job)
            if now.state == "refused":
                give_up(job, now.complaint)
                continue
            # Only from whom it was known to be dead: meanwhile somebody else may have taken the folder.
            lost = dead.pop(job.folder, None)
            if now.state == "running" and (lost is None or owner_of(job.folder) != lost):
                if job.folder not in reached:
                    advice = "; if you know that it is dead, say `take_over`" if _stranger(job.folder) else ""
                    print(f"{job.name}: waits for {now.where}{complaint(advice)}", file=sys.stderr)
                elsewhere.append(job)
            elif now.state != "over":
                starting.append(job)
                taken |= {job.folder} if now.state == "running" else set()
                reached[job.folder] = now.reached
        if starting:
            engine.start(starting, take_over=frozenset(taken))
            running.update(job.folder for job in starting)

    def give_up(job: Job, why: str) -> None:
        failures.append(Failure(job, why))
        print(f"irrl: {job.name}: given up: {complaint(why)}", file=sys.stderr)

    while waiting or running or elsewhere:
        if asked.stop_requested and not stopping:
            stopping = True
            waiting.clear()
            elsewhere.clear()
            engine.stop()
        if time.monotonic() >= next_look_elsewhere:
            waiting += [job for job in elsewhere if not is_held(job.folder)]
            elsewhere = [job for job in elsewhere if is_held(job.folder)]
            next_look_elsewhere = time.monotonic() + SECONDS_BETWEEN_LOOKS_ELSEWHERE
        if not stopping:
            start()
        for job, why, take in engine.ended():
            running.discard(job.folder)
            now = progress(job)
            if now.state == "over" or stopping:
                continue
            if take:
                dead[job.folder] = owner_of(job.folder)
            elif is_held(job.folder):
                elsewhere.append(job)
                continue
            attempts[job.folder] = 0 if now.reached > reached[job.folder] else attempts[job.folder] + 1
            if attempts[job.folder] >= ATTEMPTS:
                give_up(job, now.complaint or why)
            else:
                print(f"{job.name}: tried again: {complaint(why)}", file=sys.stderr)
                waiting.insert(0, job)
        if time.monotonic() >= next_look:
            began = time.monotonic()
            look([progress(job) for job in jobs])
            # Of many runs on a slow disk, a look takes long: no more than a tenth of the time goes into it.
            next_look = time.monotonic() + max(1.0, 10 * (time.monotonic() - began))
        if running or elsewhere:
            time.sleep(SECONDS_BETWEEN_LOOKS)
    look([progress(job) for job in jobs])
    return failures
