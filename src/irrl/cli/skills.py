"""What only `irrl skills` can do: occupancy and noise."""

from pathlib import Path

from cyclopts import App

from irrl.cli.helping import epilogue
from irrl.cli.settings import Whole
from irrl.errors import say
from irrl.extras import import_extra


def add_commands(app: App) -> None:
    """Add them to the task's command line."""
    app.command(occupancy_command, name="occupancy", help_epilogue=epilogue("skills occupancy runs/demo"))
    app.command(noise_command, name="noise", help_epilogue=epilogue("skills noise runs/demo --out noise.png"))


def occupancy_command(run: Path, *, out: Path | None = None, iteration: Whole | None = None) -> None:
    """Draw where skills go: occupancy before and after training, which skill ends where, and a film of that.

    Args:
        run: a run's folder (its last checkpoint), or a checkpoint file.
        out: folder for the pictures; by default `figures` in the run's folder, or beside the file.
        iteration: draw the checkpoint that the run kept there; the last one by default.
    """
    import_extra("numba", "skills")
    from irrl.skills.occupancy import draw

    for path in draw(run, out, iteration=iteration):
        say(path)


def noise_command(runs: list[Path], /, *, out: Path) -> None:
    """Draw how noisy the discriminator and every reward were along training, against the exact posterior.

    Args:
        runs: folders of runs, or of several seeds; runs that differ only in seed and budget are one row of pictures.
        out: the picture: a png, pdf or svg file.
    """
    from irrl.figures import check_picture, write_figure
    from irrl.skills.noise import noise_figure

    check_picture(out)
    write_figure(noise_figure(runs), out)
    say(out)
