"""Pictures of where a trained run's skills go."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from irrl.errors import UserError
from irrl.figures import Picture, drawable, small_picture, write_picture
from irrl.files import check_folder
from irrl.films import write_mp4
from irrl.loading import figures_folder, read_agent
from irrl.rewards import label
from irrl.run_folder import kept_checkpoints
from irrl.skills.agent import Agent, restored_agent
from irrl.skills.evaluate import effective_skills, last_occupancy, walk
from irrl.skills.four_rooms import FourRooms
from irrl.skills.testing import agent_at, untrained

EPSILON = 0.005
"""Of the occupancy figure (Li et al. 2023)."""

COLOR_SCALE = (0.0, 0.1)
"""Of the occupancy figure, the same before and after (Li et al. 2023)."""


def draw(path: Path, out: Path | None, *, iteration: int | None = None) -> list[Path]:
    """Draw occupancy before and after training, which skill ends where, and a film of that over the kept checkpoints.

    Occupancy is exact, epsilon-greedy with epsilon 0.005, mean over skills; the paper estimates the same from 64
    episodes a skill.

    Args:
        path: a run's folder, or a checkpoint file, of which there is no film.
        out: folder for the pictures; `figures` in the run's folder, or beside the file, if None.
        iteration: of a checkpoint that the run kept; None: the last one.

    Raises:
        UserError: there is no such run or checkpoint, or `iteration` is given for a file.
    """
    is_run = path.is_dir()
    if not is_run and iteration is not None:
        raise UserError(f"{path}: a checkpoint file has one iteration: leave out `iteration`")
    # Read once: while the run trains on, its last checkpoint is replaced.
    last = agent_at(path, iteration) if is_run else read_agent(path, restored_agent)
    start = untrained(last.config)
    out = figures_folder(path) if out is None else out
    check_folder(out)
    kept = [number for number in kept_checkpoints(path, "iteration") if number < last.iteration] if is_run else []
    stages = [start, *(agent_at(path, number) for number in kept), last]
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


def sample(path: Path) -> Picture:
    """For reports: which skill of a checkpoint file's agent ends where, and how often each place is visited.

    Raises:
        UserError: it is no good checkpoint of this task.
    """
    stage = read_agent(path, restored_agent)
    figure = Figure(figsize=(8.2, 4.5), layout="constrained")
    skills, visits = figure.subplots(1, 2)
    found = _draw_skills(skills, stage)
    skills.set_title(f"where skills end: {found}", fontsize=9)
    _map(visits, stage.rooms, np.mean([now.mean(axis=0) for now in walk(stage.policy, EPSILON)], axis=0))
    visits.set_title("occupancy, all steps", fontsize=9)
    return small_picture(figure, f"After {stage.iteration:,} iterations: {found}. Numbers: the skills that end there.")


def _frame(stage: Agent) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(_skills_figure(stage))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _occupancy_figure(before: Agent, after: Agent) -> Figure:
    figure = Figure(figsize=(7, 6.4), layout="constrained")
    axes = figure.subplots(2, 2)
    for column, (stage, title) in enumerate(
        ((before, "before training"), (after, f"after {after.iteration:,} iterations"))
    ):
        path = np.stack([now.mean(axis=0) for now in walk(stage.policy, EPSILON)])
        for row, (values, what) in enumerate(((path.mean(axis=0), "all steps"), (path[-1], "last states"))):
            _map(axes[row, column], stage.rooms, values)
            axes[row, column].set_title(f"{what}, {title}", fontsize=10)
    figure.colorbar(axes[0, 0].images[0], ax=axes, shrink=0.6, label="share of visits", extend="max")
    return figure


def _map(axes: Axes, rooms: FourRooms, values: Float[np.ndarray, " states"]) -> None:
    picture = np.ma.masked_less(rooms.picture(values), 0)
    colors = colormaps["viridis"].with_extremes(bad="0.25")
    axes.set(xticks=[], yticks=[])
    axes.imshow(picture, cmap=colors, vmin=COLOR_SCALE[0], vmax=COLOR_SCALE[1])


def _skills_figure(stage: Agent) -> Figure:
    """The number of each skill, where its greedy episode ends; a cell is the lighter, the surer its skills are told."""
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    axes = figure.subplots()
    found = _draw_skills(axes, stage)
    axes.set_title(
        f"{drawable(label(stage.config.reward))}, seed {stage.config.seed}, iteration {stage.iteration:,}: {found}\n"
        "numbers: skills that end there; the lighter, the surer they are told; red: where all start",
        fontsize=10,
    )
    return figure


def _draw_skills(axes: Axes, stage: Agent) -> str:
    """Draw them; how many they are, in words."""
    policy, config, rooms = stage.policy, stage.config, stage.rooms
    ends = last_occupancy(policy, 0.0).argmax(-1)
    told = np.exp(policy.log_probs[ends, np.arange(config.skills)])
    axes.imshow(rooms.picture(np.ones(len(rooms.cells), int), wall=0), cmap="gray", vmin=-0.35, vmax=1)
    axes.set(xticks=[], yticks=[])
    effective = effective_skills(policy, np.arange(config.skills), ends)
    for state in np.unique(ends):
        row, column = rooms.cells[state].tolist()
        skills = np.flatnonzero(ends == state)
        color = colormaps["viridis"](told[skills].sum())
        axes.add_patch(_square(row, column, color))
        ink = "black" if told[skills].sum() > 0.6 else "white"
        axes.text(column, row, _names(skills), ha="center", va="center", fontsize=6, color=ink)
    row, column = rooms.cells[0].tolist()
    axes.add_patch(_square(row, column, "none", edge="red"))
    return f"{effective:.1f} effective skills, {len(np.unique(ends))} last states"


def _square(row: int, column: int, color: Any, edge: str = "none"):
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=color, edgecolor=edge, linewidth=1.5)


def _names(skills: Int[np.ndarray, " ending"]) -> str:
    return "\n".join(map(str, skills)) if len(skills) <= 2 else f"{len(skills)}\nskills"
