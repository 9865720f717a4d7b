"""What may stand in the place of a file that is no file, or nothing."""

import os
from pathlib import Path

import numpy as np


def missing(path: Path, rng: np.random.Generator) -> None:
    path.unlink()


def pipe(path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    path.mkdir()


def device(path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    path.symlink_to(str(rng.choice(["/dev/zero", "/dev/null", "/dev/urandom", "/dev/tty"])))


def link_to_itself(path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    path.symlink_to(path.name)
