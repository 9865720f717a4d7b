"""Several seeds of one setting: a folder that holds an ordinary run's folder `seed-N` for each."""

from collections.abc import Sequence
from pathlib import Path

from irrl.errors import UserError


def folders_of_seeds(out: Path, first: int, count: int) -> dict[int, Path]:
    """Where the seeds `first`, `first + 1`, ... are trained: `out` itself for a single one, else `out/seed-N`.

    Raises:
        UserError: `count` is not positive, or `out` is already in use the other way.
    """
    if count < 1:
        raise UserError(f"`seeds` is {count}; it must be at least 1")
    if count == 1:
        if _seeds_in(out):
            folder = out / f"seed-{first}"
            raise UserError(f"{out}: holds a folder for each of several seeds: give `seeds`, or `out={folder}`")
        return {first: out}
    if (out / "config.json").exists():
        raise UserError(f"{out}: holds the run of a single seed: choose another folder for `seeds={count}`")
    return {seed: out / f"seed-{seed}" for seed in range(first, first + count)}


def run_folders(paths: Sequence[Path]) -> list[Path]:
    """The runs' folders among `paths`, each once; a folder of several seeds stands for all of them.

    Raises:
        UserError: a path holds no run.
    """
    found = []
    for path in paths:
        seeds = _seeds_in(path)
        if not (path / "config.json").exists() and not seeds:
            raise UserError(f"{path}: no run there: give the folder of a run, or of several seeds")
        found += [path] if (path / "config.json").exists() else seeds
    return list({folder.resolve(): folder for folder in found}.values())


def check_single(path: Path) -> None:
    """Refuse the folder of several seeds where the folder of one run is wanted.

    Raises:
        UserError: it is one.
    """
    if not (path / "config.json").exists() and (seeds := _seeds_in(path)):
        raise UserError(f"{path}: holds several seeds: give the folder of one of them, such as {seeds[0]}")


def _seeds_in(path: Path) -> list[Path]:
    """The runs' folders, seed 2 before seed 10."""
    found = (config.parent for config in path.glob("seed-*/config.json"))
    return sorted(found, key=lambda folder: (len(folder.name), folder.name))
