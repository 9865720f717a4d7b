"""Compiled programs are shared by all tests and by the processes they start: most of a tiny training is compilation."""

import os

import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure():
    from irrl.machine import temporary_folder  # not before jaxtyping has hooked itself in

    if folder := temporary_folder("tests"):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
