"""Disks that are full, and file systems that lack something, under every task's training."""

import os
import subprocess

import pytest

from irrl.checkpoint import load
from kill_and_resume import command, prepared, rows_logged

TASKS = ("digits", "skills", "counting")
ROWS = 4

LACKING = """
import errno, fcntl, os, stat

fsync = os.fsync

def of_files_only(descriptor):
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    fsync(descriptor)

def lacks(number):
    def call(*_):
        raise OSError(number, os.strerror(number))
    return call

os.fsync, fcntl.flock, os.link = of_files_only, lacks(errno.ENOLCK), lacks(errno.EPERM)
"""
"""As network and FUSE mounts have it: no syncing of folders, no locks, no hard links."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(task, marks=pytest.mark.slow) if task == "counting" else task for task in TASKS],
)
def whole(request, tmp_path_factory):
    """A task, a folder to work in, and its undisturbed run."""
    folder = tmp_path_factory.mktemp(request.param)
    run(request.param, folder, folder / "whole")
    return request.param, folder, folder / "whole"


def run(task, folder, out, *, status=0, first="", **options):
    words = prepared(first, command(task, folder, out, ROWS))
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == status, done.stderr
    return done.stderr


def arrays(out):
    return {name: array.tobytes() for name, array in load(out / "last.safetensors").arrays.items()}


@pytest.mark.slow
def test_a_file_system_that_lacks_much_is_warned_of_once_and_changes_nothing(whole, tmp_path):
    task, folder, reference = whole
    (tmp_path / "sitecustomize.py").write_text(LACKING)
    said = run(task, folder, tmp_path / "run", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert said.count("cannot sync a folder") == 1
    assert said.count("no locks here") == 1
    assert arrays(tmp_path / "run") == arrays(reference)


def test_a_full_disk_is_one_line_and_the_training_goes_on_where_it_was(whole, tmp_path):
    """No file may grow beyond half a checkpoint; then the disk has room again."""
    task, folder, reference = whole
    half = (reference / "last.safetensors").stat().st_size // 2
    full = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({half}, {half}))"
    said = run(task, folder, tmp_path / "run", status=2, first=full)
    assert "Traceback" not in said
    assert said.count("File too large") == 1 and "last.safetensors" in said.splitlines()[-1]
    assert not any((tmp_path / "run").glob("*.safetensors"))
    assert not any((tmp_path / "run").glob(".*.irrl-tmp"))
    run(task, folder, tmp_path / "run")
    assert rows_logged(tmp_path / "run") == ROWS
    assert arrays(tmp_path / "run") == arrays(reference)
