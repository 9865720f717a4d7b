"""A study as its file says it: curves, their seeds and settings, and what is expected of them."""

import dataclasses
import math
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from irrl.errors import UserError, one_line, shortened
from irrl.files import read_file
from irrl.registry import BUILT_IN, find, registered
from irrl.reward_names import inside_clipped
from irrl.settings import ALIASES, check_type, recorded, types_of
from irrl.studies.lines import line_of
from irrl.task import Task
from irrl.task import preset as config_of

MOST_BYTES = 1_000_000
"""Of a study's file."""

MOST_RUNS = 10_000
"""Of a study."""

TABLE = {"title": str, "task": str, "preset": str, "seeds": list, "settings": dict, "threads": int, "published": str}
"""Fields of a study, but for `curve` and `expect`; those from `task` to `threads` hold for each curve."""

OF_CURVE = {"label": str, "reward": str, "task": str, "preset": str, "seeds": list, "settings": dict, "threads": int}
"""Fields of a curve: they go before the study's."""

OF_EXPECTATION = {"at": int | list, "metric": str, "within": float, "value": float, "least": float, "most": float}
"""Fields of an expectation."""


@dataclass(frozen=True)
class Job:
    """A run of a study: an ordinary run's folder, and the command that makes it and goes on with it."""

    curve: str
    """label of its curve"""
    task: Task
    config: Any
    folder: Path
    words: tuple[str, ...]
    """the command, without `irrl` before it"""
    threads: int
    """processor cores that it takes. Where these share a batch, what is learned depends on how many, by rounding"""

    @property
    def name(self) -> str:
        """For tables and for the names of logs."""
        return f"{folder_name(self.curve)}-seed-{self.config.seed}"

    @property
    def command(self) -> str:
        """For a shell."""
        return shlex.join(["irrl", *self.words])


@dataclass(frozen=True)
class Curve:
    """Runs that differ in their seed only."""

    label: str
    task: Task
    called: str
    """how the task is named on the command line"""
    preset: str
    settings: Mapping[str, Any]
    """changed from the preset's, as the user gives them; the reward is one"""
    seeds: tuple[int, ...]
    threads: int
    config: Any
    """of the first seed"""

    def job(self, seed: int, folder: Path) -> Job:
        """The run of a seed in a folder."""
        given = [f"--{name.replace('_', '-')}={value}" for name, value in self.settings.items()]
        words = [self.called, "train", "--preset", self.preset, *given, "--seed", str(seed)]
        words += ["--threads", str(self.threads), "--out", str(folder)]
        config = dataclasses.replace(self.config, seed=seed)
        return Job(self.label, self.task, config, folder, tuple(words), self.threads)


@dataclass(frozen=True)
class Expectation:
    """What the file expects of a curve, in numbers as tables show them: per cent, or effective skills."""

    curve: str
    at: int | None = None
    """epoch, iteration or episode; None: the last at which any seed was measured"""
    metric: str | None = None
    """None: the task's score"""
    within: float | None = None
    """how far it may lie from `value`, or from the published curve"""
    value: float | None = None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Study:
    """What a file says."""

    name: str
    """as it was asked for: paper/ram, or a path"""
    title: str
    curves: tuple[Curve, ...]
    expectations: tuple[Expectation, ...]
    published: str | None = None
    """the published figure that it repeats, where its task has several"""

    def jobs(self, out: Path, *, seeds: Iterable[int] = (), curves: Iterable[str] = ()) -> list[Job]:
        """Its runs, in folders `out/CURVE/seed-N`: the first seed of every curve, then the second of every curve, ...

        Args:
            seeds, curves: only these, if there are any.

        Raises:
            UserError: there are no such ones.
        """
        seeds, curves = list(seeds), list(curves)
        for name, asked, known in (
            ("curve", curves, [curve.label for curve in self.curves]),
            ("seed", seeds, sorted({seed for curve in self.curves for seed in curve.seeds})),
        ):
            if unknown := [each for each in asked if each not in known]:
                raise UserError(
                    f"{self.name}: no {name} {str(unknown[0])!r}; it has {shortened(', '.join(map(str, known)), 300)}"
                )
        longest = max(len(curve.seeds) for curve in self.curves)
        chosen = [curve for curve in self.curves if not curves or curve.label in curves]
        return [
            curve.job(seed, (out / folder_name(curve.label) / f"seed-{seed}").absolute())
            for number in range(longest)
            for curve in chosen
            for seed in curve.seeds[number : number + 1]
            if not seeds or seed in seeds
        ]


def folder_name(label: str) -> str:
    """A label as part of a path: `box-cox_0.5`."""
    name = re.sub(r"[^A-Za-z0-9.+=-]+", "_", label)
    return name if name.strip(".") else "_"


def built_in() -> list[str]:
    """Names of the studies that come with irrl."""
    top = Path(str(files("irrl.studies")))
    return sorted(path.relative_to(top).with_suffix("").as_posix() for path in top.rglob("*.toml"))


