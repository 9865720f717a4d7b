"""The kernel's compiled code on the disk: found again, and never needed."""

import errno
import importlib.util
import os
import subprocess
import sys

import pytest
from numba.core import caching, config

from irrl.skills import code_cache

MODULE = """
from numba import njit
from irrl.skills.code_cache import kept

@kept
@njit
def twice(x):
    return 2 * x
"""


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """Import the module as a new process would: a function from a function that is not compiled yet."""
    monkeypatch.setattr(config, "CACHE_DIR", "")
    (tmp_path / "module.py").write_text(MODULE)

    def again():
        code_cache.code_folder.cache_clear()
        spec = importlib.util.spec_from_file_location("module", tmp_path / "module.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.twice(21) == 42
        return module.twice

    return again


def test_code_is_compiled_once(compiled, tmp_path, capsys):
    assert [sum(compiled().stats.cache_hits.values()) for _ in range(2)] == [0, 1]
    assert {path.parent for path in tmp_path.rglob("*.nb?")} == {tmp_path / "__pycache__"}
    assert capsys.readouterr().err == ""


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [lambda old: b"", lambda old: old[:-20], lambda old: b"\0" * len(old), flipped])
def test_damaged_files_are_compiled_anew_and_replaced(compiled, tmp_path, capsys, kind, damage):
    compiled()
    (path,) = tmp_path.rglob(f"*.{kind}")
    path.write_bytes(damage(path.read_bytes()))
    assert not compiled().stats.cache_hits
    said = capsys.readouterr().err
    # An index that merely names other code than this is no damage that can be seen.
    assert (said.count("\n") == 1 and "compiling anew" in said) or (kind, damage) == ("nbi", flipped)
    assert sum(compiled().stats.cache_hits.values()) == 1
    assert capsys.readouterr().err == ""


def test_a_full_disk_keeps_no_code(compiled, monkeypatch, capsys):
    def full(self, name, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_data", full)
    compiled()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "No space left" in said


@pytest.mark.parametrize("temporary", [True, False])
def test_where_no_folder_can_be_written(compiled, tmp_path, monkeypatch, capsys, temporary):
    monkeypatch.setattr(code_cache, "cache_folder", lambda name, wanted: None)
    monkeypatch.setattr(code_cache, "temporary_folder", lambda name: tmp_path if temporary else None)
    compiled()
    assert sum(compiled().stats.cache_hits.values()) == temporary
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and str(tmp_path / "__pycache__") in said[0]
    assert ("it is made at every start" in said[0]) != temporary


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="whose a file is, is told in another way here")
def test_code_is_not_taken_from_where_strangers_write(compiled, tmp_path, monkeypatch, capsys):
    asked = tmp_path / "asked"
    monkeypatch.setattr(config, "CACHE_DIR", str(asked))
    compiled()
    (folder,) = asked.iterdir()
    assert list(folder.glob("*.nbi")) and capsys.readouterr().err == ""
    folder.chmod(0o777)
    assert not compiled().stats.cache_hits
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(folder) in said and "open to others" in said


STARTED = """
import hashlib
from irrl.skills.config import preset
from irrl.skills.training import train
tables = train(preset("fast", iterations=20, log_every=20)).tables
print(hashlib.sha256(tables.q.tobytes() + tables.logits.tobytes()).hexdigest())
"""


def test_the_start_that_compiles_learns_what_later_ones_do(tmp_path):
    """To the last bit: small functions that the kernel calls may be compiled in several ways, which sum differently."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", STARTED]
    learned = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]
    assert list(tmp_path.rglob("*.nbc"))
    assert learned[0] == learned[1]
