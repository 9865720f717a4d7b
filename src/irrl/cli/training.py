"""What `train` does for any task: one run for each seed, and what it says when it was stopped."""

import dataclasses
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

import irrl
from irrl import distributed
from irrl.cli.settings import Whole
from irrl.errors import UserError, complaint, printable, say
from irrl.extras import import_extra
from irrl.plan import plan_of
from irrl.registry import part_of
from irrl.seeds import folders_of_seeds
from irrl.task import Task, import_packages

if TYPE_CHECKING:
    from irrl.listeners import Listener
    from irrl.run import Run


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainFlags:
    """Where and how to train."""

    out: Path
    """the run's folder; with several seeds it holds a folder seed-N for each"""
    seeds: Whole = 1
    """how many seeds to train, counting up from --seed"""
    resume: str = "auto"
    """auto goes on when the folder holds a run, never refuses to; or the path of a checkpoint, or of a run, from which
    a new folder goes on"""
    take_over: Annotated[bool, Parameter(negative="")] = False
    """go on in a folder that a process of another host holds, which must be dead"""
    threads: Whole | None = None
    """processor cores to use; all by default"""
    tensorboard: Annotated[bool, Parameter(negative="")] = False
    """write metrics for TensorBoard into the folder too"""
    wandb: Annotated[bool, Parameter(negative="")] = False
    """send metrics to Weights & Biases too (offline unless logged in)"""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Sharing:
    """With which other processes each batch is shared."""

    distributed: Annotated[bool, Parameter(negative="")] = False
    """train on several processes, each started with this command; Slurm and Open MPI say which is which"""
    coordinator: str | None = None
    """with --distributed: HOST:PORT of process 0, with a free port"""
    processes: Whole | None = None
    """with --distributed: how many processes there are"""
    process: Whole | None = None
    """with --distributed: which one this is, from 0; process 0 writes --out"""

    def start(self) -> None:
        """Meet the other processes, if any.

        Raises:
            UserError: the flags do not go together, or it is not known which process this is.
        """
        if self.distributed:
            advice = f"; go on with: {command_to_go_on()}"
            distributed.start(self.coordinator, self.processes, self.process, advice=advice)
            return
        for name in ("coordinator", "processes", "process"):
            if getattr(self, name) is not None:
                raise UserError(f"--{name} goes with --distributed")


def prepare(task: Task, threads: int | None) -> None:
    """See to it that a task's packages are there, and that JAX takes so many cores, before it is used.

    Raises:
        UserError: a package is missing, or `threads` is not positive.
    """
    if threads is not None and threads < 1:
        raise UserError(f"--threads is {threads}; it must be at least 1")
    import_packages(task)
    if task.threads_share == "batch":
        from irrl.devices import use_cores

        use_cores(threads)


