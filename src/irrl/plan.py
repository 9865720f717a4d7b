"""What a run is asked to be: where one lies already, it goes on if it was asked the same."""

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from irrl.errors import UserError, shortened
from irrl.settings import recorded, upgraded
from irrl.task import Task


@dataclass(frozen=True)
class Plan:
    """What a run is asked to be. A folder's run is gone on with if it was asked to be the same."""

    task: str
    config: Mapping[str, Any]
    """JSON values, as `irrl.settings.recorded` gives them"""
    free: Set[str] = frozenset()
    """fields that may change between one start and the next"""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """what fields count as that a recorded config lacks, for it is older than they are"""
    upgraded: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    """a recorded config -> the same in today's terms"""
    unit: str = "epoch"
    """what the task counts its progress in: the name of a number in a checkpoint's state"""

    @property
    def identity(self) -> dict[str, Any]:
        """Task and config as a file gives them back."""
        return json.loads(json.dumps({"task": self.task, "config": dict(self.config)}))

    def check(self, where: Path, recorded: Mapping[str, Any]) -> None:
        """Refuse the recorded task and config of what lies at `where` if they are not this run's.

        Raises:
            UserError: each difference is shown.
        """
        before, after = ({"task": either.get("task"), **either["config"]} for either in (recorded, self.identity))
        if before["task"] == after["task"]:
            before = {**self.defaults, **self.upgraded(before)}
        changes = [
            f"{name}: {_shown(before, name)} -> {_shown(after, name)}"
            for name in dict.fromkeys([*before, *after])
            if name not in self.free and (name in before, before.get(name)) != (name in after, after.get(name))
        ]
        if changes:
            raise UserError(f"{where}: made with another config, it cannot go on with this one: {', '.join(changes)}")


def plan_of(task: Task, config: Any) -> Plan:
    """The plan of a run of a task with some config.

    Raises:
        UserError: the config's reward has no name.
    """
    settings = recorded(config)
    free = task.free | set(task.idle(settings))
    return Plan(task.name, settings, free, recorded(task.config()), partial(upgraded, task.config), task.progress.unit)


def _shown(settings: Mapping[str, Any], name: str) -> str:
    return shortened(str(settings.get(name, "(absent)")))
