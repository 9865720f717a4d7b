"""What the `train` command of every task shares: flags, one run a seed, and what it says when it was stopped."""

import dataclasses
import sys
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

from irrl.cli.settings import Whole, command_to_go_on
from irrl.errors import UserError, say
from irrl.extras import import_extra
from irrl.seeds import folders_of_seeds
from irrl.settings import recorded

if TYPE_CHECKING:
    from irrl.listeners import Listener
    from irrl.run import DiskRun, Plan


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
    threads: Whole | None = None
    """processor cores to use; all by default"""
    tensorboard: bool = False
    """write metrics for TensorBoard into the folder too"""
    wandb: bool = False
    """send metrics to Weights & Biases too (offline unless logged in)"""


class Trainings:
    """The runs that one command trains: one setting, seed by seed."""

    def __init__(self, flags: TrainFlags, first: Any, task: str, free: Set[str], unit: str):
        """Find the runs' folders; nothing is written yet.

        Args:
            first: the config of the first seed; it has a field for how many of `unit` to train, called `unit` + s.
            task: its name.
            free: fields that may change between one start and the next.
            unit: what the task counts its progress in.

        Raises:
            UserError: the folders are in use otherwise, or the flags do not go together.
        """
        folders = folders_of_seeds(flags.out, first.seed, flags.seeds)
        self.configs = {folder: dataclasses.replace(first, seed=seed) for seed, folder in folders.items()}
        """by folder"""
        self._flags, self._task, self._free, self._unit = flags, task, free, unit
        self.threads: int | None = None
        """that share a batch, where what is learned depends on how many; to be said before a run is opened"""
        if flags.seeds > 1 and flags.resume not in ("auto", "never"):
            raise UserError(f"--resume {flags.resume} goes with a single seed: leave out --seeds")

    def check(self) -> None:
        """Complain, while there is nothing to leave behind, of folders and packages that training would complain of."""
        from irrl.run import progress_of
        from irrl.run_folder import clear

        if self._flags.tensorboard:
            import_extra("tensorboardX", "tensorboard")
        if self._flags.wandb:
            import_extra("wandb", "wandb")
        for folder, config in self.configs.items():
            progress_of(folder, self._plan(config), resume=self._flags.resume)
            if folder.is_dir():
                clear(folder)

    def progress(self, folder: Path) -> int:
        """How many epochs (or whatever the unit) the run there has behind it."""
        from irrl.run import progress_of

        return progress_of(folder, self._plan(self.configs[folder]))

    def over(self, folder: Path) -> bool:
        """Whether the run there is trained to its end."""
        return self.progress(folder) >= getattr(self.configs[folder], f"{self._unit}s")

    def open(self, folder: Path, line: "Listener") -> "DiskRun":
        """Start or take up a run, heard by its progress line and by whom the flags name."""
        from irrl.listeners import TensorBoardListener, WandbListener
        from irrl.run import DiskRun

        plan = self._plan(self.configs[folder])
        run = DiskRun.open(folder, plan, resume=self._flags.resume)
        run.listeners.append(line)
        if self._flags.tensorboard:
            run.listeners.append(TensorBoardListener(folder))
        if self._flags.wandb:
            run.listeners.append(WandbListener(folder, dict(plan.config)))
        return run

    def in_turn(self, train_run: Callable[[Path], bool], reached: Callable[[int], str]) -> int:
        """Train one run after the other, but for those that are over, and say how good each became.

        Args:
            train_run: trains in a folder; True if the user asked to stop.
            reached: how far a run is, in words.

        Returns:
            The exit status.
        """
        from irrl.run_folder import read_rows

        stopped = False
        for folder, config in self.configs.items():
            if not stopped and not self.over(folder):
                if self._flags.seeds > 1:
                    print(f"seed {config.seed}: {folder}", file=sys.stderr)
                stopped = train_run(folder)
            if not self.over(folder):
                return self.stopped()
            rows = read_rows(folder / "metrics.jsonl")
            scores = (row["validation_accuracy"] for row in rows if "validation_accuracy" in row)
            best = max(scores, default=float("nan"))
            say(f"{folder}: {reached(self.progress(folder))}, best validation accuracy {best:.2%}")
        return 0

    def stopped(self) -> int:
        """Tell the user how to go on; the exit status of a training that was stopped."""
        saved = any((folder / "last.safetensors").exists() for folder in self.configs)
        said = "stopped and saved" if saved else "stopped before there was anything to save"
        print(f"{said}; go on with: {command_to_go_on()}", file=sys.stderr)
        return 130

    def _plan(self, config: Any) -> "Plan":
        from irrl.run import Plan

        defaults = recorded(type(config)())
        return Plan(self._task, recorded(config), self._free, defaults, self._unit, self.threads)
