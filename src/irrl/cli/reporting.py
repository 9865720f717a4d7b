"""`irrl report`: a page of runs, and the numbers in one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from irrl.errors import UserError, say
from irrl.files import check_folder, replace_file
from irrl.registry import find, find_registered
from irrl.run_folder import read_json
from irrl.seeds import run_folders
from irrl.task import Task


def report_command(
    runs: Annotated[list[Path] | None, Parameter(negative="")] = None,
    /,
    *,
    out: Path | None = None,
    open_it: Annotated[bool, Parameter(name="--open", negative="")] = False,
    extract_from: Annotated[Path | None, Parameter(name="--extract")] = None,
    task: Annotated[tuple[str, ...], Parameter(negative="")] = (),
) -> None:
    """Make a page of runs: compared, along training, at work; or give back the numbers in one.

    Args:
        runs: folders of runs, or of several seeds; runs of one task are one section. Or a study, by its name or file.
        out: the page, report.html by default; with --extract a JSON file, by default standard output.
        open_it: show it in the browser.
        extract_from: a page, whose numbers are given back as JSON.
        task: a task of your own that runs are of, as module:ATTRIBUTE; may be given several times.
    """
    if extract_from is not None:
        if runs or open_it or task:
            raise UserError("--extract goes alone, or with --out: leave out runs, --open and --task")
        _extract(extract_from, out)
        return
    if not runs:
        raise UserError("report: give RUNS, folders of runs or of several seeds, or a study")
    if len(runs) == 1 and not runs[0].is_dir() and _is_study(str(runs[0])):
        if task:
            raise UserError("--task goes with RUNS; of a study: irrl study report NAME --own MODULE")
        from irrl.cli.studies import Which, report_command

        return report_command(str(runs[0]), which=Which(), page=out, open_it=open_it)
    from irrl.report.document import Section, check_report, report

    out = out or Path("report.html")
    check_report(out)
    of_task = _by_task(runs, [find(name) for name in task])
    sections = [Section(each, folders) for each, folders in of_task]
    show(report(f"Report: {', '.join(each.name for each, _ in of_task)}", sections, out), open_it=open_it)


def show(page: Path, *, open_it: bool) -> None:
    """Say where a page is, or show it in the browser, too."""
    say(page)
    if open_it:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def _is_study(name: str) -> bool:
    from irrl.studies.study import built_in

    return name.endswith(".toml") or name in built_in()


def _extract(page: Path, out: Path | None) -> None:
    from irrl.report.extract import extract

    if out is not None:
        check_folder(out.parent)
    try:
        text = json.dumps(extract(page), indent=1, allow_nan=False)
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(f"{page}: damaged: NaN among its numbers") from error
    if out is None:
        say(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, text.encode() + b"\n")
        say(out)


def _by_task(runs: Sequence[Path], own: Sequence[Task]) -> list[tuple[Task, list[Path]]]:
    """Runs by their task, in the order in which they are given.

    A name out of a file is never imported: it is looked for among the tasks that the user typed and registered ones.
    """
    found: dict[str, tuple[Task, list[Path]]] = {}
    for folder in run_folders(runs):
        name = read_json(folder / "config.json", otherwise={}).get("task")
        task = next((each for each in own if each.name == name), None) or _registered(name, folder)
        found.setdefault(task.name, (task, []))[1].append(folder)
    return list(found.values())


def _registered(name: object, folder: Path) -> Task:
    try:
        return find_registered(name)
    except UserError:
        raise UserError(
            f"{folder / 'config.json'}: of the task {str(name)[:60]!r}, which is not registered: give --task "
            "module:ATTRIBUTE"
        ) from None
