"""Trained models back from the disk."""

from pathlib import Path
from typing import TYPE_CHECKING

from irrl import checkpoint
from irrl.errors import UserError

if TYPE_CHECKING:
    from irrl.digits.evaluate import Agent


def load(path: str | Path) -> "Agent":
    """The model in a run's folder (its best checkpoint by validation, else its last) or in a checkpoint file.

    Raises:
        UserError: there is none, or it is damaged or not one of ours.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in ("best.safetensors", "last.safetensors") if (path / name).exists()]
        if not found:
            raise UserError(f"{path}: no checkpoint in this folder; give a run's folder or a .safetensors file")
        path = found[0]
    saved = checkpoint.load(path)
    task = saved.state.get("task")
    if task != "digits":
        raise UserError(f"{path}: a checkpoint of the task {task!r}; this version of irrl knows digits")
    from irrl.digits.evaluate import agent_of

    return agent_of(saved)
