"""What a task is to the command line, to `irrl.load`, to comparisons and studies; and where tasks are found by name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal, NamedTuple, final

from irrl.errors import UserError, reason
from irrl.extras import import_extra
from irrl.references import resolve, resolve_typed

Settings = Mapping[str, Any]
"""A config's fields by name."""

Row = Mapping[str, Any]
"""A row of metrics."""

BUILT_IN = {name: f"irrl.{name}.task:TASK" for name in ("digits", "skills", "counting")}

GROUP = "irrl.tasks"
"""The entry points of packages that bring a task."""


@final
@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a training counts."""

    unit: str
    """one of it, as rows of metrics and a checkpoint's state name it: epoch"""
    budget: str
    """the setting for how many to train: epochs"""


@final
@dataclass(frozen=True, kw_only=True)
class Score:
    """What runs are compared by: more is better."""

    metric: str
    """as rows of metrics name it: validation_accuracy"""
    name: str
    """in words: validation accuracy"""
    is_share: bool
    """shown in per cent"""
    goals: tuple[float | int, ...] = ()
    """for which a comparison says when they were reached"""

    @property
    def scale(self) -> int:
        """Shown numbers over those in the rows."""
        return 100 if self.is_share else 1

    @property
    def label(self) -> str:
        """For an axis: the name and the unit."""
        return f"{self.name} (%)" if self.is_share else self.name

    def shown(self, score: float) -> str:
        """A score in a sentence."""
        return f"{score:.2%}" if self.is_share else f"{score:.1f}"


class Report(NamedTuple):
    """What a test of an agent found."""

    numbers: dict[str, Any]
    """JSON values by name"""
    lines: list[str]
    """the same in words"""


def nothing(settings: Any) -> Mapping[str, str]:
    """No names."""
    return {}


def reward_of(settings: Settings) -> str:
    """The name of the published curve of runs with a reward, if that is all that curves differ in."""
    return str(settings["reward"])


@final
@dataclass(frozen=True, kw_only=True)
class Task:
    """A problem and its agents: all that the command line, `irrl.load`, comparisons and studies know of it.

    A value without methods. What computes is named, not imported ("package.module:attribute"), as Gymnasium's entry
    points are: `irrl --help` waits for none of it. docs/extending.md walks through one.
    """

    name: str
    help: str
    """what it is, a sentence"""
    config: type
    """a frozen dataclass with a default for each field, among them `reward` and `seed`; a field's docstring is its
    flag's help. Where settings were renamed, it has a static method `upgraded` (`irrl.settings`)"""
    presets: Mapping[str, Any]
    """configs by name"""
    preset: str
    """the one that `train` takes where none is named"""
    progress: Progress
    score: Score
    describe: Callable[[Row, Any], str]
    """(row of metrics, config) -> the line that a training shows"""
    train: str
    """(config, run) -> Agent. Complaints of the config come before `run.restore()`: so they leave nothing behind"""
    agent: str
    """Checkpoint -> Agent"""
    free: frozenset[str] = frozenset()
    """budget and logging fields: they may change where a run goes on, and between runs that are compared"""
    threads_share: Literal["batch", "seeds"] = "seeds"
    """what `--threads` share: the rows of each batch, on devices of JAX; or seeds, each trained by one thread"""
    given: Callable[[dict[str, Any]], dict[str, Any]] = dict
    """settings as the user gives them -> as the config takes them: the text of a file for its path"""
    idle: Callable[[Settings], Mapping[str, str]] = nothing
    """settings -> those that do nothing beside the others, and the setting that they do nothing without, as messages
    name it: `model=dt-ram`, in backticks"""
    sections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """headings in the help of `train`, and which settings stand under each: what is shown, agent, training. A setting
    that is not named here, and that a base class of the config declares, stands under the beginning of that class's
    docstring, up to a colon; any other under Settings. Logging fields, and the seed, have headings already"""
    common: frozenset[str] | None = None
    """settings that `--help` shows beside reward, seed, budget and logging; the rest only `--help-all`. None: all"""
    notes: Callable[[Any], Iterable[str]] = nothing
    """config -> what the user may not have thought of, a line each; settings in backticks"""
    curve_name: Callable[[Settings], str] = reward_of
    """settings -> the name that the published curve of such runs has, or would have"""
    named: frozenset[str] = frozenset()
    """settings of which that name already says whether they are the default"""
    published: str | None = None
    """a `comparison.Published`: the paper's curves"""
    figures: tuple[str, ...] = ()
    """names of figures, where there are several"""
    test: str | None = None
    """(path, seed, **options) -> Report; None: `Agent.test(seed=seed, **options)`"""
    test_options: type | None = None
    """a frozen dataclass of what `test` can be told"""
    draw: str | None = None
    """(path, out, **options) -> the files drawn"""
    draw_options: type | None = None
    """a frozen dataclass of what `draw` can be told"""
    sample: str | None = None
    """(checkpoint file) -> a small `figures.Picture` of what the agent does there: a report has one for each of some"""
    overview: str | None = None
    """(runs' folders) -> a small `figures.Picture` of what their metrics say beside the curves: noise; None: nothing"""
    commands: str | None = None
    """App -> None: adds what only this task can do"""
    extra: tuple[str, str] | None = None
    """a package that it needs beside irrl's own, and irrl's extra that has it"""


def registered() -> dict[str, str]:
    """References of the tasks that come with irrl and with installed packages, by name; nothing is imported.

    A package cannot take the name of one that comes with irrl.
    """
    return {each.name: each.value for each in entry_points(group=GROUP)} | BUILT_IN


def find(name: str) -> Task:
    """The task called `name`: one that comes with irrl or an installed package, or `module:ATTRIBUTE`.

    The latter's module is looked for on Python's path, to whose end the current directory is added. So this is for
    names that the user typed; for one that stands in a file there is `find_registered`.

    Raises:
        UserError: there is none, or it is no `Task`.
    """
    if name in BUILT_IN:  # without a look at what is installed: `irrl --help` asks for each of them
        return _task(BUILT_IN[name], name)
    known = registered()
    if name in known:
        return _task(known[name], name)
    if ":" not in name:
        raise UserError(f"unknown task {name!r}; choose one of {', '.join(known)}, or your own as module:ATTRIBUTE")
    return _task(name, name, resolve_typed)


def find_registered(name: object) -> Task:
    """The task whose name a file holds: only one that comes with irrl or an installed package.

    Raises:
        UserError: there is none.
    """
    known = registered()
    if not isinstance(name, str) or name not in known:
        raise UserError(
            f"a checkpoint of the task {str(name)[:60]!r}; irrl knows {', '.join(known)}: hand in another, as "
            "irrl.load(path, task)"
        )
    return _task(known[name], name)


def import_packages(task: Task) -> None:
    """Import what a task needs beside irrl's own packages.

    Raises:
        UserError: it is not installed; the extra that brings it is named.
    """
    if task.extra is not None:
        import_extra(*task.extra)


def _task(reference: str, name: str, resolved: Callable[[str], Any] = resolve) -> Task:
    try:
        task = resolved(reference)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's module may raise anything
        raise UserError(f"cannot load the task {name!r}: {reason(error)}") from error
    if not isinstance(task, Task):
        raise UserError(f"{name!r} is a {type(task).__name__}, not an irrl.task.Task")
    return task
