"""The loop over the runs of a study: what is repeated, what is given up, and what is left to others."""

import json
import shutil
from dataclasses import replace

import pytest

import irrl
from irrl.locks import lock_folder
from irrl.run import MemoryRun
from irrl.studies.engines.engine import Ended, Engine, train_all
from irrl.studies.progress import is_over, progress
from irrl.studies.study import read_study
from small_study import write_study

LOST = {"host": "node-7", "process": 12, "started": "2026-01-01T00:00:00+00:00"}


class Scripted(Engine):
    """An engine for which each start of a run ends as it is told: `over`, `crash`, `lost`, or after some pulls."""

    def __init__(self, script, room=2):
        self.script, self._room = script, room
        self.started, self.taken, self._ended = [], [], []
        self.stopped = False

    def room(self):
        return self._room - len(self._ended)

    def start(self, jobs, *, take_over):
        assert len(jobs) <= self.room()
        for job in jobs:
            self.started.append(job.name)
            self.taken += [job.name] * (job.folder in take_over)
            how = self.script.get(job.name, ["over"])
            how = how.pop(0) if how else "over"
            if how == "lost":
                job.folder.mkdir(parents=True)
                (job.folder / ".owner").write_text(json.dumps(LOST))
            elif job.folder in take_over:
                (job.folder / ".owner").unlink()
            pulls = {"over": job.config.pulls, "crash": 0, "lost": 0}.get(how, how)
            if pulls:
                irrl.train(job.task, replace(job.config, pulls=pulls), out=job.folder)
            self._ended.append(Ended(job, f"it went {how}", take_over=how == "lost"))

    def ended(self):
        ended, self._ended = self._ended, []
        return ended

    def stop(self):
        self.stopped = True

    def close(self):
        pass


@pytest.fixture
def jobs(tmp_path):
    return read_study(str(write_study(tmp_path, pulls=300)), ["bandit"]).jobs(tmp_path / "out")


def train(jobs, engine, asked=None, **options):
    return [(failure.job.name, failure.reason) for failure in train_all(jobs, engine, asked or MemoryRun(), **options)]


def test_everything_is_trained_in_order_and_once(jobs):
    engine, looks = Scripted({}), []
    assert train(jobs, engine, look=looks.append) == []
    assert engine.started == [job.name for job in jobs]
    assert [each.state for each in looks[-1]] == ["over"] * 6
    again = Scripted({})
    assert train(jobs, again) == [] and again.started == []


def test_a_crash_is_tried_again_once_then_given_up_and_the_others_go_on(jobs, capsys):
    first, second = jobs[0].name, jobs[1].name
    engine = Scripted({first: ["crash", "crash", "crash"], second: ["crash"]})
    assert train(jobs, engine) == [(first, "it went crash")]
    assert engine.started.count(first) == 2 and engine.started.count(second) == 2
    assert [is_over(job) for job in jobs] == [False] + [True] * 5
    assert f"{first}: given up: it went crash" in capsys.readouterr().err


def test_a_run_that_gets_further_is_never_given_up(jobs):
    first = jobs[0].name
    engine = Scripted({first: ["crash", 100, "crash", 200, "crash"]})
    assert train(jobs, engine) == []
    assert engine.started.count(first) == 6


def test_a_lost_nodes_run_is_taken_over(jobs):
    first = jobs[0].name
    engine = Scripted({first: ["lost"]})
    assert train(jobs, engine) == []
    assert engine.taken == [first]


@pytest.mark.parametrize("moved_on", [False, True])
def test_told_to_only_those_are_taken_over_who_held_a_run_then(jobs, moved_on, monkeypatch, capsys):
    monkeypatch.setattr("irrl.studies.engines.engine.SECONDS_BETWEEN_LOOKS_ELSEWHERE", 0.05)
    second = jobs[1].folder
    second.mkdir(parents=True)
    (second / ".owner").write_text(json.dumps(LOST))
    engine, looks = Scripted({}, room=1), []

    def look(found):
        looks.append(found)
        if moved_on and len(looks) == 2:
            (second / ".owner").unlink()

    if moved_on:  # another driver took it in the meantime
        start = engine.start

        def start_and_move_on(jobs, *, take_over):
            if not engine.started:
                (second / ".owner").write_text(json.dumps(LOST | {"process": 13}))
            start(jobs, take_over=take_over)

        engine.start = start_and_move_on
    assert train(jobs, engine, look=look, take_over=True) == []
    assert engine.taken == ([] if moved_on else [jobs[1].name])
    assert ("waits for process 13 on node-7" in capsys.readouterr().err) == moved_on


def test_killed_between_its_last_row_and_its_last_save_a_run_is_not_over(jobs):
    assert train(jobs, Scripted({})) == []
    folder = jobs[0].folder
    shutil.copy(folder / "previous.safetensors", folder / "last.safetensors")
    assert progress(jobs[0]).state == "stopped"
    engine = Scripted({})
    assert train(jobs, engine) == [] and engine.started == [jobs[0].name]
    assert is_over(jobs[0])


def test_what_somebody_else_trains_is_waited_for(jobs, monkeypatch):
    monkeypatch.setattr("irrl.studies.engines.engine.SECONDS_BETWEEN_LOOKS_ELSEWHERE", 0.05)
    lock = lock_folder(jobs[0].folder)
    states = []

    def look(found):
        states.append(found[0].state)
        if found[1].state == "over":
            lock.close()

    engine = Scripted({})
    assert train(jobs, engine, look=look) == []
    assert engine.started[-1] == jobs[0].name and states[0] == "running" and states[-1] == "over"


def test_what_has_another_config_is_given_up_with_the_reason(jobs):
    irrl.train(jobs[0].task, replace(jobs[0].config, reward="accuracy"), out=jobs[0].folder)
    ((name, why),) = train(jobs, Scripted({}))
    assert name == jobs[0].name and "reward: accuracy -> clipped-linear" in why


def test_asked_to_stop_nothing_more_is_started(jobs):
    asked, engine = MemoryRun(), Scripted({}, room=1)

    def look(found):
        asked.stop_requested = True

    assert train(jobs, engine, asked, look=look) == []
    assert engine.stopped and len(engine.started) == 1


def test_how_far_a_run_is_and_how_long_it_takes(jobs):
    job = jobs[0]
    assert (progress(job).state, progress(job).reached, progress(job).seconds_left) == ("waiting", 0, None)
    irrl.train(job.task, replace(job.config, pulls=200), out=job.folder)
    found = progress(job)
    assert (found.state, found.reached, found.budget) == ("stopped", 200, 300)
    with lock_folder(job.folder):
        assert progress(job).state == "running" and "process" in progress(job).where
    assert replace(found, rate=4.0).seconds_left == 25.0
