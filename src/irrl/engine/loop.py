"""The host's side of every training: looks, rows of metrics, checkpoints, stops, the same whatever is learned.

A task says what a step is (`Learner`) and when what is due (`Schedule`); `learn` does the rest. How often it looks up,
logs, saves or is stopped changes nothing that is learned.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from time import perf_counter
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from irrl.checkpoint import Checkpoint, check_reached
from irrl.run import Run

State = TypeVar("State")

SHORTEST = 1e-6
"""Seconds that some steps take at least: coarse clocks say 0."""


class Pace(NamedTuple):
    """How fast it went since the last row, or since the training was started or gone on with."""

    steps: int
    seconds: float
    """of learning: what evaluations and checkpoints take is not counted"""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When what is due, in steps: every so many, and at the end."""

    steps: int
    """in all"""
    row_every: int
    evaluate_every: int = 1
    """evaluations come with rows only; 1: with each"""
    checkpoint_every: int
    keep_every: int = 0
    """steps between checkpoints that are kept for good, the end no exception; 0: none"""
    keep_first: bool = False
    """whether the untrained agent is kept"""
    keep_last: bool = False
    """whether the last checkpoint is kept, also where `keep_every` does not ask for it"""

    def due(self, step: int, every: int) -> bool:
        """Whether it is time at `step` for what is done every so many steps."""
        return step % every == 0 or step == self.steps

    def kept(self, step: int) -> bool:
        """Whether the checkpoint of `step` is kept for good."""
        return (self.keep_every > 0 and step % self.keep_every == 0) or (self.keep_last and step == self.steps)

    def until(self, step: int, look: int) -> int:
        """Where the steps that follow `step` end: after `look` of them, or at the first at which anything is due."""
        intervals = (self.row_every, self.checkpoint_every, self.keep_every or self.steps)
        return min(step + look, self.steps, *((step // every + 1) * every for every in intervals))


class Learner(ABC, Generic[State]):
    """What is learned, as `learn` asks for it. Its state is all that is carried from one step to the next."""

    score: str | None = None
    """metric of an evaluation, any number and the more the better, that says which checkpoint is the best; None: there
    is no best one"""
    notes: Mapping[str, Any] = {}
    """what else stands in a checkpoint's state: JSON values by name"""
    seconds_between_looks: float = 1.0
    """how long some steps take, about: what the user waits for after Ctrl-C"""

    @abstractmethod
    def start(self, saved: Checkpoint | None) -> tuple[State, int]:
        """The state to go on from, and how many steps it has behind it; of a fresh one if nothing was saved.

        Raises:
            UserError: it cannot be gone on from.
        """

    @abstractmethod
    def progress(self, step: int) -> dict[str, int]:
        """How far a training is at `step`, in the unit that its run counts in: `{"epoch": 3}`."""

    @abstractmethod
    def advance(self, state: State, step: int, until: int) -> State:
        """Learn from `step` to `until`, between which no row is due, and wait for the end of it. May use up `state`."""

    @abstractmethod
    def check(self, state: State, step: int) -> None:
        """Refuse to go on with numbers that are none.

        Raises:
            UserError: there is a NaN or an infinity; it says where, and that the last checkpoint stands.
        """

    @abstractmethod
    def row(self, state: State, step: int, pace: Pace) -> tuple[dict[str, Any], State]:
        """Metrics since the last row, by name; and the state with empty sums for the next."""

    def evaluate(self, state: State) -> dict[str, Any]:
        """Metrics on what was not learned from, by name; `score` among them, if there is one."""
        return {}

    @abstractmethod
    def arrays(self, state: State) -> Mapping[str, np.ndarray]:
        """All of a state, for a checkpoint."""


def learn(learner: Learner[State], schedule: Schedule, run: Run) -> tuple[State, int]:
    """Learn until the schedule's end, or until asked to stop, going on from the checkpoint that `run` holds, if any.

    Returns:
        The last state, and how many steps it has behind it.

    Raises:
        UserError: the checkpoint cannot be gone on from, or a number became NaN or infinite; no checkpoint has it.
    """
    saved = run.restore()
    state, step = learner.start(saved)
    best = None  # of the scores so far, which may be any numbers
    if saved is not None:
        check_reached(saved, step=step, **learner.progress(step))
        best = saved.state.get("best")

    def save(*, improved: bool = False, keep: bool = False) -> None:
        score = {} if best is None else {"best": best}
        reached = {"step": step, **learner.progress(step), **score, **learner.notes}
        run.save(learner.arrays(state), reached, best=improved, keep=keep)

    if saved is None and schedule.keep_first:
        save(keep=True)
    look, first, seconds, is_saved = 1, step, 0.0, True

    while step < schedule.steps and (look := run.next_look(look)):
        until, began = schedule.until(step, look), perf_counter()
        state = learner.advance(state, step, until)
        took = max(perf_counter() - began, SHORTEST)
        look = max(1, round((until - step) * learner.seconds_between_looks / took))
        step, seconds, improved = until, seconds + took, False
        learner.check(state, step)  # before a row tells of it, and before a checkpoint could hold it
        run.progress(step, schedule.steps)
        if schedule.due(step, schedule.row_every):
            metrics, state = learner.row(state, step, Pace(step - first, seconds))
            row = {"step": step, **learner.progress(step), **metrics}
            if schedule.due(step, schedule.evaluate_every):
                row |= learner.evaluate(state)
            if learner.score in row and isfinite(score := float(row[learner.score])):
                improved = best is None or score > best
                best = score if improved else best
            run.log(row)
            first, seconds = step, 0.0
        keep = schedule.kept(step)
        if is_saved := improved or keep or schedule.due(step, schedule.checkpoint_every):
            save(improved=improved, keep=keep)
    if not is_saved:
        save()
    return state, step
