"""The host loop: what is due when, how it stops and goes on, and that none of it changes what is learned."""

from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irrl.checkpoint import Checkpoint, load
from irrl.engine import loop
from irrl.engine.loop import Learner, Pace, Schedule, learn
from irrl.errors import UserError
from irrl.run import DiskRun, MemoryRun, Plan


class Count(NamedTuple):
    learned: float
    """depends on every step, and on their order"""
    steps: int
    since_row: int


class Clock:
    """Stands still but while something is learned, evaluated or saved."""

    now = 0.0

    def __call__(self):
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True, scope="module")
def _clock():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "perf_counter", CLOCK)
        yield


class Counting(Learner[Count]):
    """Learns by counting; its steps take as long as it is told, and it is as good as `scores` say."""

    score = "score"
    notes = {"made": "here"}

    def __init__(self, scores=None, *, seconds=lambda step: 0.0, ruined=None):
        self.scores, self.seconds, self.ruined = scores or {}, seconds, ruined
        self.looks, self.paces = [], []

    def start(self, saved):
        if saved is None:
            return Count(1.0, 0, 0), 0
        state = Count(*(saved.arrays[name].item() for name in Count._fields))
        return state, state.steps

    def progress(self, step):
        return {"dozen": step // 12}

    def advance(self, state, step, until):
        assert state.steps == step
        self.looks.append(until - step)
        learned = state.learned
        for each in range(step, until):
            CLOCK.now += self.seconds(each)
            learned = np.nan if each == self.ruined else (learned * 1.7 + each) % 10
        return Count(learned, until, state.since_row + until - step)

    def check(self, state, step):
        if not np.isfinite(state.learned):
            raise UserError(f"ruined before {step}")

    def row(self, state, step, pace):
        self.paces.append(pace)
        return {"learned": state.learned, "steps": state.since_row}, state._replace(since_row=0)

    def evaluate(self, state):
        CLOCK.now += 100
        return {"score": self.scores.get(state.steps, 0.0)}

    def arrays(self, state):
        return {name: np.array(value) for name, value in state._asdict().items()}


class Killed(Exception):
    pass


class Tape(MemoryRun):
    """Remembers; goes on from `saved`; is stopped, or killed in a step or a save, once so many steps are done."""

    def __init__(self, saved=None, *, stop=None, kill=None, fail=None):
        super().__init__()
        self.saved, self.stop, self.kill, self.fail = saved, stop, kill, fail
        self.saves, self.told = [], []

    def restore(self):
        return self.saved

    def progress(self, step, steps):
        self.told.append((step, steps))
        if self.kill is not None and step >= self.kill:
            raise Killed
        self.stop_requested = self.stop is not None and step >= self.stop

    def save(self, arrays, state, *, best, keep):
        if self.fail is not None and state["step"] >= self.fail:
            raise Killed
        CLOCK.now += 1000
        self.saved = Checkpoint(dict(arrays), state)
        self.saves.append((state["step"], best, keep))


SCHEDULE = Schedule(steps=10, row_every=2, evaluate_every=4, checkpoint_every=3, keep_every=5)
SCORES = {4: 0.5, 8: 0.3, 10: 0.7}


def slow(step):
    """Seconds that a step takes: every step is a look of its own."""
    return 10.0


def test_what_is_due_when():
    run = Tape()
    state, reached = learn(Counting(SCORES), SCHEDULE, run)
    assert reached == 10
    assert [row["step"] for row in run.history] == [2, 4, 6, 8, 10]
    assert [row.get("score") for row in run.history] == [None, 0.5, None, 0.3, 0.7]
    assert [row["steps"] for row in run.history] == [2] * 5
    assert list(run.history[1]) == ["step", "dozen", "learned", "steps", "score"]
    step, best, kept = zip(*run.saves, strict=True)
    assert step == (3, 4, 5, 6, 9, 10)
    assert [at for at, marked in zip(step, best, strict=True) if marked] == [4, 10]
    assert [at for at, marked in zip(step, kept, strict=True) if marked] == [5, 10]
    assert run.saved.state == {"step": 10, "dozen": 0, "best": 0.7, "made": "here"}
    assert state == Count(run.saved.arrays["learned"], 10, 0)


def test_the_end_may_come_before_a_row_is_full():
    run = Tape()
    learn(Counting(), Schedule(steps=10, row_every=4, checkpoint_every=100), run)
    assert [(row["step"], row["steps"]) for row in run.history] == [(4, 4), (8, 4), (10, 2)]
    assert [step for step, best, _ in run.saves if not best] == [10]


def test_the_first_and_the_last_are_kept_when_asked():
    for first, last in ((False, False), (True, False), (False, True), (True, True)):
        run = Tape()
        marks = {"keep_first": first, "keep_last": last}
        learn(Counting(), Schedule(steps=5, row_every=5, checkpoint_every=5, keep_every=3, **marks), run)
        assert [step for step, _, keep in run.saves if keep] == [0] * first + [3] + [5] * last
    again = Tape(saved=run.saved)
    learn(Counting(), Schedule(steps=6, row_every=5, checkpoint_every=6, keep_first=True), again)
    assert [step for step, _, _ in again.saves] == [6]


def test_without_a_score_no_checkpoint_is_the_best():
    class Unjudged(Counting):
        score = None

    run = Tape()
    learn(Unjudged(SCORES), SCHEDULE, run)
    assert not any(best for _, best, _ in run.saves)
    assert "best" not in run.saved.state


@pytest.mark.parametrize(
    ("scores", "best"),
    [([40.0, 100.0, 60.0], [4, 8]), ([-7.5, -9.0, -3.0], [4, 10]), ([float("nan"), -2.0, -3.0], [8])],
)
def test_a_score_may_be_any_number(scores, best, tmp_path):
    """What is recorded as the best is read back: the run goes on. NaN is never the best."""
    plan = Plan("counting", {}, unit="dozen")
    with DiskRun(tmp_path, plan) as run:
        learn(Counting(dict(zip((4, 8, 10), scores, strict=True))), SCHEDULE, run)
        assert load(tmp_path / "best.safetensors").state["step"] == best[-1]
    with DiskRun(tmp_path, plan) as run:
        saved = run.restore()
    assert saved.state["best"] == np.nanmax(scores)
    tape = Tape()
    learn(Counting(dict(zip((4, 8, 10), scores, strict=True))), SCHEDULE, tape)
    assert [step for step, marked, _ in tape.saves if marked] == best


def test_what_was_recorded_before_there_was_a_score_is_understood():
    """irrl 0.1 wrote -1 there."""
    first = Tape(stop=3)
    learn(Counting(SCORES, seconds=slow), SCHEDULE, first)
    assert "best" not in first.saved.state
    for state in (first.saved.state, first.saved.state | {"best": -1.0}):
        run = Tape(saved=Checkpoint(first.saved.arrays, state))
        learn(Counting(SCORES), SCHEDULE, run)
        assert [step for step, best, _ in run.saves if best] == [4, 10]


def test_a_stop_saves_once_and_nothing_is_done_twice():
    run = Tape(stop=7)
    learn(Counting(SCORES, seconds=slow), SCHEDULE, run)
    assert [step for step, _, _ in run.saves] == [3, 4, 5, 6, 7]
    assert run.saved.state["step"] == 7
    # A look that ends where a checkpoint is due anyway.
    run = Tape(stop=6)
    learn(Counting(SCORES, seconds=slow), SCHEDULE, run)
    assert [step for step, _, _ in run.saves] == [3, 4, 5, 6]
    # What is over, or was told to stop before its first step, has nothing to save.
    for over in (Tape(saved=Checkpoint(run.saved.arrays, run.saved.state)), Tape()):
        over.stop_requested = True
        learn(Counting(SCORES), SCHEDULE, over)
        assert over.saves == over.history == over.told == []


def test_others_may_ask_it_to_stop():
    """As Ctrl-C asks all of several trainings side by side."""
    run, asked = Tape(), MemoryRun()
    run.stops_with = asked

    def until_asked(step):
        asked.stop_requested = step == 1
        return slow(step)

    learn(Counting(seconds=until_asked), Schedule(steps=9, row_every=9, checkpoint_every=9), run)
    assert run.saves == [(2, False, False)]


def test_pace_counts_from_a_resume_and_counts_learning_only():
    run = Tape(stop=5)
    schedule = Schedule(steps=8, row_every=4, checkpoint_every=3)
    stopped = Counting(seconds=lambda step: 2)
    learn(stopped, schedule, run)
    assert stopped.paces == [Pace(4, 8.0)]
    again = Counting(seconds=lambda step: 3)
    learn(again, schedule, Tape(saved=run.saved))
    assert again.paces == [Pace(3, 9.0)]
    whole = Counting(seconds=lambda step: 2)
    learn(whole, schedule, Tape())
    assert whole.paces == [Pace(4, 8.0)] * 2


def test_looks_take_about_as_long_as_asked_whatever_a_step_takes():
    learner = Counting(seconds=lambda step: 0.1 if step < 30 else 0.5)
    run = Tape()
    learn(learner, Schedule(steps=40, row_every=25, checkpoint_every=100), run)
    # One step, to see how long it takes; a row cuts the third short; the fifth meets the slower steps.
    assert learner.looks == [1, 10, 10, 4, 10, 3, 2]
    assert run.told == [(step, 40) for step in (1, 11, 21, 25, 35, 38, 40)]


@pytest.mark.parametrize("seconds", [slow, lambda step: 0.0])
def test_numbers_that_are_none_reach_neither_a_row_nor_a_checkpoint(seconds):
    whole = Tape()
    learn(Counting(SCORES), SCHEDULE, whole)
    for ruined in range(10):
        run = Tape()
        with pytest.raises(UserError, match="ruined before"):
            learn(Counting(SCORES, seconds=seconds, ruined=ruined), SCHEDULE, run)
        assert run.saves == [save for save in whole.saves if save[0] <= ruined]
        assert run.history == [row for row in whole.history if row["step"] <= ruined]


def test_a_state_that_tells_of_another_step_is_refused():
    run = Tape(stop=5)
    learn(Counting(), SCHEDULE, run)
    for name in ("step", "dozen"):
        state = run.saved.state | {name: 77}
        with pytest.raises(UserError, match=f"its state says {name} 77"):
            learn(Counting(), SCHEDULE, Tape(saved=Checkpoint(run.saved.arrays, state)))


def marked(saves):
    return {save for save in saves if save[1] or save[2]}


few = st.integers(1, 12)


@settings(max_examples=200, deadline=None)
@given(
    schedule=st.builds(
        Schedule, steps=st.integers(1, 40), row_every=few, evaluate_every=few, checkpoint_every=few,
        keep_every=st.integers(0, 12), keep_first=st.booleans(), keep_last=st.booleans(),
    ),
    ends=st.lists(st.tuples(st.sampled_from(["stop", "kill", "fail"]), st.integers(0, 40)), max_size=4),
    pace=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=5),
    scores=st.dictionaries(st.integers(1, 40), st.floats(0, 1)),
)  # fmt: skip
def test_stopped_or_killed_anywhere_and_gone_on_with_it_ends_as_if_it_never_was(schedule, ends, pace, scores):
    whole = Tape()
    undisturbed, _ = learn(Counting(scores), schedule, whole)
    learner = Counting(seconds=lambda step: pace[step % len(pace)], scores=scores)
    saved, rows, saves = None, [], []
    for how, step in [*ends, ("stop", None)]:
        rows = [row for row in rows if saved and row["step"] <= saved.state["step"]]
        run, state = Tape(saved, **{how: step}), None
        with suppress(Killed):
            state, _ = learn(learner, schedule, run)
        rows, saves, saved = rows + run.history, saves + run.saves, run.saved
    assert state == undisturbed
    assert rows == whole.history
    assert saved.state == whole.saved.state
    assert saved.arrays == whole.saved.arrays
    assert marked(saves) == marked(whole.saves)
    assert {step for step, _, _ in whole.saves} <= {step for step, _, _ in saves}
