"""A small picture of how a checkpoint's robot walks round tables, from above, for reports. MuJoCo is not needed."""

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon

from irrl.counting.config import Config
from irrl.counting.evaluate import Walks, load_agent
from irrl.counting.scene import Scenes
from irrl.counting.scene_config import EDGE_OF_KIND, KINDS, SceneConfig
from irrl.counting.source import scenes_for_testing
from irrl.figures import Picture, small_picture
from irrl.settings import part

CASES = 4
COLOURS = {"red": "#d70015", "blue": "#0a64d8"}
PATH, RIGHT, WRONG = "#6b6b70", "#248a3d", "#d70015"


def sample(path: Path) -> Picture:
    """How the robot in a checkpoint file walks round a few tables, the same for every checkpoint of a run.

    Raises:
        UserError: it is no good checkpoint of this task.
    """
    agent = load_agent(path)
    scenes = _scenes(part(SceneConfig, agent.config))
    walks = agent.walk(scenes)
    figure = Figure(figsize=(8.6, 2.6), layout="constrained")
    for index, axes in enumerate(np.atleast_1d(figure.subplots(1, CASES))):
        _draw_walk(axes, agent.config, scenes, walks, index)
    told = ", ".join(
        f"{count} as {answer} after {moves} moves"
        for count, answer, moves in zip(scenes.count, walks.answers, walks.moves, strict=True)
    )
    return small_picture(figure, f"Walks round {CASES} tables, from above. The robot counts {told}.")


@lru_cache(maxsize=2)
def _scenes(config: SceneConfig) -> Scenes:
    scenes = scenes_for_testing(config, 8 * CASES)
    # As in the films: of a scene with nothing to be counted one sees little.
    return scenes.take(np.argsort(-np.minimum(scenes.count, 4) - (scenes.level == 2), kind="stable")[:CASES])


def _draw_walk(axes: Axes, config: Config, scenes: Scenes, walks: Walks, index: int) -> None:
    """A table from above, with the robot's start below it."""
    axes.set_axis_off()
    far = config.camera_distance + 0.15
    axes.set(xlim=(-far, far), ylim=(-far, far), aspect="equal")
    axes.add_patch(Circle((0, 0), config.table_radius, facecolor="#efe7dc", edgecolor="#b9a98f"))
    for kind, place, yaw, wanted in zip(
        scenes.kind[index], scenes.place[index], scenes.yaw[index], scenes.is_goal[index], strict=True
    ):
        if kind >= 0:
            colour = COLOURS[KINDS[kind].split("_")[1]]
            corners = _seen_from_above(_corners(EDGE_OF_KIND[kind], place, float(yaw)))
            # What is to be counted stands out.
            axes.add_patch(Polygon(corners, facecolor=colour, edgecolor="none", alpha=1 if wanted else 0.3))
    moves, answer, right = int(walks.moves[index]), int(walks.answers[index]), int(scenes.count[index])
    stops = walks.viewpoint[index, : moves + 1]
    angle = 2 * np.pi / config.viewpoints
    for number, (now, after) in enumerate(pairwise(stops)):
        # Each move a little further out: so one that leads back is seen beside the way there.
        radius = config.camera_distance + 0.03 * (number % 4)
        way = angle * np.linspace(now, after, 12)
        axes.plot(*_seen_from_above(radius * np.stack([np.cos(way), np.sin(way)], axis=1)).T, color=PATH, linewidth=1.2)
    for number, stop in enumerate(stops):
        x, y = _seen_from_above(config.camera_distance * np.array([[np.cos(angle * stop), np.sin(angle * stop)]]))[0]
        last = number == moves
        axes.plot(x, y, "o", markersize=9 if last else 6, color="black" if last else PATH, zorder=3)
    chance = float(np.exp(walks.log_probs[index, moves].max()))
    goal = KINDS[scenes.goal[index]].replace("_", " ")
    axes.set_title(
        f"{right} {goal} \N{RIGHTWARDS ARROW} {answer}   {chance:.0%}",
        fontsize=9, color=RIGHT if answer == right else WRONG, pad=3,
    )  # fmt: skip


def _corners(edge: float, place: Float[np.ndarray, "2"], yaw: float) -> Float[np.ndarray, "4 2"]:
    square = edge / 2 * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    return place + square @ turn


def _seen_from_above(points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "points 2"]:
    """The robot starts at (distance, 0) and its right is y: on paper it starts below, and its right is right."""
    return np.stack([points[:, 1], -points[:, 0]], axis=1)
