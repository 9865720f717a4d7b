"""`irrl skills ...`: unsupervised skill discovery in four rooms."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from irrl.cli.settings import Whole, settings_of
from irrl.cli.training import TrainFlags, Trainings
from irrl.errors import UserError, say
from irrl.extras import import_extra
from irrl.machine import cores
from irrl.skills.config import FREE, Config, preset
from irrl.skills.four_rooms import read_rooms

app = App(name="skills", help="Unsupervised skill discovery in four rooms.")


@app.command(name="train")
@settings_of(Config)
def train_command(
    *, flags: TrainFlags, preset_name: Annotated[str, Parameter(name="--preset")] = "paper", **settings: Any
) -> int:
    """Train, as many seeds at a time as there are threads. Stopped or killed, the same command goes on where it was.

    Args:
        preset_name: a full set of settings, which the flags below override: paper, or fast, which needs a thirtieth of
            its iterations. --rooms small changes the number of skills, steps and iterations too.
    """
    if "rooms" in settings:
        settings["rooms"] = read_rooms(settings["rooms"])
    first = preset(preset_name, **settings)
    trainings = Trainings(flags, first, "skills", FREE, "iteration")
    if flags.wandb and flags.seeds > 1:
        raise UserError("--wandb follows one run at a time: leave out --seeds")
    threads = cores() if flags.threads is None else flags.threads
    if threads < 1:
        raise UserError(f"--threads is {threads}; it must be at least 1")
    import_extra("numba", "skills")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # tables need no accelerator, and should not take hold of one
    from irrl.cli.progress import ProgressLines
    from irrl.run import MemoryRun, Run
    from irrl.run_folder import read_rows
    from irrl.skills.paid import compile_reward
    from irrl.skills.train import train_all

    # Before anything is written: their complaints leave nothing behind.
    compile_reward(first.reward, first.skills)
    trainings.check()
    folder_of = {config: folder for folder, config in trainings.configs.items() if not trainings.over(folder)}
    lines = ProgressLines(seconds_between=10)

    def open_run(config: Config) -> Run:
        return trainings.open(folder_of[config], lines.line(partial(_describe, config=config)))

    asked = MemoryRun()  # hears of Ctrl-C on behalf of all
    with asked.interruptible():
        failures = train_all(list(folder_of), open_run, threads, lambda: asked.stop_requested)
    left = False
    for folder in trainings.configs:
        if not trainings.over(folder):
            left = True
            continue
        rows = read_rows(folder / "metrics.jsonl")
        exact = [row["effective_skills_exact"] for row in rows if "effective_skills_exact" in row] or [float("nan")]
        say(f"{folder}: iteration {trainings.progress(folder):,}, {exact[-1]:.1f} effective skills (exact)")
    if failures:
        return 2
    return trainings.stopped() if left else 0


def _describe(row: dict[str, Any], *, config: Config) -> str:
    return (
        f"seed {config.seed}  iteration {row['iteration']:,}/{config.iterations:,}  "
        f"effective skills {row['effective_skills_exact']:.1f}  reward {row['reward']:.3f}  "
        f"{row['microseconds_per_iteration']:.1f} us each"
    )


@app.command(name="test")
def test_command(
    run: Path, *, seed: Whole = 0, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False
) -> None:
    """Count the skills that a run has learned: means over its seeds, and each seed's.

    Args:
        run: a run's folder, or that of several seeds; or a checkpoint file.
        seed: draws the sampled episodes.
        as_json: print JSON.
    """
    import_extra("numba", "skills")
    from irrl.skills.occupancy import METRICS, test

    result = test(run, seed)
    if as_json:
        say(json.dumps(result))
    else:
        for name in METRICS:
            seeds = "  ".join(f"{each[name]:.4g}" for each in result["seeds"].values())
            say(f"{name:26} {result[name]:8.4g}   each seed: {seeds}")
        say(f"{'ceiling':26} {result['ceiling']:8.4g}")
        iterations = ", ".join(f"{each['iteration']:,} (seed {seed})" for seed, each in result["seeds"].items())
        say(f"iterations: {iterations}")


@app.command(name="occupancy")
def occupancy_command(run: Path, *, out: Path | None = None, iteration: Whole | None = None) -> None:
    """Draw where skills go: occupancy before and after training, which skill ends where, and a film of that.

    Args:
        run: a run's folder.
        out: folder for the pictures; `figures` in the run's folder by default.
        iteration: draw the checkpoint kept there; the last one by default.
    """
    import_extra("numba", "skills")
    from irrl.skills.occupancy import draw

    for path in draw(run, out, iteration=iteration):
        say(path)


@app.command(name="compare")
def compare_command(
    runs: list[Path],
    /,
    *,
    iteration: Whole | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Compare runs over their seeds: a table of rewards, or whatever else the runs differ in.

    Args:
        runs: folders of runs, or of several seeds; runs that differ only in seed and budget are one row.
        iteration: compare at this iteration; by default at the last one that all of them have reached.
        as_json: print JSON.
    """
    from irrl.cli.comparing import show_comparison
    from irrl.skills.comparison import STUDY

    show_comparison(STUDY, runs, iteration, as_json=as_json)


@app.command(name="figure")
def figure_command(runs: list[Path], /, *, out: Path) -> None:
    """Draw effective skills against iterations, mean and interval over seeds.

    The published curves are dashed behind if one of the runs has the paper's rooms, number of skills and steps.

    Args:
        runs: folders of runs, or of several seeds; runs that differ only in seed and budget are one curve.
        out: the picture: a png, pdf or svg file.
    """
    from irrl.cli.comparing import draw_comparison
    from irrl.skills.comparison import STUDY, published_for

    draw_comparison(STUDY, runs, published_for, out)


@app.command(name="noise")
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
