"""Training from Python, for any task, into a run's folder or without one."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from irrl import distributed
from irrl.errors import UserError
from irrl.listeners import Listener
from irrl.plan import plan_of
from irrl.references import resolve
from irrl.run import DiskRun, MemoryRun
from irrl.settings import preset_of
from irrl.task import Task, find, import_packages


def train(
    task: str | Task,
    config: Any = None,
    *,
    out: str | Path | None = None,
    resume: str = "auto",
    listeners: Iterable[Listener] = (),
    **settings: Any,
) -> Any:
    """Train an agent, or go on where `out` holds a run that was stopped.

    Args:
        task: `digits`, `skills`, `counting`, a task of an installed package, `module:ATTRIBUTE`, or a `Task`.
        config: the task's config, or the name of a preset; None: the preset that its `train` takes.
        out: the run's folder; None: nothing is written, and metrics go to `listeners` alone.
        resume: as for `DiskRun.open`.
        listeners: who hears of each row of metrics.
        settings: fields of the config to change.

    Returns:
        The agent as it is at the end: with `config`, `test()` and `save(path)`. `irrl.load(out)` gives the best one.

    Raises:
        UserError: there is no such task, preset or setting, a value is out of range, the folder's run is another, or
            training came to numbers that are none.
    """
    known = find(task) if isinstance(task, str) else task
    import_packages(known)
    chosen = known.preset if config is None else config
    fields = {field.name for field in dataclasses.fields(known.config)}
    if unknown := sorted(set(settings) - fields):
        raise UserError(f"the task {known.name} has no setting `{unknown[0]}`; it has {', '.join(sorted(fields))}")
    if isinstance(chosen, str):
        chosen = preset_of(known.presets, chosen, known.given(settings))
    elif isinstance(chosen, known.config):
        chosen = dataclasses.replace(chosen, **settings)
    else:
        raise UserError(
            f"the config of the task {known.name} is a {known.config.__name__}, not {type(chosen).__name__}"
        )
    own = MemoryRun() if out is None else DiskRun(Path(out), plan_of(known, chosen), resume=resume)
    with distributed.together(), distributed.shared(own) as run:
        run.listeners.extend(listeners)
        with run.interruptible():
            return resolve(known.train)(chosen, run)
