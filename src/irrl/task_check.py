"""Whether a task that somebody wrote is one that irrl can work with: what is amiss is one line, not a traceback."""

import dataclasses
import re
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from irrl.errors import UserError, reason
from irrl.reward_names import AnyReward
from irrl.settings import types_of
from irrl.task import Task

FLAGS = frozenset(
    {"out", "preset", "seeds", "resume", "take_over", "threads", "tensorboard", "wandb", "json", "budget"}
    | {"help", "help_all", "version", "distributed", "coordinator", "processes", "process"}
)
"""Flags of `train` for every task, and of every command: a setting of that name would never be heard of."""

ARGUMENTS = frozenset({"task", "config", "listeners", "preset_name", "flags"})
"""What else `irrl.train` and the command line call their own arguments."""

TYPES = "int, float, bool, str, a Literal of texts, or irrl.reward_names.AnyReward"
"""Of a setting: a file holds it, a flag reads it."""

REFERENCES = ("train", "agent", "published", "test", "draw", "sample", "overview", "commands")
"""Fields of a `Task` that name what is imported when it is needed."""


def checked(task: Task) -> Task:
    """A task, if nothing is amiss with it as far as can be seen without importing what it names.

    Raises:
        UserError: something is; it says what.
    """
    try:
        _check(task)
    except UserError as error:
        raise UserError(f"the task {task.name!r}: {error}") from error
    return task


def _check(task: Task) -> None:
    for name in REFERENCES:
        reference = getattr(task, name)
        if not (reference is None or (isinstance(reference, str) and re.fullmatch(r"[\w.]+:[\w.]+", reference))):
            raise UserError(f"{name}={reference!r} must be text, 'package.module:attribute'")
    settings = _settings(task)
    if settings.get("seed") is not int or settings.get("reward") not in (str, AnyReward):
        raise UserError("its config needs the fields seed, an int, and reward, of type str or AnyReward")
    if settings.get(task.progress.budget) is not int:
        raise UserError(f"its config needs the field {task.progress.budget}, an int: the budget of its progress")
    for where, names in _named(task):
        if unknown := set(names) - set(settings):
            raise UserError(f"{where} names {min(unknown)!r}, which is no field of its config")
    if task.preset not in task.presets:
        raise UserError(f"preset={task.preset!r} is none of its presets, {', '.join(task.presets)}")
    for name, preset in task.presets.items():
        if not isinstance(preset, task.config):
            raise UserError(f"its preset {name!r} is no {task.config.__name__}")


def _settings(task: Task) -> dict[str, Any]:
    """The types of a task's settings, by name."""
    config = task.config
    if not (isinstance(config, type) and dataclasses.is_dataclass(config) and config.__hash__):
        raise UserError(f"config={config!r} is not a frozen dataclass")
    try:
        config()
        settings = types_of(config)
    except (TypeError, NameError, ValueError) as error:
        raise UserError(f"its config {config.__name__} does not do without arguments: {reason(error)}") from error
    for name, wanted in settings.items():
        if name in FLAGS | ARGUMENTS and (name, task.progress.budget) != ("budget", "budget"):
            raise UserError(f"its setting {name!r} is called as a flag or an argument of every task: rename it")
        if not _is_allowed(wanted):
            raise UserError(f"its setting {name!r} is of type {_shown(wanted)}; it can be {TYPES}")
    return settings


def _is_allowed(wanted: Any) -> bool:
    choices = get_origin(wanted) is Literal and all(isinstance(choice, str) for choice in get_args(wanted))
    return choices or wanted in (int, float, bool, str, AnyReward)


def _shown(wanted: Any) -> str:
    return wanted.__name__ if type(wanted) is type else str(wanted)


def _named(task: Task) -> Iterable[tuple[str, Iterable[str]]]:
    """Where a task names settings, and which."""
    yield from (("free", task.free), ("named", task.named), ("common", task.common or ()))
    yield from ((f"its section {heading!r}", names) for heading, names in task.sections.items())
