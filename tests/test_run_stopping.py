"""How a training ends that is stopped from outside: it saves first, whatever the task and whoever asks."""

import os
import signal
import subprocess
import sys
import time

import pytest

from irrl.checkpoint import load
from kill_and_resume import command, prepared, rows_logged

TASKS = ("digits", "skills", "counting")
ROWS = 50_000
"""More than any test waits for."""


HEARD, IGNORED = (
    f"import signal\nfor each in (signal.SIGINT, signal.SIGHUP): signal.signal(each, signal.{how})"
    for how in ("SIG_DFL", "SIG_IGN")
)
"""Signals as in a terminal; and as under nohup, and in what a script runs in the background, as these tests may be."""


def started(task, folder, signals=HEARD):
    """A training in the background that has logged a row, and its folder."""
    out = folder / "run"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(prepared(signals, command(task, folder, out, ROWS)), **pipes)
    until = time.monotonic() + 120
    while not rows_logged(out):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.01)
    return process, out


def assert_saved(out):
    rows = rows_logged(out)
    saved = load(out / "last.safetensors").state
    assert saved["step"] > 0
    assert rows < ROWS
    assert not list(out.glob(".*.irrl-tmp"))


@pytest.mark.parametrize(
    ("task", "number"),
    [*((task, signal.SIGHUP) for task in TASKS), pytest.param("counting", signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_a_closed_terminal_and_a_polite_kill_save_first(tmp_path, task, number):
    process, out = started(task, tmp_path)
    process.send_signal(number)
    assert "stopped and saved; go on with" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert_saved(out)


@pytest.mark.parametrize(
    "task",
    # Plain lines of skills are ten seconds apart.
    [pytest.param(task, marks=pytest.mark.slow) if task == "skills" else task for task in TASKS],
)
def test_a_closed_stderr_saves_first(tmp_path, task):
    process, out = started(task, tmp_path)
    process.stderr.close()
    process.stdout.close()
    assert process.wait(timeout=60) in (130, 141)
    assert_saved(out)


def test_ignored_signals_stay_ignored(tmp_path):
    process, out = started("skills", tmp_path, IGNORED)
    for number in (signal.SIGINT, signal.SIGHUP):
        process.send_signal(number)
    rows = rows_logged(out)
    while rows_logged(out) < rows + 20:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.parametrize("task", ["digits", "skills"])
def test_ctrl_c_again_and_again_shows_no_traceback(tmp_path, task):
    process, _ = started(task, tmp_path)
    until = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < until
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    error = process.communicate()[1]
    assert "Traceback" not in error and "Exception ignored" not in error
    assert process.returncode in (130, -signal.SIGINT)


@pytest.mark.parametrize("words", ["digits train --help", "counting prospects --scenes 8", "--version"])
def test_output_that_nobody_reads_to_the_end_ends_silently(words):
    words = [sys.executable, "-m", "irrl", *words.split()]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("seconds", [0.02, 0.2, 0.45, 0.7, 1.0, 1.5])
def test_an_early_ctrl_c_ends_it_at_once(seconds):
    """In the middle of imports and of compilation, where an exception could be lost."""
    words = [sys.executable, "-c", f"{HEARD}; signal.signal(signal.SIGINT, signal.default_int_handler)"]
    words[-1] += "\nprint(flush=True)\nimport sys; sys.argv = ['irrl', 'digits', 'test', 'digits-ram8']\n"
    words[-1] += "from irrl.__main__ import main; main()"
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode in (-signal.SIGINT, 130), error
    # Python's own start is not ours.
    assert seconds < 0.2 or "Traceback" not in error


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["--version", "skills test --help", "skills train {} --out run"])
def test_closed_streams_are_nobodys_trouble(tmp_path, words, closed):
    words = words.format("--rooms small --iterations 1000 --log-every 500")
    script = f"{sys.executable} -m irrl {words} {closed}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert "train" not in words or (tmp_path / "run" / "last.safetensors").exists()
