"""Pictures of any kind become canvases; an agent answers them and its gaze is drawn."""

import json
import os
import struct
import sys
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from irrl import checkpoint
from irrl.cli import main
from irrl.digits.config import Config
from irrl.digits.data import load_mnist
from irrl.digits.draw import FIRST, LAST
from irrl.digits.networks import initial_params
from irrl.digits.picture import canvas_of, canvases_of
from irrl.errors import UserError
from tiny import SETTINGS

SIDE = 60
CONFIG = Config(**SETTINGS | {"canvas": 30, "patch": 4})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained agent's checkpoint."""
    path = tmp_path_factory.mktemp("model") / "best.safetensors"
    params = initial_params(CONFIG, key=jax.random.key(0))
    arrays = {f"params.{name}": array for name, array in checkpoint.flatten(params).items()}
    state = {"task": "digits", "config": {name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__}}
    checkpoint.save(path, arrays, state)
    return path


def saved(path, pixels, mode=None, **options):
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def seven(height=40, width=30) -> np.ndarray:
    """White on black, 20x10 pixels: a bar on top, a bar down the right; 5 pixels from the left, 8 from the top."""
    pixels = np.zeros((height, width), np.uint8)
    pixels[8:11, 5:15] = pixels[8:28, 12:15] = 255
    return pixels


# The bars have 30 and 51 pixels (their corner counted once); the centre of mass follows from theirs.
CENTRE_X = (30 * 5.0 + 51 * 8.5) / 81
CENTRE_Y = (30 * 1.5 + 51 * 11.5) / 81
LEFT, TOP = round(30 - CENTRE_X), round(30 - CENTRE_Y)


def placed_seven() -> np.ndarray:
    canvas = np.zeros((SIDE, SIDE), int)
    canvas[TOP : TOP + 3, LEFT : LEFT + 10] = canvas[TOP : TOP + 20, LEFT + 7 : LEFT + 10] = 255
    return canvas


def test_a_digit_of_20_pixels_goes_unchanged_to_the_middle(tmp_path):
    np.testing.assert_array_equal(canvas_of(saved(tmp_path / "a.png", seven()), SIDE), placed_seven())


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("inverted", [False, True])
def test_dark_on_light_and_every_mode_give_the_same_canvas(tmp_path, mode, inverted):
    pixels = 255 - seven() if inverted else seven()
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(pixels.astype(np.uint16) * 257).save(path)
    else:
        saved(path, pixels, mode)
    np.testing.assert_array_equal(canvas_of(path, SIDE), placed_seven())


def test_faint_ink_on_grey_is_stretched(tmp_path):
    pixels = (100 + seven() * (40 / 255)).round()
    np.testing.assert_array_equal(canvas_of(saved(tmp_path / "a.png", pixels), SIDE), placed_seven())


@pytest.mark.parametrize("ink", [0, 255])
def test_what_is_transparent_is_background(tmp_path, ink):
    pixels = np.full((40, 30, 2), ink, np.uint8)
    pixels[..., 1] = seven()
    Image.fromarray(pixels, "LA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(canvas_of(tmp_path / "a.png", SIDE), placed_seven())


def test_a_large_picture_is_scaled_keeping_its_shape(tmp_path):
    large = np.kron(seven(), np.ones((12, 12), np.uint8))
    canvas = canvas_of(saved(tmp_path / "a.png", large), SIDE)
    rows, columns = np.nonzero(canvas > 40)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 10)
    assert np.abs(canvas - placed_seven()).mean() < 2


