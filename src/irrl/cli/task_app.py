"""The commands that every task has, made from its `Task`: train, test, draw, compare and figure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from irrl.cli.settings import Whole, settings_of
from irrl.cli.training import TrainFlags, Trainings, prepare
from irrl.errors import UserError, say
from irrl.references import resolve
from irrl.settings import preset_of
from irrl.task import Report, Task

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]


def app_of(task: Task) -> App:
    """A task's command line."""
    app = App(name=task.name, help=task.help)
    app.command(_train(task), name="train")
    app.command(_test(task), name="test")
    if task.draw is not None:
        app.command(_draw(task), name="draw")
    app.command(_compare(task), name="compare")
    figure = App(name="figure")
    figure.default(_figure(task))
    app.command(figure)
    if task.commands is not None:
        resolve(task.commands)(app)
    return app


def _train(task: Task) -> Callable[..., int]:
    presets = f"A full set of settings, which the flags below override: {', '.join(task.presets)}."

    @settings_of(task.config, aliases={task.progress.budget: "--budget"})
    def train_command(
        *,
        flags: TrainFlags,
        preset_name: Annotated[str, Parameter(name="--preset", help=presets)] = task.preset,
        **settings: Any,
    ) -> int:
        """Train an agent for each seed. Stopped or killed, the same command goes on where it was."""
        settings = task.given(settings)
        first = preset_of(task.presets, preset_name, settings)
        for name, needed in task.idle(vars(first)).items():
            if name in settings:
                raise UserError(f"`{name}={settings[name]}` does nothing without {needed}")
        return Trainings(task, flags, first).train()

    return train_command


def _test(task: Task) -> Callable[..., None]:
    @settings_of(task.test_options)
    def test_command(
        model: Path, *, seed: Whole = 0, as_json: Json = False, threads: Whole | None = None, **options: Any
    ) -> None:
        """Measure how good a trained agent is.

        Args:
            model: a run's folder (its best checkpoint), a checkpoint file, or the name of a packaged agent.
            seed: draws what is left to chance.
            threads: processor cores to use; all by default.
        """
        prepare(task, threads)
        report = _report(task, model, seed=seed, **options)
        if as_json:
            say(json.dumps(report.numbers))
        else:
            say("\n".join(report.lines))

    return test_command


def _report(task: Task, model: Path, *, seed: int, **options: Any) -> Report:
    """What a task's own `test` reports, or its agents'."""
    if task.test is not None:
        return resolve(task.test)(model, seed=seed, **options)
    from irrl.loading import load_own

    return load_own(model, task).test(seed=seed, **options)


def _draw(task: Task) -> Callable[..., None]:
    @settings_of(task.draw_options)
    def draw_command(model: Path, *, out: Path | None = None, threads: Whole | None = None, **options: Any) -> None:
        """Draw what a trained agent does.

        Args:
            model: a run's folder (its best checkpoint), a checkpoint file, or the name of a packaged agent.
            out: folder for the pictures; by default `figures` in the run's folder, or `NAME-figures` here for a
                packaged agent.
            threads: processor cores to use; all by default.
        """
        prepare(task, threads)
        for path in resolve(task.draw or "")(model, out, **options):
            say(path)

    return draw_command


def _compare(task: Task) -> Callable[..., None]:
    unit = task.progress.unit
    where = f"Compare at this {unit}; by default at the last one that all of them have reached."

    def compare_command(
        runs: list[Path],
        /,
        *,
        at: Annotated[Whole | None, Parameter(name=f"--{unit}", help=where)] = None,
        as_json: Json = False,
    ) -> None:
        """Compare runs over their seeds: a table of rewards, or whatever else the runs differ in.

        Args:
            runs: folders of runs, or of several seeds; runs that differ only in seed and budget are one row.
        """
        from irrl.cli.comparing import show_comparison

        show_comparison(task, runs, at, as_json=as_json)

    return compare_command


def _figure(task: Task) -> Callable[..., None]:
    names = f"Before them may stand which published figure it is: {', '.join(task.figures)}. " if task.figures else ""
    help = f"Folders of runs, or of several seeds; runs that differ only in seed and budget are one curve. {names}"

    def figure_command(runs: Annotated[list[Path], Parameter(help=help)], /, *, out: Path) -> None:
        """Draw the score along training, mean and interval over seeds, with the published curves dashed behind.

        Args:
            out: the picture: a png, pdf or svg file.
        """
        from irrl.cli.comparing import draw_comparison

        name = str(runs[0]) if str(runs[0]) in task.figures else None
        if task.figures and name is None:
            raise UserError(f"name a figure first, one of {', '.join(task.figures)}: not {runs[0]}")
        if not runs[name is not None :]:
            raise UserError(f"figure {name}: give RUNS, folders of runs or of several seeds")
        draw_comparison(task, runs[name is not None :], name, out)

    return figure_command
