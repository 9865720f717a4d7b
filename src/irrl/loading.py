"""Trained models back from the disk."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from irrl import checkpoint
from irrl.errors import UserError
from irrl.extras import import_extra
from irrl.seeds import check_single

if TYPE_CHECKING:
    import irrl.counting.evaluate
    import irrl.digits.evaluate
    import irrl.skills.evaluate

    Agent = irrl.counting.evaluate.Agent | irrl.digits.evaluate.Agent | irrl.skills.evaluate.Agent

T = TypeVar("T")

AGENTS = Path(__file__).parent / "agents"
"""Trained agents that come with the package."""


def load(path: str | Path) -> "Agent":
    """The trained agent in a run's folder (its best checkpoint by validation, else its last), in a checkpoint file, or
    the packaged one of that name, if there is no such file or folder.

    Raises:
        UserError: there is none, or it is damaged or not one of ours.
    """
    path = checkpoint_of(Path(path))
    saved = checkpoint.load(path)
    task = saved.state.get("task")
    if task == "digits":
        from irrl.digits.evaluate import restored_agent
    elif task == "skills":
        import_extra("numba", "skills")
        from irrl.skills.evaluate import restored_agent
    elif task == "counting":
        from irrl.counting.evaluate import restored_agent
    else:
        raise UserError(f"{path}: a checkpoint of the task {task!r}; irrl knows digits, skills and counting")
    return restored_agent(saved)


def load_own(path: str | Path, kind: type[T], task: str) -> T:
    """`load`, for what can be done with the agents of one task only.

    Raises:
        UserError: it is an agent of another task; or as for `load`.
    """
    agent = load(path)
    if not isinstance(agent, kind):
        raise UserError(f"{path}: not an agent of the {task} task")
    return agent


def figures_folder(model: Path) -> Path:
    """Where an agent's pictures go: `figures` in its run's folder, or beside its checkpoint; `NAME-figures` here for a
    packaged one."""
    if not model.exists():
        return Path(f"{model}-figures")
    return (model if model.is_dir() else model.parent) / "figures"


def checkpoint_of(path: Path) -> Path:
    """The checkpoint file that `load` reads.

    Raises:
        UserError: there is none.
    """
    if path.is_dir():
        found = [path / name for name in ("best.safetensors", "last.safetensors") if (path / name).exists()]
        if not found:
            check_single(path)
            raise UserError(f"{path}: no checkpoint in this folder; give a run's folder or a .safetensors file")
        return found[0]
    if path.exists():
        return path
    packaged = {file.stem: file for file in AGENTS.glob("*.safetensors")}
    if str(path) not in packaged:
        known = f", or the name of a packaged agent: {', '.join(sorted(packaged))}" if packaged else ""
        raise UserError(f"{path}: no such file or folder; give a run's folder, a checkpoint file{known}")
    return packaged[str(path)]