def read_study(name: str, own: Iterable[str] = ()) -> Study:
    """The study of that name that comes with irrl, or in the file of that path.

    Args:
        own: modules that the file may name, as `module:attribute`, for a task or a reward. A file may be a stranger's:
            what it names is imported when its runs are trained.

    Raises:
        UserError: there is none, or it is no study: what is wrong, and in which line.
    """
    known = built_in()
    path = Path(str(files("irrl.studies"))) / f"{name}.toml" if name in known else Path(name)
    try:
        text = read_file(path, MOST_BYTES).decode()
    except OSError as error:
        raise UserError(f"{name}: no such study: {error.strerror}; irrl has {', '.join(known)}") from error
    except UnicodeDecodeError:
        raise UserError(f"{name}: not a study: it is no text") from None
    return _Reader(name, text, frozenset(own)).study()


class _Reader:
    """What a file says, with complaints that name the line."""

    def __init__(self, name: str, text: str, own: frozenset[str]):
        self._name, self._text, self._own = name, text, own

    def study(self) -> Study:
        try:
            said = tomllib.loads(self._text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise UserError(f"{self._name}: not a study: {one_line(error) or 'nested too deeply'}") from None
        self._check_fields(said, TABLE | {"curve": list, "expect": dict}, ())
        if "title" not in said:
            self._refuse((), "a study needs a title")
        tables = said.get("curve", [])
        if not tables or not all(isinstance(each, dict) for each in tables):
            self._refuse(("curve",), "a study needs a [[curve]] at least")
        curves = [self._curve(said, number, table) for number, table in enumerate(tables)]
        self._check_different(curves)
        if sum(len(curve.seeds) for curve in curves) > MOST_RUNS:
            self._refuse(("seeds",), f"more than {MOST_RUNS:,} runs")
        published = said.get("published")
        if published is not None and not any(published in curve.task.figures for curve in curves):
            figures = dict.fromkeys(figure for curve in curves for figure in curve.task.figures)
            self._refuse(("published",), f"no published figure {published!r}; there is {', '.join(figures) or 'none'}")
        expectations = tuple(self._expectations(said.get("expect", {}), {curve.label: curve for curve in curves}))
        return Study(self._name, said["title"], tuple(curves), expectations, published)

    def _curve(self, study: dict[str, Any], number: int, table: dict[str, Any]) -> Curve:
        where = ("curve", number)
        self._check_fields(table, OF_CURVE, where)
        said = {name: study[name] for name in OF_CURVE if name in study} | table
        task = self._task(said.get("task"), _place(where, table, "task"))
        preset = said.get("preset", task.preset)
        if preset not in task.presets and preset not in ALIASES:
            at_preset = _place(where, table, "preset")
            self._refuse(at_preset, f"unknown preset {preset!r}; choose one of {', '.join(task.presets)}")
        settings = {**study.get("settings", {}), **table.get("settings", {})}
        if "reward" in table:
            settings["reward"] = table["reward"]
        seeds = said.get("seeds", [1])
        at_seeds = _place(where, table, "seeds")
        if not seeds or not all(type(seed) is int for seed in seeds) or len(set(seeds)) < len(seeds):
            self._refuse(at_seeds, "seeds must be different whole numbers, one at least, as in [1, 2, 3]")
        threads = said.get("threads", 1)
        if threads < 1:
            self._refuse(_place(where, table, "threads"), "threads must be at least 1")
        config = self._config(task, preset, settings, seeds, where, table)
        label = table.get("label", task.curve_name(recorded(config)))
        if not label.strip() or not label.isprintable() or len(label) > 100:
            self._refuse((*where, "label"), "a label must be printable text of at most 100 characters")
        return Curve(label, task, said["task"], preset, settings, tuple(seeds), threads, config)

    def _task(self, name: Any, where: tuple[Any, ...]) -> Task:
        if name is None:
            self._refuse(where, f"no task: name one of {', '.join(BUILT_IN)}, or one of your own")
        if name not in registered():
            self._check_own(name, "task", where)
        try:
            return find(name)
        except UserError as error:
            self._refuse(where, str(error))

    def _check_own(self, name: str, what: str, where: tuple[Any, ...]) -> None:
        """Refuse what would be imported because a file names it."""
        module = _innermost(name).partition(":")[0]
        if ":" in name and module not in self._own:
            self._refuse(where, f"the {what} {name!r} is not one of irrl's; if it is yours, say `own={module}`")

    def _config(
        self,
        task: Task,
        preset: str,
        settings: Mapping[str, Any],
        seeds: list[int],
        where: tuple[Any, ...],
        table: dict[str, Any],
    ) -> Any:
        """The config of a curve's first seed; its complaints name the line of the setting, if one is named."""

        def at(name: str) -> tuple[Any, ...]:
            inside = table.get("settings", {})
            own = (*where, "reward") if name == "reward" and "reward" in table else (*where, "settings", name)
            return own if name in inside or "reward" == name in table else ("settings", name)

        known = types_of(task.config)
        for name in settings:
            if name not in known or name == "seed":
                names = ", ".join(sorted(set(known) - {"seed"}))
                self._refuse(at(name), f"the task {task.name} has no setting {name!r}; it has {names}")
        reward = settings.get("reward")
        own = reward if isinstance(reward, str) and _is_own(reward) else None
        if own is not None:
            self._check_own(own, "reward", at("reward"))
        try:
            values = {name: self._value(known[name], value) for name, value in settings.items()}
            for name, value in values.items():
                check_type(name, value, known[name])
            config = config_of(task, preset, task.given({**values, "seed": seeds[0]}))
            for seed in seeds:
                dataclasses.replace(config, seed=seed)
            if own is None:
                _check_reward(config)
        except UserError as error:
            if "`seed" in str(error):
                self._refuse(_place(where, table, "seeds"), str(error))
            named = next((name for name in settings if f"`{name}" in str(error)), "reward" if reward else "")
            self._refuse(at(named) if named in settings else where, str(error))
        return config

    @staticmethod
    def _value(wanted: Any, value: Any) -> Any:
        return float(value) if wanted is float and type(value) is int else value

    def _check_different(self, curves: list[Curve]) -> None:
        for number, curve in enumerate(curves):
            for other in curves[:number]:
                if curve.label == other.label or folder_name(curve.label) == folder_name(other.label):
                    self._refuse(("curve", number), f"a second curve {curve.label!r}: give it a label of its own")
                if curve.task == other.task and _but_for_seed(curve) == _but_for_seed(other):
                    same = f"curve {curve.label!r} has the same settings as {other.label!r}, but for budget and logging"
                    self._refuse(("curve", number), same)

    def _expectations(self, said: dict[str, Any], curves: Mapping[str, Curve]) -> Iterator[Expectation]:
        for label, one_or_more in said.items():
            where = ("expect", label)
            if label not in curves:
                self._refuse(where, f"nothing can be expected of {label!r}; the curves are {', '.join(curves)}")
            for table in one_or_more if isinstance(one_or_more, list) else [one_or_more]:
                if not isinstance(table, dict):
                    self._refuse(where, "an expectation is a table, as { at = 100, within = 5 }")
                self._check_fields(table, OF_EXPECTATION, where)
                if bool(set(table) & {"least", "most"}) == ("within" in table):
                    self._refuse(where, "an expectation says how far `within`, or what `least` or `most`")
                if not all(math.isfinite(value) for value in table.values() if isinstance(value, float)):
                    self._refuse(where, "what is expected must be finite numbers")
                if "value" in table and "within" not in table:
                    self._refuse(where, "a `value` goes with `within`")
                at = table.get("at")
                listed = at if isinstance(at, list) else [1 if at is None else at]
                if not listed or not all(type(each) is int and each > 0 for each in listed):
                    self._refuse(where, "`at` must be whole numbers from 1 on, as in [50, 100]")
                if "within" in table and "value" not in table and not _is_published(curves[label]):
                    self._refuse(where, f"the paper has no such curve as {label!r}: say which `value`")
                for each in at if isinstance(at, list) else [at]:
                    numbers = {
                        name: float(table[name]) for name in ("within", "value", "least", "most") if name in table
                    }
                    yield Expectation(label, at=each, metric=table.get("metric"), **numbers)

    def _check_fields(self, table: Mapping[str, Any], known: Mapping[str, Any], where: tuple[Any, ...]) -> None:
        for name, value in table.items():
            if name not in known:
                self._refuse((*where, name), f"unknown field {shortened(name)!r}; choose from {', '.join(known)}")
            wanted = int | float if known[name] is float else known[name]
            if not isinstance(value, wanted) or isinstance(value, bool):
                kind = getattr(known[name], "__name__", known[name])
                self._refuse((*where, name), f"{name} is {shortened(repr(value))}; it must be of type {kind}")

    def _refuse(self, where: tuple[Any, ...], what: str) -> NoReturn:
        raise UserError(f"{self._name}, line {line_of(self._text, where)}: {what}")


def _innermost(reward: str) -> str:
    while (inside := inside_clipped(reward)) is not None:
        reward = inside
    return reward


def _is_own(reward: str) -> bool:
    """Whether a reward's name leads to a module of the user's."""
    head, colon, _ = _innermost(reward).partition(":")
    return bool(colon) and head not in ("box-cox", "clipped-box-cox")


def _check_reward(config: Any) -> None:
    """Complain of a reward that does not exist now, not in each run."""
    from irrl.rewards import get

    get(config.reward)


def _is_published(curve: Curve) -> bool:
    from irrl.comparison import published_curve

    return published_curve(curve.task, recorded(curve.config)) is not None


def _place(where: tuple[Any, ...], table: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    """Where a field stands that a curve may have, or else the study."""
    return (*where, name) if name in table else (name,)


def known_by(task: Task, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by which a run is known: budget, logging and what does nothing may change where it goes on."""
    left_out = task.free | set(task.idle(settings))
    return {name: value for name, value in settings.items() if name not in left_out}


def _but_for_seed(curve: Curve) -> dict[str, Any]:
    return known_by(curve.task, recorded(dataclasses.replace(curve.config, seed=0)))
