"""Trained agents back from the disk."""

import os
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from irrl import checkpoint
from irrl.checkpoint import Checkpoint
from irrl.errors import UserError, warn
from irrl.forks import check_not_forked
from irrl.registry import AnotherTask, find_registered, part_of
from irrl.seeds import check_single
from irrl.task import Task, import_packages

T = TypeVar("T")

AGENTS = Path(__file__).parent / "agents"
"""Trained agents that come with the package."""


def load(path: str | Path, task: Task | None = None) -> Any:
    """The trained agent in a run's folder (its best checkpoint by validation, else its last), in a checkpoint file, or
    the packaged one of that name, if there is no such file or folder.

    What a file names is never imported or called, nor is any file that it names opened: it is an agent of a task that
    comes with irrl or an installed package, or of the one handed in.

    Args:
        task: of one's own, which no package has registered.

    Raises:
        UserError: there is none, or it is damaged or not one of ours; or this process was forked after JAX had been
            used.
    """
    check_not_forked()
    return read_agent(Path(path), partial(_restored, task))


def read_agent(path: Path, restore: Callable[[Checkpoint], T]) -> T:
    """What `restore` makes of the checkpoint that `path` stands for, as for `load`: of a run's, the first whole one.

    Raises:
        UserError: as for `load`. One that is whole, and that `restore` refuses, hides no other: the same would be said
            of all.
    """
    found = checkpoints_in(path) if path.is_dir() else [checkpoint_of(path)]
    file, saved = _undamaged(found)
    try:
        return restore(saved)
    except UserError as error:
        raise type(error)(f"{file}: {error}") from error


def _undamaged(paths: list[Path]) -> tuple[Path, Checkpoint]:
    for each, instead in pairwise(paths):
        try:
            return each, checkpoint.load(each)
        except UserError as error:
            warn(f"{error}; {instead.name} is taken instead")
    return paths[-1], checkpoint.load(paths[-1])


def _restored(task: Task | None, saved: Checkpoint) -> Any:
    name = saved.state.get("task")
    return _restored_by(task if task is not None and task.name == name else find_registered(name), saved)


def _restored_by(task: Task, saved: Checkpoint) -> Any:
    if saved.state.get("task") != task.name:
        raise AnotherTask(f"an agent of the task {str(saved.state.get('task'))[:60]}, not of {task.name}")
    import_packages(task)
    return part_of(task, "agent")(saved)


def load_own(path: str | Path, task: Task) -> Any:
    """`load`, for what can be done with the agents of one task only.

    Raises:
        UserError: it is an agent of another task; or as for `load`.
    """
    check_not_forked()
    return read_agent(Path(path), partial(_restored_by, task))


def figures_folder(model: Path) -> Path:
    """Where an agent's pictures go: `figures` in its run's folder, or beside its checkpoint; `NAME-figures` here for a
    packaged one."""
    if not model.exists():
        return Path(f"{model}-figures")
    return (model if model.is_dir() else model.parent) / "figures"


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a run that `load` takes, the first that is good.

    Raises:
        UserError: there is none.
    """
    found = [folder / f"{name}.safetensors" for name in ("best", "last", "previous")]
    found = [path for path in found if os.path.lexists(path)]
    if not found:
        check_single(folder)
        raise UserError(f"{folder}: no checkpoint in this folder; give a run's folder or a .safetensors file")
    return found


def checkpoint_of(path: Path) -> Path:
    """The checkpoint file that `path` stands for: the first of a run's, itself, or that of a packaged agent.

    Raises:
        UserError: there is none.
    """
    if path.is_dir():
        return checkpoints_in(path)[0]
    if path.exists():
        return path
    packaged = {file.stem: file for file in AGENTS.glob("*.safetensors")}
    if str(path) not in packaged:
        known = f", or the name of a packaged agent: {', '.join(sorted(packaged))}" if packaged else ""
        raise UserError(f"{path}: no such file or folder; give a run's folder, a checkpoint file{known}")
    return packaged[str(path)]