def test_a_camera_held_sideways(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    saved(tmp_path / "a.png", np.rot90(seven()), exif=exif)
    np.testing.assert_array_equal(canvas_of(tmp_path / "a.png", SIDE), placed_seven())


def test_shading_of_paper_becomes_black(tmp_path):
    light = np.linspace(220, 250, 300)[None, :] - np.zeros((400, 1))
    ink = np.kron(seven(), np.ones((10, 10))) / 255
    rng = np.random.default_rng(0)
    photo = (light * (1 - 0.8 * ink) + rng.normal(0, 2, light.shape)).clip(0, 255)
    canvas = canvas_of(saved(tmp_path / "a.jpg", photo, quality=85), SIDE)
    inside = placed_seven() > 0
    assert canvas[inside].min() > 120 and canvas[~inside].max() < 130
    background = canvas[TOP + 6 : TOP + 20, LEFT : LEFT + 4]
    assert background.max() <= 5


def test_a_canvas_of_the_agents_size_is_used_as_it_is(tmp_path):
    rng = np.random.default_rng(0)
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[2:30, 20:48] = rng.integers(0, 200, (28, 28))  # nothing is moved or stretched
    np.testing.assert_array_equal(canvas_of(saved(tmp_path / "a.png", pixels), SIDE), pixels)
    np.testing.assert_array_equal(canvas_of(saved(tmp_path / "b.png", 255 - pixels), SIDE), pixels)


def test_mnists_digits_stay_themselves(tmp_path):
    """28x28 pixels, centred by mass: what comes out is near what went in, in the middle."""
    for number, image in enumerate(load_mnist().test_images[:20]):
        canvas = canvas_of(saved(tmp_path / f"{number}.png", image), SIDE)
        near = [np.pad(image, ((16 + y, 16 - y), (16 + x, 16 - x))) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        assert max(np.corrcoef(canvas.ravel(), other.ravel())[0, 1] for other in near) > 0.9


def test_a_small_canvas_holds_a_smaller_digit(tmp_path):
    canvas = canvas_of(saved(tmp_path / "a.png", seven()), 16)
    assert (canvas.max(axis=1) > 100).all() and (canvas.max(axis=0) > 100).sum() == 8


def test_predict_tells_and_draws(model, tmp_path, capsys):
    images = [saved(tmp_path / "a.png", seven()), saved(tmp_path / "b.jpg", np.eye(30) * 255)]
    words = ["digits", "predict", model, *images, "--out", tmp_path / "new" / "out", "--seed", 3]
    assert run(*words, "--json") == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer["image"] for answer in answers] == [str(image) for image in images]
    for answer in answers:
        assert len(answer["probabilities"]) == 10
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert answer["answer"] == np.argmax(answer["probabilities"])
    drawn = sorted((tmp_path / "new" / "out").iterdir())
    assert [path.name for path in drawn] == ["a-glimpses.png", "b-glimpses.png"]
    assert [answer["glimpses"] for answer in answers] == [str(path) for path in drawn]
    pixels = np.asarray(Image.open(drawn[0]).convert("RGB")).astype(int)
    for color in (FIRST, LAST):
        rgb = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
        assert (np.abs(pixels - rgb).max(-1) < 9).any()
    assert run(*words) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{images[0]}: {answers[0]['answer']} ") and str(drawn[0]) in first
    assert f"{answers[1]['answer']}: {max(answers[1]['probabilities']):.1%}" in second


def test_answers_are_those_of_the_agent(model, tmp_path, capsys):
    import irrl

    image = saved(tmp_path / "a.png", seven())
    assert run("digits", "predict", model, image, "--out", tmp_path, "--seed", 7, "--json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    expected = irrl.load(model).predict(canvas_of(image, CONFIG.canvas)[None], seed=7)
    np.testing.assert_allclose(answer["probabilities"], np.exp(expected.log_probs[0]), rtol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "level"),
    [
        ("int8", -1),
        ("int16", -1),
        ("int64", -1),
        ("int64", 2**16),
        ("uint16", 257),
        ("uint32", 2**31),
        ("uint64", 2**63),
    ],
)
def test_levels_that_are_none_are_refused(model, dtype, level):
    """As 16 bits, -1 would be 65535, and 2**16 would be 0."""
    import irrl

    canvases = np.zeros((2, CONFIG.canvas, CONFIG.canvas), dtype)
    canvases[1, 3, 4] = level
    with pytest.raises(UserError, match=f"{level}.* from 0 to 256"):
        irrl.load(model).predict(canvases)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_every_type_of_whole_numbers_gives_the_same(model, dtype):
    import irrl

    levels = np.random.default_rng(0).integers(0, 256, (1, CONFIG.canvas, CONFIG.canvas))
    agent = irrl.load(model)
    wanted = agent.predict(levels.astype(np.uint16))
    np.testing.assert_array_equal(agent.predict(levels.astype(dtype)).log_probs, wanted.log_probs)


def test_drawings_go_to_the_current_folder(model, tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "here").mkdir()
    image = saved(tmp_path / "in" / "a.png", seven())
    monkeypatch.chdir(tmp_path / "here")
    assert run("digits", "predict", model, image) == 0
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["a-glimpses.png"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.png"]


def bomb(width: int, height: int) -> bytes:
    """A small PNG file that claims a size."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("missing.png", None, "No such file"),
        ("empty.png", b"", "not a picture"),
        ("text.png", b"hello\n" * 100, "not a picture"),
        ("page.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not a picture"),
        ("bomb.png", bomb(30_000, 30_000), "too large"),
        ("big.png", bomb(9_000, 9_000), "too large"),
        ("wide.png", bomb(2**31 - 1, 2**31 - 1), "too large"),
        ("cut.png", "cut", "cannot read this picture"),
        ("blank.png", "blank", "blank"),
    ],
)
def test_a_bad_picture_is_one_line_and_nothing_is_written(model, tmp_path, capsys, name, content, wanted):
    good, bad, out = saved(tmp_path / "good.png", seven()), tmp_path / name, tmp_path / "out"
    if content == "cut":
        noise = np.random.default_rng(0).integers(0, 255, (50, 50))
        bad.write_bytes(saved(bad, noise).read_bytes()[:1000])
    elif content == "blank":
        saved(bad, np.full((50, 50), 130))
    elif content is not None:
        bad.write_bytes(content)
    assert run("digits", "predict", model, good, bad, "--out", out) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.strip().splitlines()
    assert str(bad) in line and wanted in line
    assert not out.exists() and not captured.out


def test_a_folder_a_pipe_a_device_and_a_large_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(2**30)
    for path, wanted in (
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe.png", "a pipe or a device"),
        (Path("/dev/zero"), "a pipe or a device"),
        (tmp_path / "large.png", "at most"),
    ):
        with pytest.raises(UserError, match=wanted):
            canvases_of([path], SIDE)


def test_pictures_read_in_another_process_are_the_same(tmp_path):
    images = [saved(tmp_path / "a name.png", seven()), saved(tmp_path / "b.jpg", 255 - seven())]
    np.testing.assert_array_equal(canvases_of(images, SIDE), [canvas_of(image, SIDE) for image in images])


def test_a_picture_that_keeps_its_decoder_busy(tmp_path):
    """16 million grey pixels of 255 levels instead of 256, which Pillow scales one by one."""
    (tmp_path / "a.pgm").write_bytes(b"P5 4000 4000 254\n" + bytes(16_000_000))
    good = saved(tmp_path / "good.png", seven())
    with pytest.raises(UserError, match=r"a\.pgm: cannot read this picture: it takes more than"):
        canvases_of([good, tmp_path / "a.pgm"], SIDE)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_a_picture_that_fills_the_memory(tmp_path):
    """A film of 16x16 pixels whose header claims a screen of 16 000 x 3 000, of which the decoder keeps several."""
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    content = bytearray((tmp_path / "a.webp").read_bytes())
    screen = content.index(b"VP8X") + 12
    content[screen : screen + 6] = (15_999).to_bytes(3, "little") + (2_999).to_bytes(3, "little")
    (tmp_path / "a.webp").write_bytes(content)
    # Pillow 10's decoder does not look whether it got its memory, and crashes: in the other process.
    with pytest.raises(UserError, match=r"MiB of memory|crashes its decoder \(exit status -11\)"):
        canvases_of([tmp_path / "a.webp"], SIDE)


def test_two_pictures_of_one_name(model, tmp_path, capsys):
    images = [saved(tmp_path / "a.png", seven()), saved(tmp_path / "a.bmp", seven())]
    assert run("digits", "predict", model, *images, "--out", tmp_path / "out") == 2
    assert "a-glimpses.png" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_where_drawings_should_go(model, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("kept")
    image = saved(tmp_path / "a.png", seven())
    for out in (file, file / "under"):
        assert run("digits", "predict", model, image, "--out", out) == 2
        said = capsys.readouterr()
        assert f"{file} is a file" in said.err and not said.out
    assert file.read_text() == "kept"


@pytest.mark.parametrize("words", [[], ["--empty-images"]])
def test_no_picture_at_all(model, capsys, words):
    assert run("digits", "predict", model, *words) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def run(*words) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code
