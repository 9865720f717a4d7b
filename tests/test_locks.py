"""Two processes never train in one folder: of one host, of two, after a crash, and where numbers are used again."""

import errno
import json
import os
import socket
import subprocess
import sys

import pytest

from irrl import locks
from irrl.errors import UserError
from irrl.locks import is_held, lock_folder, owner_of

NEVER = 2**22 - 1
"""A number that no process has here."""


def write_owner(folder, *, host=None, process=NEVER, started="2026-01-01T00:00:00+00:00"):
    folder.mkdir(exist_ok=True)
    owner = {"host": host or socket.gethostname(), "process": process, "started": started}
    (folder / ".owner").write_text(json.dumps(owner))


def test_a_folder_is_held_until_it_is_let_go(tmp_path):
    with lock_folder(tmp_path / "run") as lock:
        owner = owner_of(lock.folder)
        assert (owner.host, owner.process) == (socket.gethostname(), os.getpid())
        assert is_held(lock.folder)
        with pytest.raises(UserError, match=rf"another training is running.*process {os.getpid()} on "):
            lock_folder(tmp_path / "run", take_over=True)
    assert not is_held(tmp_path / "run") and not (tmp_path / "run" / ".owner").exists()
    lock_folder(tmp_path / "run").close()


def test_a_process_that_was_killed_is_followed(tmp_path):
    script = "import os, sys; from irrl.locks import lock_folder; lock_folder(__import__('pathlib').Path(sys.argv[1]));"
    script += "os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert owner_of(tmp_path).is_dead and not is_held(tmp_path)
    with lock_folder(tmp_path):
        assert owner_of(tmp_path).process == os.getpid()


def test_a_number_that_another_process_has_now_is_a_dead_ones(tmp_path):
    write_owner(tmp_path, process=os.getppid(), started="2001-01-01T00:00:00+00:00")
    assert owner_of(tmp_path).is_dead
    write_owner(tmp_path, process=os.getppid(), started="2101-01-01T00:00:00+00:00")
    assert not owner_of(tmp_path).is_dead
    with pytest.raises(UserError, match="another training is running"):
        lock_folder(tmp_path)


def test_another_hosts_process_is_followed_only_when_told(tmp_path):
    write_owner(tmp_path, host="node-7", process=12)
    assert is_held(tmp_path)
    with pytest.raises(UserError, match=r"process 12 on node-7 since 2026-01-01T00:00:00.*dead, say `take_over`"):
        lock_folder(tmp_path)
    assert owner_of(tmp_path).host == "node-7"
    with lock_folder(tmp_path, take_over=True):
        assert owner_of(tmp_path).process == os.getpid()
        # The other was alive after all, and takes the folder back: it is not ours to free any more.
        write_owner(tmp_path, host="node-7", process=12)
    assert owner_of(tmp_path).host == "node-7"


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"host": 1}', '{"host": "x", "process": "y", "started": "z"}'])
def test_an_owner_that_says_nothing_holds_nothing(tmp_path, content):
    (tmp_path / ".owner").write_text(content)
    assert owner_of(tmp_path) is None
    lock_folder(tmp_path).close()


def test_an_owner_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / ".owner")
    with pytest.raises(UserError, match="not an ordinary file"):
        lock_folder(tmp_path)


@pytest.mark.parametrize("links", [True, False])
def test_of_two_hosts_without_common_locks_one_gets_the_folder(tmp_path, monkeypatch, links):
    monkeypatch.setattr(locks, "_try_lock", lambda lock: True)
    if not links:

        def no_links(source, target):
            raise OSError(errno.EPERM, "none here")

        monkeypatch.setattr(os, "link", no_links)
    with lock_folder(tmp_path):
        monkeypatch.setattr(socket, "gethostname", lambda: "another")
        with pytest.raises(UserError, match="another training is running"):
            lock_folder(tmp_path)
        monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}


def test_a_hostile_owner_does_not_steer_the_terminal(tmp_path):
    write_owner(tmp_path, host="\x1b[2J" + "x" * 5000)
    with pytest.raises(UserError) as error:
        lock_folder(tmp_path)
    assert "\x1b" not in str(error.value) and len(str(error.value)) < 500
