"""Terminals without some characters, and caches of other packages that cannot be written or trusted."""

import io
import os
import sys

import pytest

from irrl.cli.surroundings import settle


@pytest.fixture(autouse=True)
def _no_caches(monkeypatch):
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", rb"\xe9 \u6570 \udcff"), ("latin-1", b"\xe9 \\u6570 \\udcff"), ("utf-8", None)]
)
def test_names_that_the_output_has_no_characters_for(monkeypatch, encoding, shown):
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        with monkeypatch.context() as patch:
            patch.setattr(sys, name, stream)
            settle()
        print("é 数 \udcff", end="", file=stream, flush=True)  # the last is a byte of a name that is not UTF-8
        assert stream.buffer.getvalue() == (shown or "é 数 ".encode() + rb"\udcff")


@pytest.mark.skipif(sys.platform != "linux", reason="Matplotlib's folders lie elsewhere, and it speaks for itself")
def test_matplotlib_is_given_a_folder_where_it_has_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    settle()
    assert "MPLCONFIGDIR" not in os.environ and capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    settle()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(tmp_path / "file") in said and os.environ["MPLCONFIGDIR"] in said
    assert os.access(os.environ["MPLCONFIGDIR"], os.W_OK)
    settle()
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="whose a file is, is told in another way here")
def test_jax_runs_nothing_that_a_stranger_may_have_put_into_its_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    settle()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "cache")
    (tmp_path / "cache").chmod(0o777)
    settle()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    (tmp_path / "file").touch()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "file"))
    settle()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "others can write" in said[0] and "can be made" in said[1]
