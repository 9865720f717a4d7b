"""Films of a robot at its table: the room, what it sees, and what it believes."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from irrl.counting.evaluate import Agent, load_agent
from irrl.counting.scene import Scenes
from irrl.counting.scene_config import KINDS
from irrl.counting.simulator import DRIVE_SECONDS, Simulator
from irrl.counting.source import scenes_for_testing
from irrl.errors import UserError
from irrl.files import check_folder
from irrl.films import Frame, write_gif, write_mp4
from irrl.loading import figures_folder

MILLISECONDS, LAST_MILLISECONDS = 100, 2500
"""How long the film shows a picture, and the last one with the answer."""
LOOKING = 7
"""Pictures while the robot stands and looks."""
ROOM, EYE = (480, 640), (320, 480)
"""Sizes of the two pictures, height and width, pixels; the second, at most."""
BELIEF, ANSWER, RIGHT, WRONG = "#0a64d8", "#e8750a", "#248a3d", "#d70015"


def draw(model: Path, out: Path | None = None, *, cases: int = 3, seed: int = 0) -> list[Path]:
    """Film a trained robot at work in MuJoCo.

    Args:
        model: a run's folder (its best checkpoint), a checkpoint file, or the name of a packaged robot.
        out: folder for the films; None: `figures` in the run's folder, or beside the checkpoint; `NAME-figures` here
            for a packaged one.
        cases: how many; of four times as many, those with the most to be counted (four or more are alike) and hidden.
        seed: draws the scenes.

    Returns:
        The files: case-1.mp4, case-1.gif, and so on.

    Raises:
        UserError: there is no good checkpoint, or nothing to draw with.
    """
    if cases < 1:
        raise UserError(f"`cases` is {cases}; it must be at least 1")
    agent = load_agent(model)
    out = figures_folder(model) if out is None else out
    check_folder(out)
    scenes = scenes_for_testing(agent.config, 4 * cases, seed)
    # A film of nothing to be counted shows little.
    scenes = scenes.take(np.argsort(-np.minimum(scenes.count, 4) - (scenes.level == 2), kind="stable")[:cases])
    paths = []
    for index in range(cases):
        frames = film(agent, scenes.take(slice(index, index + 1)))
        out.mkdir(parents=True, exist_ok=True)
        pace = {"milliseconds": MILLISECONDS, "last_milliseconds": LAST_MILLISECONDS}
        for write in (write_mp4, write_gif):
            path = out / f"case-{index + 1}.{write.__name__.removeprefix('write_')}"
            write(frames, path, **pace)
            paths.append(path)
    return paths


def film(agent: Agent, scene: Scenes) -> list[Frame]:
    """A walk round one table: the robot drives, looks, and believes, until it answers."""
    config = agent.config
    walks = agent.walk_in_simulator(scene)
    moves = int(walks.moves[0])
    beliefs = np.exp(walks.log_probs[0])
    prior = np.array(config.count_weights)
    goal, right = KINDS[scene.goal[0]].replace("_", " "), int(scene.count[0])
    simulator = Simulator(config, scene, 0, smooth=True)
    scale = min(EYE[0] / config.height, EYE[1] / config.width)
    eye_size = round(scale * config.height) or 1, round(scale * config.width) or 1
    frames = []
    with simulator.eyes("room", *ROOM) as room, simulator.eyes("eye", *eye_size) as eye:

        def shoot(belief, title, color="black", answer=None):
            frames.append(_frame(room(), eye(), belief, f"How many {goal} cubes?   {title}", color, answer))

        shoot(prior, "")
        for number in range(moves + 1):
            if number:
                before = beliefs[number - 1]
                steps = int(walks.viewpoint[0, number] - walks.viewpoint[0, number - 1])
                for _ in simulator.drive(steps, round(DRIVE_SECONDS * 1000 / MILLISECONDS)):
                    shoot(before, f"goes {'right' if steps > 0 else 'left'}")
            for _ in range(LOOKING):
                shoot(beliefs[number], f"after {number} move{'s' * (number != 1)}" if number else "at the start")
        answer = int(beliefs[moves].argmax())
        verdict = "right" if answer == right else f"wrong: there are {right}"
        shoot(beliefs[moves], f"{answer}: {verdict}", RIGHT if answer == right else WRONG, answer)
    return frames


def _frame(
    room: UInt8[np.ndarray, "_ _ 3"],
    eye: UInt8[np.ndarray, "_ _ 3"],
    belief: Float[np.ndarray, " classes"],
    title: str,
    color: str,
    answer: int | None,
) -> Frame:
    """One picture of the film."""
    figure = Figure(figsize=(11.6, 5.2), dpi=100, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    left = figure.add_axes((0.01, 0.01, 0.55, 0.9))
    left.imshow(room)
    seen = figure.add_axes((0.575, 0.37, 0.415, 0.54))
    seen.imshow(eye)
    for axes in (left, seen):
        axes.set_axis_off()
    bars = figure.add_axes((0.61, 0.09, 0.375, 0.23))
    classes = np.arange(len(belief))
    bars.bar(classes, belief, color=[ANSWER if each == answer else BELIEF for each in classes])
    bars.set(ylim=(0, 1), xticks=classes, yticks=(0, 1), ylabel="belief")
    bars.spines[["top", "right"]].set_visible(False)
    figure.text(0.01, 0.94, title, fontsize=15, color=color)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