class Trainings:
    """The runs that one command trains: one setting, seed by seed."""

    def __init__(self, task: Task, flags: TrainFlags, first: Any, called: str, sharing: Sharing | None = None):
        """Find the runs' folders; nothing is written yet.

        Args:
            first: the config of the first seed.
            called: how the user names the task.
            sharing: with which other processes, if any.

        Raises:
            UserError: the folders are in use otherwise, or the flags do not go together.
        """
        folders = folders_of_seeds(flags.out, first.seed, flags.seeds)
        self._configs = {folder: dataclasses.replace(first, seed=seed) for seed, folder in folders.items()}
        self._task, self._flags, self._first = task, flags, first
        self._called, self._sharing = called, sharing
        if flags.seeds > 1 and flags.resume not in ("auto", "never"):
            raise UserError(f"--resume {flags.resume} goes with a single seed: leave out --seeds")
        if flags.wandb and flags.seeds > 1 and task.threads_share == "seeds":
            raise UserError("--wandb follows one run at a time: leave out --seeds")

    def train(self) -> int:
        """Train those that are not over; the exit status.

        Raises:
            UserError: of the config, a folder or a package; nothing is left behind.
        """
        task, flags = self._task, self._flags
        prepare(task, flags.threads)
        if self._sharing is not None:
            self._sharing.start()
        with distributed.together():
            return self._train()

    def _train(self) -> int:
        task, flags = self._task, self._flags
        recorded = plan_of(task, self._first).identity["config"]
        distributed.check_same({"task": task.name, "seeds": flags.seeds, "version": irrl.__version__} | recorded)
        if distributed.is_first():
            self._complain()
        status = self._in_turn() if task.threads_share == "batch" else self._side_by_side()
        if status == 0 and distributed.is_first():
            self._tell_of_report()
        return status

    def _complain(self) -> None:
        """Say what is wrong before anything is written."""
        task, flags = self._task, self._flags
        if flags.tensorboard:
            import_extra("tensorboardX", "tensorboard")
        if flags.wandb:
            import_extra("wandb", "wandb")
        if task.cpu_only:
            os.environ.setdefault("JAX_PLATFORMS", "cpu")
        for folder in self._configs:
            self._check(folder)
        for note in task.notes(self._first):
            print(f"note: {complaint(note)}", file=sys.stderr)

    def _tell_of_report(self) -> None:
        own = ["--task", self._called] if ":" in self._called else []
        command = shlex.join(["irrl", "report", str(self._flags.out), *own, "--open"])
        print(f"see it, as a page: {printable(command)}", file=sys.stderr)

    def _in_turn(self) -> int:
        from irrl.cli.progress import ProgressLines

        train, stopped = part_of(self._task, "train"), False
        for folder, config in self._configs.items():
            if not stopped and not self._over(folder):
                if self._flags.seeds > 1 and distributed.is_first():
                    print(f"seed {config.seed}: {folder}", file=sys.stderr)
                with self._run(folder, ProgressLines()) as run, run.interruptible():
                    train(config, run)
                    stopped = not run.next_look(1)
            if not self._over(folder):
                return self._stopped()
            self._say_result(folder)
        return 0

    def _side_by_side(self) -> int:
        from irrl.cli.progress import ProgressLines
        from irrl.machine import cores
        from irrl.side_by_side import train_all

        folder_of = {config: folder for folder, config in self._configs.items() if not self._over(folder)}
        lines = ProgressLines(seconds_between=10)
        failures = train_all(
            part_of(self._task, "train"),
            list(folder_of),
            lambda config: self._run(folder_of[config], lines),
            self._flags.threads or cores(),
        )
        left = [folder for folder in self._configs if not self._over(folder)]
        for folder in self._configs:
            if folder not in left:
                self._say_result(folder)
        if failures:
            return 2
        return self._stopped() if left else 0

    def _check(self, folder: Path) -> None:
        """Complain of what training there would complain of."""
        from irrl.run import progress_of
        from irrl.run_folder import clear

        progress_of(folder, plan_of(self._task, self._configs[folder]), resume=self._flags.resume)
        if folder.is_dir():
            clear(folder)

    def _reached(self, folder: Path) -> int:
        from irrl.run import progress_of

        return progress_of(folder, plan_of(self._task, self._configs[folder]))

    def _over(self, folder: Path) -> bool:
        budget = getattr(self._configs[folder], self._task.progress.budget)
        return distributed.decided(lambda: self._reached(folder) >= budget)

    def _run(self, folder: Path, lines: Any) -> "Run":
        """The run there, heard by its progress line and by whom the flags name. It is opened by who trains."""
        from irrl.listeners import TensorBoardListener, WandbListener
        from irrl.run import DiskRun, MemoryRun

        if not distributed.is_first():
            return distributed.shared(MemoryRun())
        plan = plan_of(self._task, self._configs[folder])
        run = DiskRun(folder, plan, resume=self._flags.resume, take_over=self._flags.take_over)
        config = self._configs[folder]
        line: Listener = lines.line(lambda row: self._task.describe(row, config))
        run.listeners.append(line)
        if self._flags.tensorboard:
            run.listeners.append(TensorBoardListener(folder))
        if self._flags.wandb:
            run.listeners.append(WandbListener(folder, dict(plan.config)))
        return distributed.shared(run)

    def _say_result(self, folder: Path) -> None:
        from irrl.run_folder import read_rows

        if not distributed.is_first():
            return
        score, unit = self._task.score, self._task.progress.unit
        rows = read_rows(folder / "metrics.jsonl")
        best = max((row[score.metric] for row in rows if score.metric in row), default=float("nan"))
        say(f"{folder}: {unit} {self._reached(folder):,}, best {score.name} {score.shown(best)}")

    def _stopped(self) -> int:
        """Tell the user how to go on; the exit status of a training that was stopped."""
        said = "stopped"
        if distributed.is_first():
            saved = any((folder / "last.safetensors").exists() for folder in self._configs)
            said += " and saved" if saved else " before there was anything to save"
        print(f"{said}; go on with: {command_to_go_on()}", file=sys.stderr)
        return 130


def command_to_go_on() -> str:
    """The command line as typed, for a shell, without --resume: going on is the default."""
    words = [word for word in sys.argv[1:] if not word.startswith("--resume=")]
    if "--resume" in words:
        at = words.index("--resume")
        del words[at : at + 2]
    return shlex.join(["irrl", *words])
