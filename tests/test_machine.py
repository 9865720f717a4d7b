"""Cores, memory and folders for caches, on machines that lack what Linux has."""

import os
import stat
import tempfile

import pytest

from irrl import machine
from irrl.machine import cache_folder, cores, is_safe, memory_bytes, temporary_folder

needs_users = pytest.mark.skipif(not hasattr(os, "getuid"), reason="whose a file is, is told in another way here")


def without_affinity(monkeypatch, count):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "process_cpu_count", lambda: count, raising=False)


@pytest.mark.parametrize(("count", "found"), [(3, 3), (None, 1)])
def test_cores_where_processes_are_not_bound_to_some(monkeypatch, tmp_path, count, found):
    monkeypatch.setattr(machine, "CGROUP_LIMIT", tmp_path / "nowhere")
    without_affinity(monkeypatch, count)
    assert cores() == found


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no such call here")
def test_cores_that_this_process_is_bound_to(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert cores() <= 2


@pytest.mark.parametrize(("limit", "found"), [("max 100000", 8), ("250000 100000", 2), ("20000 100000", 1), ("?", 8)])
def test_a_container_has_no_more_cores_than_its_share(monkeypatch, tmp_path, limit, found):
    without_affinity(monkeypatch, 8)
    monkeypatch.setattr(machine, "CGROUP_LIMIT", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(limit + "\n")
    assert cores() == found


def test_memory_where_nobody_tells(monkeypatch):
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert memory_bytes() is None


@needs_users
def test_a_folder_is_safe_that_no_stranger_can_write(tmp_path, monkeypatch):
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    inner.chmod(0o775)  # as where every user has a group of his own
    assert is_safe(inner) and is_safe(inner, and_above=True)
    inner.chmod(0o1777)
    assert not is_safe(inner)
    inner.chmod(0o700)
    inner.parent.chmod(0o1777)
    assert is_safe(inner, and_above=True)
    inner.parent.chmod(0o777)
    assert is_safe(inner) and not is_safe(inner, and_above=True)
    inner.parent.chmod(0o700)
    give_to_a_stranger(inner.parent, monkeypatch)
    assert not is_safe(inner, and_above=True)


def give_to_a_stranger(folder, monkeypatch):
    if os.getuid() == 0:
        os.chown(folder, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)


@needs_users
def test_the_first_safe_folder_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").touch()
    assert cache_folder("x", [tmp_path / "open", tmp_path / "file" / "a", tmp_path / "b"]) == tmp_path / "b"
    monkeypatch.setattr(machine, "is_safe", lambda folder, and_above=False: folder.name == "x")
    assert cache_folder("x", [tmp_path / "open"]) == tmp_path / "home" / "irrl" / "x"


def test_without_a_home_no_folder_is_made_where_the_user_stands(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    assert cache_folder("x", []) is None
    assert list(tmp_path.iterdir()) == []


@needs_users
def test_a_folder_among_temporary_files_is_for_one_user(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tmp_path.chmod(0o1777)
    folder = temporary_folder("x")
    assert folder == tmp_path / f"irrl-{os.getuid()}" / "x" == temporary_folder("x")
    assert {stat.S_IMODE(each.stat().st_mode) for each in (folder, folder.parent)} == {0o700}
    folder.parent.chmod(0o777)
    assert temporary_folder("x") is None
    folder.parent.chmod(0o700)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert temporary_folder("x") is None
    folder.unlink()
    give_to_a_stranger(folder.parent, monkeypatch)
    assert temporary_folder("x") is None


@needs_users
def test_where_everybody_replaces_files_there_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tmp_path.chmod(0o777)
    assert temporary_folder("x") is None
