"""What a trained run does: its numbers over seeds, and pictures of where its skills go."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from irrl.errors import UserError
from irrl.figures import drawable, write_picture
from irrl.files import check_folder
from irrl.films import write_mp4
from irrl.loading import read_agent
from irrl.rewards import label
from irrl.run_folder import kept_checkpoints, read_config, run_checkpoints
from irrl.seeds import run_folders
from irrl.settings import check_range
from irrl.skills.config import FREE, Config
from irrl.skills.evaluate import Trained, agent_of, ceiling, effective_skills, last_occupancy, measure, restored, walk
from irrl.skills.four_rooms import FourRooms, rooms_of
from irrl.skills.train import initial_tables
from irrl.task import Report

EPSILON = 0.005
"""Of the occupancy figure (Li et al. 2023)."""

COLOR_SCALE = (0.0, 0.1)
"""Of the occupancy figure, the same before and after (Li et al. 2023)."""


def agent_at(folder: Path, iteration: int | None = None) -> Trained:
    """A run's agent at an iteration whose checkpoint it kept (0 is before training), the last one by default.

    Raises:
        UserError: there is no such run or checkpoint, or it is damaged.
    """
    config = read_config(folder, "skills", Config)
    rooms = rooms_of(config.rooms)
    if iteration == 0:
        return Trained(agent_of(initial_tables(config, rooms), config, rooms), config, rooms, 0)
    if not run_checkpoints(folder, "iteration"):
        raise UserError(f"{folder}: no checkpoint there: it was not trained to one yet, or only its metrics were kept")
    kept = kept_checkpoints(folder, "iteration")
    path = folder if iteration is None else kept.get(iteration, folder)
    found = read_agent(path, restored)
    if any(getattr(found.config, name) != value for name, value in asdict(config).items() if name not in FREE):
        raise UserError(f"{path}: not of the run whose config.json lies there")
    if iteration not in (None, found.iteration):
        known = ", ".join(f"{number:,}" for number in kept) or "none"
        raise UserError(
            f"{folder}: no checkpoint of iteration {iteration:,} (the last is {found.iteration:,}; "
            f"kept by `keep_every`: {known})"
        )
    return found


METRICS = ("effective_skills", "effective_skills_exact", "distinct_terminal_states", "mutual_information_nats")
"""What `test` reports."""


def test(path: Path, *, seed: int = 0) -> Report:
    """The metrics of a run's last checkpoint: means over its seeds, and each seed's; and their ceiling.

    Seeds whose training has not come to a checkpoint yet are left out.

    Args:
        path: a run's folder, or that of several seeds; or a checkpoint file.
        seed: draws the sampled episodes.

    Raises:
        UserError: there is no checkpoint, or the seeds had different settings.
    """
    check_range("seed", seed, 0, 2**32 - 1)
    if path.is_dir():
        folders = [folder for folder in run_folders([path]) if run_checkpoints(folder, "iteration")]
        if not folders:
            raise UserError(
                f"{path}: no checkpoint there: it was not trained to one yet, or only its metrics were kept"
            )
        found = map(agent_at, folders)
    else:
        found = [read_agent(path, restored)]
    each, settings, highest = {}, None, 0.0
    for agent, config, rooms, iteration in found:
        alike = {name: value for name, value in asdict(config).items() if name not in FREE | {"seed"}}
        if settings not in (None, alike):
            raise UserError(f"{path}: its seeds had different settings: give one of their folders")
        settings, highest = alike, ceiling(rooms, config.skills, config.steps)
        # Each seed of training draws episodes of its own, or the sampling error would not average out.
        final = last_occupancy(agent, config.epsilon)
        measured = measure(agent, final, config, np.random.default_rng([seed, config.seed, iteration]))
        each[str(config.seed)] = measured | {"iteration": iteration}
    means = {name: float(np.mean([row[name] for row in each.values()])) for name in METRICS}
    lines = [
        f"{name:26} {means[name]:8.4g}   each seed: {'  '.join(f'{row[name]:.4g}' for row in each.values())}"
        for name in METRICS
    ]
    lines += [f"{'ceiling':26} {highest:8.4g}"]
    lines += ["iterations: " + ", ".join(f"{row['iteration']:,} (seed {seed})" for seed, row in each.items())]
    return Report(means | {"ceiling": highest, "seeds": each}, lines)


def draw(folder: Path, out: Path | None, *, iteration: int | None = None) -> list[Path]:
    """Draw occupancy before and after training, which skill ends where, and a film of that over the kept checkpoints.

    Occupancy is exact, epsilon-greedy with epsilon 0.005, mean over skills; the paper estimates the same from 64
    episodes a skill.

    Args:
        out: folder for the pictures; `figures` in the run's folder if None.
        iteration: of a kept checkpoint; None: the last one.

    Raises:
        UserError: there is no such run or checkpoint.
    """
    # Read once: while the run trains on, its last checkpoint is replaced.
    last = agent_at(folder, iteration)
    start = agent_at(folder, 0)
    out = folder / "figures" if out is None else out
    check_folder(out)
    kept = [number for number in kept_checkpoints(folder, "iteration") if number < last.iteration]
    stages = [start, *(agent_at(folder, number) for number in kept), last]
    pictures = [_frame(stage) for stage in stages] if kept else []
    out.mkdir(parents=True, exist_ok=True)
    written = [out / "occupancy.png", out / "skills.png"]
    write_picture(_occupancy_figure(start, last), written[0], dpi=130)
    write_picture(_skills_figure(last), written[1], dpi=130)
    if pictures:
        film = out / "skills.mp4"
        write_mp4(pictures, film, milliseconds=300, last_milliseconds=3000)
        written.append(film)
    return written


def _frame(stage: Trained) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(_skills_figure(stage))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _occupancy_figure(before: Trained, after: Trained) -> Figure:
    figure = Figure(figsize=(7, 6.4), layout="constrained")
    axes = figure.subplots(2, 2)
    for column, (stage, title) in enumerate(
        ((before, "before training"), (after, f"after {after.iteration:,} iterations"))
    ):
        path = np.stack([now.mean(axis=0) for now in walk(stage.agent, EPSILON)])
        for row, (values, what) in enumerate(((path.mean(axis=0), "all steps"), (path[-1], "last states"))):
            _map(axes[row, column], stage.rooms, values)
            axes[row, column].set_title(f"{what}, {title}", fontsize=10)
    figure.colorbar(axes[0, 0].images[0], ax=axes, shrink=0.6, label="share of visits", extend="max")
    return figure


def _map(axes: Axes, rooms: FourRooms, values: Float[np.ndarray, "states"]) -> None:
    picture = np.ma.masked_less(rooms.picture(values), 0)
    colors = colormaps["viridis"].with_extremes(bad="0.25")
    axes.set(xticks=[], yticks=[])
    axes.imshow(picture, cmap=colors, vmin=COLOR_SCALE[0], vmax=COLOR_SCALE[1])


def _skills_figure(stage: Trained) -> Figure:
    """The number of each skill, where its greedy episode ends; a cell is the lighter, the surer its skills are told."""
    agent, config, rooms, iteration = stage
    ends = last_occupancy(agent, 0.0).argmax(-1)
    told = np.exp(agent.log_probs[ends, np.arange(config.skills)])
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(rooms.picture(np.ones(len(rooms.cells), int), wall=0), cmap="gray", vmin=-0.35, vmax=1)
    axes.set(xticks=[], yticks=[])
    effective = effective_skills(agent, np.arange(config.skills), ends)
    axes.set_title(
        f"{drawable(label(config.reward))}, seed {config.seed}, iteration {iteration:,}: "
        f"{effective:.1f} effective skills, {len(np.unique(ends))} last states\n"
        "numbers: skills that end there; the lighter, the surer they are told; red: where all start",
        fontsize=10,
    )
    for state in np.unique(ends):
        row, column = rooms.cells[state].tolist()
        skills = np.flatnonzero(ends == state)
        color = colormaps["viridis"](told[skills].sum())
        axes.add_patch(_square(row, column, color))
        ink = "black" if told[skills].sum() > 0.6 else "white"
        axes.text(column, row, _names(skills), ha="center", va="center", fontsize=6, color=ink)
    row, column = rooms.cells[0].tolist()
    axes.add_patch(_square(row, column, "none", edge="red"))
    return figure


def _square(row: int, column: int, color: Any, edge: str = "none"):
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=color, edgecolor=edge, linewidth=1.5)


def _names(skills: Int[np.ndarray, "ending"]) -> str:
    return "\n".join(map(str, skills)) if len(skills) <= 2 else f"{len(skills)}\nskills"
