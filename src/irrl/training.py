"""Training from Python, for any task, into a run's folder or without one."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from irrl import distributed
from irrl.errors import UserError
from irrl.listeners import Listener
from irrl.plan import plan_of
from irrl.registry import find, part_of
from irrl.run import DiskRun, MemoryRun
from irrl.task import Task, import_packages, preset
from irrl.task_check import checked


def train(
    task: str | Task,
    config: Any = None,
    *,
    out: str | Path | None = None,
    resume: str = "auto",
    take_over: bool = False,
    listeners: Iterable[Listener] = (),
    **settings: Any,
) -> Any:
    """Train an agent, or go on where `out` holds a run that was stopped.

    Args:
        task: `digits`, `skills`, `counting`, a task of an installed package, `module:ATTRIBUTE`, or a `Task`.
        config: the task's config, or the name of a preset; None: the preset that its `train` takes.
        out: the run's folder; None: nothing is written, and metrics go to `listeners` alone.
        resume, take_over: as for `DiskRun.open`.
        listeners: who hears of each row of metrics.
        settings: fields of the config to change.

    Returns:
        The agent as it is at the end, as the task's `train` gives it: with `config`, `test()` and `save(path)`.
        `irrl.load(out)` gives the best one.

    Raises:
        UserError: there is no such task, preset or setting, a value is out of range, the folder's run is another, or
            training came to numbers that are none.
    """
    known = find(task) if isinstance(task, str) else checked(task)
    if out is None and resume != "auto":
        raise UserError(f"`resume={resume}` goes on in a folder: give `out`")
    import_packages(known)
    chosen = known.preset if config is None else config
    fields = {field.name for field in dataclasses.fields(known.config)}
    if unknown := sorted(set(settings) - fields):
        raise UserError(f"the task {known.name} has no setting `{unknown[0]}`; it has {', '.join(sorted(fields))}")
    settings = known.given(settings)
    if isinstance(chosen, str):
        chosen = preset(known, chosen, settings)
    elif isinstance(chosen, known.config):
        chosen = dataclasses.replace(chosen, **settings)
    else:
        raise UserError(
            f"the config of the task {known.name} is a {known.config.__name__}, not {type(chosen).__name__}"
        )
    plan = plan_of(known, chosen)
    own = MemoryRun() if out is None else DiskRun(Path(out), plan, resume=resume, take_over=take_over)
    with distributed.together(), distributed.shared(own) as run:
        run.listeners.extend(listeners)
        with run.interruptible():
            return part_of(known, "train")(chosen, run)
