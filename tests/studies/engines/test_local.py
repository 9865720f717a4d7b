"""Runs as processes: the same as the commands alone, whatever is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from irrl.locks import owner_of
from irrl.machine import cores
from irrl.studies.engines.local import LocalEngine
from irrl.studies.study import read_study
from small_study import kill_at_random, metrics_of, study, study_command, surroundings, weights_of, write_study


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What the listed commands learn, one after the other."""
    folder = tmp_path_factory.mktemp("alone")
    path = write_study(folder)
    listed = study(path, folder / "out", "run", "--list").stdout.splitlines()
    assert len(listed) == 6 and all(line.startswith("irrl bandit:TASK train --preset demo ") for line in listed)
    for line in listed:
        subprocess.run(f"{sys.executable} -m {line}", shell=True, check=True, env=surroundings(), capture_output=True)
    return folder


def test_a_study_learns_what_its_commands_do(alone, tmp_path):
    done = study(alone / "arms.toml", tmp_path, "run", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "all 6 runs are over; see them, as a page: irrl study report" in done.stderr
    assert weights_of(tmp_path) == weights_of(alone / "out")
    assert metrics_of(tmp_path) == metrics_of(alone / "out")
    again = study(alone / "arms.toml", tmp_path, "run")
    assert again.returncode == 0 and not study(alone / "arms.toml", tmp_path, "run", "--list").stdout


def test_what_cannot_be_trained_is_reported_and_the_others_go_on(alone, tmp_path):
    (tmp_path / "out" / "log").mkdir(parents=True)
    (tmp_path / "out" / "log" / "seed-2").write_text("in the way")
    done = study(alone / "arms.toml", tmp_path / "out", "run")
    assert (
        done.returncode == 1 and "log-seed-2: given up: " in done.stderr and "1 of 6 runs were given up" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert len(weights_of(tmp_path / "out")) == 5


def test_a_log_that_is_a_pipe_costs_its_run_only(alone, tmp_path):
    (tmp_path / "logs").mkdir()
    os.mkfifo(tmp_path / "logs" / "log-seed-1.log")
    (tmp_path / "logs" / "log-seed-2.log").symlink_to(tmp_path / "elsewhere")
    done = study(alone / "arms.toml", tmp_path, "run", timeout=60)
    assert done.returncode == 1 and "2 of 6 runs were given up" in done.stderr
    assert not (tmp_path / "elsewhere").exists()


def test_two_studies_at_once_are_on_different_cores(tmp_path, monkeypatch):
    # Tests beside this one take cores, too.
    monkeypatch.setattr("irrl.studies.engines.local.temporary_folder", lambda name: tmp_path)
    job = read_study(str(write_study(tmp_path, pulls=2_000_000, every=1_000_000)), ["bandit"]).jobs(tmp_path / "out")[0]
    if not hasattr(os, "sched_setaffinity") or cores() < 2:
        pytest.skip("no cores to choose among here")
    engines = [LocalEngine(tmp_path / name, 1, 1) for name in "ab"]
    try:
        for engine in engines:
            engine.start([job], take_over=frozenset())
        taken = [os.sched_getaffinity(process.pid) for engine in engines for _, process in engine._running.values()]
    finally:
        for engine in engines:
            engine.close()
    assert [len(own) for own in taken] == [1, 1] and taken[0] != taken[1]


def test_asked_to_stop_all_save_and_it_goes_on(tmp_path):
    path = write_study(tmp_path, pulls=3_000_000, every=1_000_000)
    process = subprocess.Popen(
        study_command(path, tmp_path / "out", "run", "--workers", 2),
        env=surroundings(),
        stderr=subprocess.PIPE,
        text=True,
    )
    running = [tmp_path / "out" / curve / "seed-1" for curve in ("clipped-linear", "log")]
    _wait(lambda: all((folder / "config.json").exists() and owner_of(folder) for folder in running))
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "stopped and saved; go on with: irrl study run" in errors
    assert all(owner_of(folder) is None and (folder / "last.safetensors").exists() for folder in running)


def test_runs_end_with_the_driver_that_was_killed(tmp_path):
    path = write_study(tmp_path, pulls=50_000_000, every=10_000_000)
    process = subprocess.Popen(study_command(path, tmp_path / "out", "run", "--workers", 1), env=surroundings())
    folder = tmp_path / "out" / "clipped-linear" / "seed-1"
    _wait(lambda: owner_of(folder) is not None)
    worker = owner_of(folder).process
    process.kill()
    process.wait()
    _wait(lambda: not _lives(worker))
    assert owner_of(folder) is None and (folder / "last.safetensors").exists()


@pytest.mark.slow
def test_after_thirty_kills_of_runs_and_of_the_driver_nothing_is_lost(tmp_path):
    path = write_study(tmp_path, pulls=60_000, every=500)
    assert study(path, tmp_path / "whole", "run").returncode == 0
    kill_at_random(study_command(path, tmp_path / "out", "run", "--workers", 2), tmp_path / "out")
    assert weights_of(tmp_path / "out") == weights_of(tmp_path / "whole") and len(weights_of(tmp_path / "out")) == 6
    assert metrics_of(tmp_path / "out") == metrics_of(tmp_path / "whole")


def _wait(until, seconds=60):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
