"""Compiled programs are shared by all tests and by the processes they start: most of a tiny training is compilation."""

import os
import sys
from itertools import count

import pytest

TESTS_BETWEEN_CLEARINGS = 200
_ended = count(1)


@pytest.hookimpl(trylast=True)
def pytest_configure():
    from irrl.machine import temporary_folder  # not before jaxtyping has hooked itself in

    if folder := temporary_folder("tests"):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    """Let go of compiled programs now and then: Linux gives a process 65 530 mappings, and each program takes some.

    A thousand tests of one process would run out of them, which ends it with a crash inside LLVM.
    """
    if next(_ended) % TESTS_BETWEEN_CLEARINGS == 0 and (jax := sys.modules.get("jax")):
        jax.clear_caches()


@pytest.fixture(scope="session")
def mnist(tmp_path_factory):
    from tiny import write_mnist

    return write_mnist(tmp_path_factory.mktemp("mnist"))


@pytest.fixture(scope="session")
def committed():
    """The runs of every study that comes with irrl, where they lie under `results`, by the study's name: one look."""
    from pathlib import Path

    from irrl.studies.progress import with_folders_in
    from irrl.studies.study import built_in, read_study

    results = Path(__file__).parents[1] / "results"
    jobs = {name: read_study(name).jobs(results) for name in built_in()}
    found = iter(with_folders_in([job for its in jobs.values() for job in its], results))
    return {name: [next(found) for _ in its] for name, its in jobs.items()}


@pytest.fixture(scope="session")
def trained(tmp_path_factory, mnist):
    """A run folder after 4 epochs."""
    from command_line import run
    from tiny import FLAGS

    out = tmp_path_factory.mktemp("runs") / "tiny"
    assert run("digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 4, "--keep-every", 2, "--out", out) == 0
    return out
