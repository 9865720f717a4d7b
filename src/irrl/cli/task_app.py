"""The commands that every task has, made from its `Task`: train, test, draw, compare and figure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CommandCollisionError, Parameter

from irrl.cli.helping import HELP_FLAGS, WHERE, Headings, defaults_of, epilogue, heading_of, order_of
from irrl.cli.settings import Whole, leave_out, settings_of
from irrl.cli.training import Sharing, TrainFlags, Trainings, prepare
from irrl.errors import UserError, say
from irrl.registry import part_of
from irrl.task import Report, Task, preset

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]


COMMANDS = ("train", "test", "draw", "compare", "figure")
"""Of every task, but for `draw` where it draws nothing."""


def app_of(task: Task, called: str | None = None) -> App:
    """A task's command line.

    Args:
        called: how the user names the task; None: by its name.

    Raises:
        UserError: the task has a command of its own under a name that every task's has.
    """
    called = called or task.name
    training = f"{called} train"
    example = epilogue(f"{training} --preset demo --out runs/demo", more=training if task.common is not None else "")
    app = App(name=task.name, help=task.help, help_flags=HELP_FLAGS, help_epilogue=example)
    app.command(_train(task, called), name="train", help_epilogue=example)
    app.command(_test(task), name="test", help_epilogue=epilogue(f"{called} test runs/demo"))
    if task.draw is not None:
        app.command(_draw(task), name="draw", help_epilogue=epilogue(f"{called} draw runs/demo"))
    app.command(_compare(task), name="compare", help_epilogue=epilogue(f"{called} compare runs/demo"))
    named = f"{task.figures[0]} " if task.figures else ""
    example = epilogue(f"{called} figure {named}runs/demo --out demo.png")
    figure = App(name="figure", help_flags=HELP_FLAGS, help_epilogue=example)
    figure.default(_figure(task))
    app.command(figure)
    if task.commands is not None:
        try:
            part_of(task, "commands")(app)
        except CommandCollisionError:
            raise UserError(f"the task {called!r} adds a command that every task has, {', '.join(COMMANDS)}") from None
    return app


def _train(task: Task, called: str) -> Callable[..., int]:
    presets = f"A full set of settings, which the flags below override: {', '.join(task.presets)}."

    headings = Headings(defaults_of(task), order_of(task))
    where = headings[WHERE]

    @settings_of(
        task.config, aliases={task.progress.budget: "--budget"}, group=lambda name: headings[heading_of(task, name)]
    )
    def train_command(
        *,
        preset_name: Annotated[str, Parameter(name="--preset", help=presets, group=where)] = task.preset,
        flags: Annotated[TrainFlags, Parameter(name="*", group=where)],
        sharing: Annotated[Sharing | None, Parameter(name="*", group=where)] = None,
        **settings: Any,
    ) -> int:
        """Train an agent for each seed. Stopped or killed, the same command goes on where it was."""
        settings = task.given(settings)
        first = preset(task, preset_name, settings)
        for name, needed in task.idle(vars(first)).items():
            if name in settings:
                raise UserError(f"`{name}={settings[name]}` does nothing without {needed}")
        return Trainings(task, flags, first, called, sharing).train()

    return train_command if task.threads_share == "batch" else leave_out("sharing", train_command)


def _test(task: Task) -> Callable[..., None]:
    @settings_of(task.test_options)
    def test_command(
        model: Annotated[Path, Parameter(help=_model(task))],
        *,
        seed: Whole = 0,
        as_json: Json = False,
        threads: Whole | None = None,
        **options: Any,
    ) -> None:
        """Measure how good a trained agent is.

        Args:
            seed: draws what is left to chance.
            threads: processor cores to use; all by default.
        """
        prepare(task, threads)
        report = _report(task, model, seed=seed, **options)
        if as_json:
            say(json.dumps(report.numbers))
        else:
            say("\n".join(report.lines))

    return _with_threads_that_count(task, test_command)


def _model(task: Task) -> str:
    """What `test` and `draw` take."""
    others = ", a checkpoint file, or the name of a packaged agent." if task.packaged else ", or a checkpoint file."
    return task.model[:1].upper() + task.model[1:] + others


def _with_threads_that_count(task: Task, command: Callable[..., None]) -> Callable[..., None]:
    """Without --threads, where only seeds are trained side by side: it would do nothing."""
    return command if task.threads_share == "batch" else leave_out("threads", command)


def _report(task: Task, model: Path, *, seed: int, **options: Any) -> Report:
    """What a task's own `test` reports, or its agents'."""
    if task.test is not None:
        return part_of(task, "test")(model, seed=seed, **options)
    from irrl.loading import load_own

    return load_own(model, task).test(seed=seed, **options)


def _draw(task: Task) -> Callable[..., None]:
    where = "Folder for the pictures; by default `figures` in the run's folder, or beside the checkpoint file"
    where += ", or `NAME-figures` here for a packaged agent." if task.packaged else "."

    @settings_of(task.draw_options)
    def draw_command(
        model: Annotated[Path, Parameter(help=_model(task))],
        *,
        out: Annotated[Path | None, Parameter(help=where)] = None,
        threads: Whole | None = None,
        **options: Any,
    ) -> None:
        """Draw what a trained agent does.

        Args:
            threads: processor cores to use; all by default.
        """
        prepare(task, threads)
        for path in part_of(task, "draw")(model, out, **options):
            say(path)

    return _with_threads_that_count(task, draw_command)


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
