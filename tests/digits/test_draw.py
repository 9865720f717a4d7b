"""The pictures: what stands where in them, the film's frames, the files, and the errors."""

import json
from functools import cache

import jax
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

from irrl.digits import draw as drawing
from irrl.digits.config import Config
from irrl.digits.data import Canvases
from irrl.digits.draw import (
    FIRST,
    LAST,
    LATER,
    WRONG,
    Case,
    draw,
    film,
    gaze_figure,
    learning_curve,
    sheet,
    squares,
    watch,
)
from irrl.digits.evaluate import Agent
from irrl.digits.glimpse import PIXEL_MEAN, PIXEL_STD, glimpses, pyramid
from irrl.digits.networks import initial_params
from irrl.errors import UserError
from irrl.films import write_gif, write_mp4

CONFIG = Config(canvas=30, patch=4, scales=2, glimpses=3, test_size=9, sensor_units=6, hidden_units=7, locator_units=5)
ZOOM = 6
LEFT, TOP = 190, 58
"""A canvas of 30 pixels is drawn 180 film pixels wide; a single one stands here, under the legend and its title."""

PACE = {"milliseconds": drawing.MILLISECONDS, "last_milliseconds": drawing.LAST_MILLISECONDS}


@cache
def agent() -> Agent:
    return Agent(CONFIG, initial_params(CONFIG, key=jax.random.key(0)))


def canvases(count: int = 9) -> Canvases:
    rng = np.random.default_rng(0)
    return Canvases(
        rng.integers(257, size=(count, 30, 30)).astype(np.uint16), rng.integers(10, size=count, dtype=np.int32)
    )


def case(answer: int = 4, glimpses: int = 3) -> Case:
    """A black canvas with one white pixel at x 20, y 3; 2x2 squares at (4, 4), (20, 10), (10, 20), 4x4 round them."""
    canvas = np.zeros((30, 30), np.uint16)
    canvas[3, 20] = 256
    fine = np.array([[4, 4, 2], [20, 10, 2], [10, 20, 2]])[:glimpses]
    seen = np.zeros((glimpses, 2, 2, 2))
    seen[-1, 1, 0, 1] = 1
    probabilities = np.where(np.arange(10) == answer, 0.5, 0.5 / 9)
    return Case(canvas, 4, probabilities, np.stack([fine, fine + np.array([-1, -1, 2])], axis=1), seen)


