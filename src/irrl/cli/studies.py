"""`irrl study`: what a study's file names is listed, trained, watched, checked and tabled."""

import dataclasses
import json
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from irrl.cli.helping import HELP_FLAGS, epilogue
from irrl.cli.settings import Whole
from irrl.cli.tables import print_wide, text_console
from irrl.errors import UserError, say
from irrl.files import read_file, replace_file

MOST_DOCUMENT = 4_000_000
"""Bytes of a document whose tables are filled."""

SECONDS_BETWEEN_TABLES = 2.0

app = App(
    name="study",
    help="Train whole figures from a file that names their runs, and look at what came out.",
    help_flags=HELP_FLAGS,
    help_epilogue=epilogue("study run demo"),
)

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Which:
    """Which runs."""

    out: Path | None = None
    """where the runs are: a folder a curve, and in it one a seed; studies/NAME by default"""
    curves: Annotated[tuple[str, ...], Parameter(name="--curve", negative="", show_default=False)] = ()
    """only this curve; may be given again"""
    seeds: Annotated[tuple[Whole, ...], Parameter(name="--seed", negative="", show_default=False)] = ()
    """only this seed; may be given again"""
    own: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    """a module of your own that the file may name, as module:attribute, for a task or a reward"""


def _study(name: str, which: Which) -> Any:
    from irrl.studies.study import read_study

    return read_study(name, which.own)


def _out(name: str, which: Which) -> Path:
    return which.out or Path("studies") / (Path(name).stem if name.endswith(".toml") else name)


def _jobs(study: Any, name: str, which: Which) -> list[Any]:
    """Its runs, where they are found under the folder."""
    from irrl.studies.progress import with_folders_in

    out = _out(name, which)
    return with_folders_in(study.jobs(out, seeds=which.seeds, curves=which.curves), out)


@app.command(name="list")
def list_command(*, as_json: Json = False) -> None:
    """List the studies that come with irrl."""
    from irrl.studies.study import built_in, read_study

    studies = [read_study(name) for name in built_in()]
    if as_json:
        say(json.dumps([{"name": each.name, "title": each.title} for each in studies]))
        return
    for study in studies:
        runs = sum(len(curve.seeds) for curve in study.curves)
        say(f"{study.name:24} {runs:3} runs  {study.title}")


@app.command(name="run", help_epilogue=epilogue("study run demo --workers 2"))
def run_command(
    name: str,
    /,
    *,
    which: Which = Which(),
    engine: Literal["local", "ray", "slurm"] = "local",
    workers: Whole | None = None,
    address: str = "auto",
    gpus: float = 0.0,
    slurm: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    take_over: Annotated[bool, Parameter(negative="")] = False,
    show: Annotated[bool, Parameter(name="--list", negative="")] = False,
) -> int:
    """Train what is missing of a study, and go on with what was stopped.

    Args:
        name: of a study that comes with irrl, or the path of a file.
        engine: processes of this machine, a Ray cluster, or Slurm.
        workers: how many runs at a time, for local; as many as there are cores by default.
        address: of the Ray cluster.
        gpus: accelerators that a run takes, for ray.
        slurm: NAME=VALUE, a parameter of the jobs, such as slurm_partition=long or timeout_min=600; may be given again.
        take_over: go on with runs that processes of other hosts hold, which must be dead.
        show: print the commands instead, one a line, for any other scheduler.
    """
    from irrl.run import MemoryRun
    from irrl.studies.engines.choice import open_engine
    from irrl.studies.engines.engine import train_all
    from irrl.studies.progress import is_over

    study = _study(name, which)
    out = _out(name, which)
    jobs = study.jobs(out, seeds=which.seeds, curves=which.curves)
    if show:
        for job in jobs:
            if not is_over(job):
                say(job.command)
        return 0
    asked = MemoryRun()
    with (
        open_engine(engine, out, jobs, workers=workers, address=address, gpus=gpus, slurm=slurm) as opened,
        asked.interruptible(),
        _live() as look,
    ):
        failures = train_all(jobs, opened, asked, look, take_over=take_over)
    if asked.stop_requested:
        said = "the jobs stay where they are" if opened.jobs_stay else "stopped and saved"
        print(f"{said}; go on with: {shlex.join(['irrl', *sys.argv[1:]])}", file=sys.stderr)
        return 130
    if failures:
        print(f"{len(failures)} of {len(jobs)} runs were given up", file=sys.stderr)
        return 1
    given = [name, *(["--out", str(which.out)] if which.out else []), *(f"--own={own}" for own in which.own)]
    look = shlex.join(["irrl", "study", "report", *given])
    print(f"all {len(jobs)} runs are over; see them, as a page: {look}", file=sys.stderr)
    return 0


@app.command(name="status", help_epilogue=epilogue("study status demo"))
def status_command(
    name: str,
    /,
    *,
    which: Which = Which(),
    once: Annotated[bool, Parameter(negative="")] = False,
    as_json: Json = False,
) -> None:
    """Show how far the runs of a study are: on a terminal, until all are over.

    Args:
        name: of a study that comes with irrl, or the path of a file.
        once: show it once, and end.
    """
    import time

    from irrl.studies.progress import progress

    jobs = _jobs(_study(name, which), name, which)
    if as_json:
        say(json.dumps([_as_json(progress(job)) for job in jobs]))
        return
    console = text_console()
    found = [progress(job) for job in jobs]
    if once or not console.is_terminal:
        print_wide(_status_table(found))
        return
    with Live(_status_table(found), console=console, auto_refresh=False) as live:
        while not all(each.state in ("over", "refused") for each in found):
            time.sleep(SECONDS_BETWEEN_TABLES)
            found = [progress(job) for job in jobs]
            live.update(_status_table(found), refresh=True)


