"""What a task is to the command line, to `irrl.load`, to comparisons, to studies."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, final

from irrl.extras import import_extra
from irrl.settings import preset_of

Settings = Mapping[str, Any]
"""A config's fields by name."""

Row = Mapping[str, Any]
"""A row of metrics."""


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
    cpu_only: bool = False
    """whether it has no use for an accelerator: the command line then keeps JAX from taking hold of one"""
    given: Callable[[dict[str, Any]], dict[str, Any]] = dict
    """settings as the user gives them -> as the config takes them: the text of a file for its path"""
    implied: Callable[[Settings], Settings] = nothing
    """settings given beside a preset -> others that go with them: the size of what is small"""
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
    model: str = "a run's folder (its best checkpoint, else its last)"
    """what `test` and `draw` take beside a checkpoint file, for their help"""
    packaged: bool = False
    """whether trained agents of it come with irrl, and go by names"""
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


def preset(task: Task, name: str, settings: Settings) -> Any:
    """A task's preset with some settings changed, and those that go with them, unless these are given too.

    Args:
        settings: as the config takes them: after `Task.given`.

    Raises:
        UserError: no such preset (the valid ones are listed), or a value is out of range.
    """
    return preset_of(task.presets, name, {**task.implied(settings), **settings})


def import_packages(task: Task) -> None:
    """Import what a task needs beside irrl's own packages.

    Raises:
        UserError: it is not installed; the extra that brings it is named.
    """
    if task.extra is not None:
        import_extra(*task.extra)