def pixels(figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def at(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """The pixel of the picture at (x, y) of its only canvas."""
    return image[round(TOP + ZOOM * y), round(LEFT + ZOOM * x)].astype(int)


def color_near(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """The brightest pixel at most one from (x, y): lines are about two pixels wide."""
    block = image[round(TOP + ZOOM * y) - 1 :, round(LEFT + ZOOM * x) - 1 :][:3, :3].reshape(-1, 3)
    return block[block.sum(axis=1).argmax()].astype(int)


def rgb(color: str) -> np.ndarray:
    return np.array([round(255 * part) for part in to_rgb(color)])


def close(pixel: np.ndarray, color: str, tolerance: int = 3) -> bool:
    return bool(np.abs(pixel - rgb(color)).max() <= tolerance)


@pytest.mark.parametrize("patch", [4, 3, 1])
def test_squares_are_what_the_sensor_cuts(patch):
    config = Config(canvas=30, patch=patch, scales=3, glimpses=1)
    locations = np.random.default_rng(1).uniform(-1, 1, (50, 2)).astype(np.float32)
    locations[:4] = [[-1, -1], [1, 1], [0, 0], [-1, 1]]
    image = canvases(1).images

    @jax.jit
    def look(images, locations):
        pooled = pyramid(images, scales=3)
        return glimpses(pooled, locations, patch=patch)

    seen = look(image.repeat(50, axis=0), locations)
    seen = np.asarray(seen).reshape(50, 3, patch, patch)
    framed = np.pad((image[0] / 256 - PIXEL_MEAN) / PIXEL_STD, 60)
    for glimpse, scales in enumerate(squares(locations, config)):
        for scale, (left, top, side) in enumerate(scales):
            cut = framed[60 + top : 60 + top + side, 60 + left : 60 + left + side]
            pooled = cut.reshape(patch, side // patch, patch, side // patch).mean((1, 3))
            np.testing.assert_allclose(seen[glimpse, scale], pooled, atol=1e-5)


def test_squares_by_hand():
    config = Config(canvas=30, patch=5, scales=2, glimpses=2)
    # The centres are (15, 15) and, of 0.5 * 0.3 * 30 = 4.5 and 0.5 * 2 * 30 = 30, (4, 30).
    assert squares(np.array([[0, 0], [-0.7, 1]], np.float32), config).tolist() == [
        [[13, 13, 5], [10, 10, 10]],
        [[2, 28, 5], [-1, 25, 10]],
    ]


def test_figure_has_the_path_in_its_colors():
    image = pixels(gaze_figure([case()]))
    assert image.shape == (32 + 26 + 180 + 14, 560, 3)
    assert at(image, 0.5, 0.5).tolist() == [0, 0, 0]
    assert at(image, 20.5, 3.5).tolist() == [255, 255, 255]
    assert at(image, 19.9, 3.5).tolist() == at(image, 20.5, 4.1).tolist() == [0, 0, 0]
    for (x, y), color in {(4, 4): FIRST, (20, 10): LATER, (10, 20): LAST}.items():
        for corner in (0, 1.7), (2, 0.3), (0.3, 0), (1.7, 2):
            assert close(color_near(image, x + corner[0], y + corner[1]), color)
        # The coarse square is of the same hue, and fainter.
        wide = color_near(image, x - 1, y - 0.5)
        assert 0 < wide.max() < 0.6 * rgb(color).max()
        assert wide.argmax() == rgb(color).argmax()
        assert at(image, x - 1.6, y - 0.5).tolist() == [0, 0, 0]
    # Half way from (5, 5) to (21, 11), and from there to (11, 21).
    for x, y in (13, 8), (16, 16):
        assert color_near(image, x, y).argmax() == 1


def test_squares_end_with_the_canvas():
    outside = case()
    outside.squares[1] = [[29, 10, 2], [28, 9, 4]]
    between_canvas_and_panel = slice(160 + 182, 160 + 185)
    assert (film([outside])[1][TOP:, between_canvas_and_panel] == 255).all()


@pytest.mark.parametrize(("answer", "wrong"), [(4, False), (9, True)])
def test_a_wrong_answer_is_red(answer, wrong):
    title = pixels(gaze_figure([case(answer)]))[32:TOP]
    assert (np.abs(title.astype(int) - rgb(WRONG)).max(axis=-1) < 9).any() == wrong
    assert (title.max(axis=-1) < 9).any() != wrong


def test_title_names_digit_answer_and_probability():
    (axes,) = gaze_figure([case(9)]).axes
    assert axes.get_title() == "4 → 9   50%"


def test_film_shows_one_glimpse_more_a_frame(monkeypatch):
    monkeypatch.setattr(f"{__name__}.LEFT", 160)  # 60 pixels of panel stand on the right of the canvas
    frames = film([case(9)])
    assert len(frames) == 3
    middles = {(4, 5): FIRST, (20, 11): LATER, (10, 21): LAST}
    for number, frame in enumerate(frames):
        for index, ((x, y), color) in enumerate(middles.items()):
            assert color_near(frame, x, y).any() == (index <= number)
            if index == number:
                assert close(color_near(frame, x, y), color)
    # What the agent sees: the second scale's top right pixel in the last frame. A third of the canvas to each scale.
    assert at(frames[2], 30 + 1 + 7, 10 + 2).tolist() == [255, 255, 255]
    assert at(frames[2], 30 + 1 + 2, 10 + 2).tolist() == at(frames[1], 30 + 1 + 7, 10 + 2).tolist() == [0, 0, 0]
    titles = [frame[32:TOP].astype(int) for frame in frames]
    assert [(np.abs(title - rgb(WRONG)).max(axis=-1) < 9).any() for title in titles] == [False, False, True]


def test_a_single_glimpse_is_the_last():
    (frame,) = film([case(glimpses=1)])
    assert close(frame[TOP + 5 * ZOOM, 160 + 4 * ZOOM], LAST)


@pytest.mark.parametrize(("cases", "width", "height"), [(1, 560, 252), (3, 596, 252), (4, 790, 252), (5, 790, 458)])
def test_incomplete_rows(cases, width, height):
    assert pixels(gaze_figure([case()] * cases)).shape == (height, width, 3)


def test_watch_tells_what_the_agent_did():
    watched = watch(agent(), canvases(), count=4, seed=3)
    images = [case.canvas for case in watched]
    predictions = agent().predict(np.stack(images), seed=3)
    for number, seen in enumerate(watched):
        (original,) = (number for number, image in enumerate(canvases().images) if (image == seen.canvas).all())
        assert seen.label == canvases().labels[original]
        assert seen.answer == predictions.answers[number]
        np.testing.assert_allclose(seen.probabilities, np.exp(predictions.log_probs[number]), rtol=1e-5)
        assert seen.squares.tolist() == squares(predictions.locations[number], CONFIG).tolist()
        left, top, side = np.clip(seen.squares[0, 0], 0, 26)
        if (seen.squares[0, 0] == (left, top, side)).all():
            cut = seen.canvas[top : top + side, left : left + side] / 256
            np.testing.assert_allclose(seen.seen[0, 0], cut, atol=1e-5)
    other = watch(agent(), canvases(), count=4, seed=4)
    assert any((case.canvas != image).any() for case, image in zip(other, images, strict=True))


@pytest.mark.parametrize("count", [-1, 0, 10])
def test_impossible_number_of_cases(count):
    with pytest.raises(UserError, match=f"`cases` is {count}; it must be from 1 to 9"):
        watch(agent(), canvases(), count=count, seed=0)


ROWS = [
    {"step": 2, "epoch": 1, "accuracy": 0.25, "reward": 0.5},
    {"step": 4, "epoch": 2, "accuracy": 0.5, "reward": -1.5, "validation_accuracy": 0.75},
]


def test_learning_curve():
    accuracy, reward = learning_curve(ROWS, "log").axes
    training, validation, chance = (np.transpose(line.get_data()).tolist() for line in accuracy.lines)
    assert training == [[1, 25], [2, 50]]
    assert validation == [[2, 75]]
    assert [y for _, y in chance] == [10, 10]
    assert np.transpose(reward.lines[0].get_data()).tolist() == [[1, 0.5], [2, -1.5]]
    assert (accuracy.get_xlabel(), accuracy.get_ylabel()) == ("epoch", "accuracy (%)")
    assert (reward.get_xlabel(), reward.get_ylabel()) == ("epoch", "mean reward per canvas (log)")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run's folder whose checkpoint gives the untrained agent."""
    monkeypatch.setattr(drawing, "load_agent", lambda path: agent())
    monkeypatch.setattr(drawing, "canvases_for", lambda config, trained_on, split, folder: canvases())
    rows = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "metrics.jsonl").write_text(rows + '{"step": 6, "ep')
    (tmp_path / "best.safetensors").touch()
    return tmp_path


def test_draw_writes_the_pictures(run):
    written = draw(run, None, cases=2, seed=0)
    names = ["glimpses.png", "glimpses.gif", "glimpses.mp4", "learning_curve.png"]
    assert written == [run / "figures" / name for name in names]
    assert sorted(path.name for path in (run / "figures").iterdir()) == sorted(names)
    with Image.open(written[1]) as gif:
        assert gif.n_frames == 3
        durations = []
        for number in range(3):
            gif.seek(number)
            durations.append(gif.info["duration"])
        assert durations == [600, 600, 3000]
        shown = np.asarray(gif.convert("RGB")).astype(int)
        # The thin red lines keep their colour through the palette.
        assert (np.abs(shown - rgb(LAST)).max(axis=-1) < 9).any()
        assert gif.size == (560, 252)
    movie = written[2].read_bytes()
    assert movie[4:8] == b"ftyp"
    assert movie.index(b"moov") < movie.index(b"mdat")


def test_gif_keeps_a_rare_color_among_many(tmp_path):
    rng = np.random.default_rng(0)
    frames = [np.repeat(rng.integers(256, size=(100, 100, 1), dtype=np.uint8), 3, axis=2) for _ in range(2)]
    frames[0][:20] = rng.integers(256, size=(20, 100, 3)) // 3
    frames[1][50, :30] = rgb(LAST)
    write_gif(frames, tmp_path / "film.gif", **PACE)
    with Image.open(tmp_path / "film.gif") as gif:
        gif.seek(1)
        shown = np.asarray(gif.convert("RGB"))
    assert all(close(pixel.astype(int), LAST, tolerance=16) for pixel in shown[50, :30])


def test_draw_of_a_checkpoint_and_into_a_folder(run):
    written = draw(run / "best.safetensors", run / "a" / "b", cases=1, seed=0)
    assert [path.parent for path in written] == [run / "a" / "b"] * 4
    (run / "metrics.jsonl").unlink()
    written = draw(run / "best.safetensors", None, cases=1, seed=0)
    assert [path.name for path in written] == ["glimpses.png", "glimpses.gif", "glimpses.mp4"]
    assert written[0].parent == run / "figures"


def test_movie_is_as_long_as_the_gif(tmp_path):
    import imageio_ffmpeg

    write_mp4(film([case()]), tmp_path / "film.mp4", **PACE)
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "film.mp4"))
    assert frames == 42
    assert seconds == pytest.approx(4.2, abs=0.01)


def test_movie_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        write_mp4(film([case()]), tmp_path / "nowhere" / "film.mp4", **PACE)


@pytest.mark.parametrize(("count", "rows", "columns"), [(60, 5, 8), (11, 2, 8), (3, 1, 3)])
def test_sheet(tmp_path, count, rows, columns):
    path = tmp_path / "sheet.png"
    made = canvases(count)
    sheet(made, path)
    with Image.open(path) as picture:
        image = np.asarray(picture.convert("L"))
    # Twice the layout's pixels: canvases of 90, 14 between them, titles of 26.
    assert image.shape == (2 * (rows * 116 + 14), 2 * (columns * 104 + 14))
    shown = min(count, 40) - 1
    row, column = divmod(shown, 8)
    top, left = 2 * (row * 116 + 26), 2 * (column * 104 + 14)
    corner = image[top : top + 180, left : left + 180].reshape(30, 6, 30, 6)
    assert (corner == corner[:, :1, :, :1]).all()
    assert np.abs(corner[:, 0, :, 0] - made.images[shown] * 255 / 256).max() <= 1


def test_sheet_of_several_digits(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(drawing, "_write_png", lambda figure, path: (kept.append(figure), path.touch()))
    sheet(Canvases(canvases(2).images, np.array([[4, 7], [0, 1]], np.int32)), tmp_path / "sheet.png")
    assert [axes.get_title() for axes in kept[0].axes] == ["4 7", "0 1"]