@app.command(name="check", help_epilogue=epilogue("study check paper/skills-large --out results"))
def check_command(name: str, /, *, which: Which = Which(), as_json: Json = False) -> int:
    """Compare what came out with what the study expects; exit status 1 where a curve lies elsewhere, or is not there.

    Args:
        name: of a study that comes with irrl, or the path of a file.
    """
    from irrl.studies.check import check, table

    study = _study(name, which)
    if not study.expectations:
        raise UserError(f"{name}: it expects nothing: give it a table [expect]")
    findings = check(study, _jobs(study, name, which))
    if as_json:
        say(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        print_wide(table(findings, study.title))
    return int(any(finding.verdict != "as expected" for finding in findings))


@app.command(name="report", help_epilogue=epilogue("study report demo --open"))
def report_command(
    name: str,
    /,
    *,
    which: Which = Which(),
    page: Path | None = None,
    open_it: Annotated[bool, Parameter(name="--open", negative="")] = False,
) -> None:
    """Make a page of a study: its curves, tables, pictures, and where they come from.

    Args:
        name: of a study that comes with irrl, or the path of a file.
        page: the HTML file; report.html among its runs by default.
        open_it: show it in the browser.
    """
    from irrl.cli.reporting import show
    from irrl.studies.reporting import report_of

    study = _study(name, which)
    page = page or _out(name, which) / "report.html"
    show(report_of(study, _jobs(study, name, which), page), open_it=open_it)


@app.command(name="table", help_epilogue=epilogue("study table demo --write README.md"))
def table_command(
    name: str,
    /,
    *,
    which: Which = Which(),
    at: Whole | None = None,
    write: Path | None = None,
) -> None:
    """Print what came out as a table of Markdown.

    Args:
        name: of a study that comes with irrl, or the path of a file.
        at: the epoch, iteration or episode; by default what is expected, or the last one where nothing is.
        write: a document, in which it takes the place of what stands between the lines `<!-- study NAME -->` and
            `<!-- end -->`.
    """
    from irrl.studies.check import check, markdown, results

    study = _study(name, which)
    jobs = _jobs(study, name, which)
    findings = check(study, jobs) if study.expectations and at is None else results(study, jobs, at)
    text = markdown(findings)
    if write is None:
        say(text)
    else:
        _fill(write, name, text)
        say(write)


def _fill(document: Path, name: str, text: str) -> None:
    try:
        before = read_file(document, MOST_DOCUMENT).decode()
    except UnicodeDecodeError:
        raise UserError(f"{document}: no text") from None
    # What stands between holds no other mark: else a forgotten end would cost what follows it.
    marked = re.compile(rf"(<!-- study {re.escape(name)} -->\n)((?!<!-- ).*\n)*?(<!-- end -->)")
    after, count = marked.subn(lambda found: f"{found[1]}{text}\n{found[3]}", before)
    if not count:
        raise UserError(f"{document}: no lines <!-- study {name} --> and <!-- end --> there, between which to write")
    if after != before:
        replace_file(document, after.encode())


def _as_json(found: Any) -> dict[str, Any]:
    names = ("state", "reached", "budget", "rate", "seconds_left", "where", "complaint")
    return {
        "curve": found.job.curve,
        "seed": found.job.config.seed,
        "folder": str(found.job.folder),
        **{name: getattr(found, name) for name in names},
    }


def _status_table(found: Sequence[Any]) -> Table:
    from irrl.comparison import short

    drawn = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("run", "state", "progress", "rate", "left", "where"):
        drawn.add_column(name, justify="right" if name in ("progress", "rate", "left") else "left", no_wrap=True)
    for each in found:
        running = each.state in ("running", "stopped")
        unit = each.job.task.progress.unit
        rate = f"{short_rate(each.rate)} {unit}s/s" if running and each.rate else ""
        left = _duration(each.seconds_left) if running and each.seconds_left is not None else ""
        share = f"{short(each.reached)}/{short(each.budget)}"
        drawn.add_row(each.job.name, each.state, share, rate, left, each.where or each.complaint[:60])
    return drawn


def short_rate(rate: float) -> str:
    """A rate as a table has room for."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _duration(seconds: float) -> str:
    from irrl.cli.progress import duration

    return duration(seconds)


@contextmanager
def _live() -> Iterator[Any]:
    """A table of how far everything is, on a terminal; without one, a line whenever a run is over."""
    console = text_console(stderr=True)
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda found: live.update(Group(_status_table(_most_telling(found, console))), refresh=True)
        return
    over: set[Path] = set()

    def look(found: Sequence[Any]) -> None:
        for each in found:
            if each.state == "over" and each.job.folder not in over:
                over.add(each.job.folder)
                print(f"{each.job.name}: over, {len(over)}/{len(found)}", file=sys.stderr, flush=True)

    yield look


def _most_telling(found: Sequence[Any], console: Console) -> list[Any]:
    """What the terminal has room for: those at work first."""
    order = {"running": 0, "refused": 1, "stopped": 2, "waiting": 3, "over": 4}
    room = max(3, console.height - 5)
    return sorted(found, key=lambda each: order[each.state])[:room] if len(found) > room else list(found)
