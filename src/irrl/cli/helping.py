"""What the help of a command shows: flags under headings, defaults of the preset that is named, and an example.

`--help` shows what is common, `--help-all` every flag.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cyclopts import Group

from irrl.errors import one_line, shortened
from irrl.reward_names import shown
from irrl.settings import preset_of
from irrl.task import Task

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

EVERY_FLAG = "--help-all"
HELP_FLAGS = ("--help", "-h", EVERY_FLAG)

WHERE, LOGGING, OTHERS = "Where and how", "Logging", "Settings"
"""Headings that are not a task's own."""

RARE = ("take_over", "distributed", "coordinator", "processes", "process")
"""Flags of `train` that are no settings, of which most users never have need."""

_TYPED: ContextVar[Sequence[str]] = ContextVar("typed", default=())


@contextmanager
def typed(words: Sequence[str]) -> Iterator[None]:
    """Meanwhile, help is for this command line."""
    token = _TYPED.set(tuple(words))
    try:
        yield
    finally:
        _TYPED.reset(token)


def epilogue(example: str, *, more: str = "") -> str:
    """How a command's help ends: where the other flags are, and an example, both after `irrl`."""
    return (f"Every flag: irrl {more} {EVERY_FLAG}\n\n" if more else "") + f"Example: irrl {example}"


class Headings:
    """The groups of flags of a command."""

    def __init__(self, formatter: "Defaults", names: Sequence[str]):
        self._groups = {name: Group(name, sort_key=place, help_formatter=formatter) for place, name in enumerate(names)}

    def __getitem__(self, name: str) -> Group:
        """The group under a heading; they stand in the order of their names."""
        return self._groups[name]


def heading_of(task: Task, name: str) -> str:
    """Under which heading a setting's flag stands: see `Task.sections`."""
    if name == "seed":
        return WHERE
    if name in task.free and name != task.progress.budget:
        return LOGGING
    named = (heading for heading, names in task.sections.items() if name in names)
    return next(named, title_of(task.config, name))


def title_of(config_class: type, name: str) -> str:
    """What the class that declares a field says it is about, if that is a part of the config's class."""
    declaring = next(each for each in config_class.__mro__ if name in vars(each).get("__annotations__", ()))
    text = declaring.__doc__ or ""
    if declaring is config_class or not text or text.startswith(f"{declaring.__name__}("):  # the latter is dataclasses'
        return OTHERS
    return text.partition("\n")[0].partition(":")[0].removesuffix(".")


def order_of(task: Task) -> list[str]:
    """A task's headings, in order: where and how, those that it names, those of the parts of its config, logging."""
    parts = (title_of(task.config, each.name) for each in dataclasses.fields(task.config))
    return [*dict.fromkeys([WHERE, *task.sections, *parts, LOGGING])]


class Defaults:
    """Shows a group of flags with the defaults of settings; without those that are not common, unless all are asked."""

    def __init__(self, settings: Callable[[], Any], common: frozenset[str] | None = None):
        """`settings`: gives what the defaults are read off; `common`: names of settings, None for all."""
        self._settings, self._common = settings, common

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        """Print a panel."""
        from cyclopts.help.formatters import DefaultFormatter

        settings = vars(self._settings())
        panel.entries = [
            self._with_default(entry, settings) for entry in panel.entries if self._is_shown(_field(entry), settings)
        ]
        if panel.entries:
            DefaultFormatter()(console, options, panel)

    def _is_shown(self, name: str, settings: Mapping[str, Any]) -> bool:
        if EVERY_FLAG in _TYPED.get() or self._common is None:
            return True
        return name not in RARE and (name not in settings or name in self._common)

    def _with_default(self, entry: "HelpEntry", settings: Mapping[str, Any]) -> "HelpEntry":
        value = settings.get(_field(entry))
        if value in (None, ""):
            return entry
        text = shortened(one_line(value), 40) if isinstance(value, str | int | float) else shown(value)
        return entry.copy(default=text)


def _field(entry: "HelpEntry") -> str:
    return entry.positive_names[0].removeprefix("--").replace("-", "_") if entry.positive_names else ""


def defaults_of(task: Task) -> Defaults:
    """For `train`: the defaults of the preset that is named on the command line."""
    always = {"reward", "seed", *task.free, task.progress.budget}
    common = None if task.common is None else task.common | always
    return Defaults(lambda: preset_of(task.presets, _preset() or task.preset, {}), common)


def _preset() -> str | None:
    words = _TYPED.get()
    named = [after for word, after in pairwise(words) if word == "--preset"]
    named += [word.partition("=")[2] for word in words if word.startswith("--preset=")]
    return named[-1] if named else None
