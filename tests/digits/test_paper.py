"""Light paper in front of something dark is found, in any position; light digits, plates and shading are no paper."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from irrl.digits.data import load_mnist
from irrl.digits.paper import find_paper, threshold
from irrl.digits.picture import canvas_of

SIDE = 60


def seven() -> np.ndarray:
    """Ink, 1 on 0: a bar on top, a bar down the right, 20x10 pixels on 40x30."""
    ink = np.zeros((40, 30))
    ink[10:13, 10:20] = ink[10:30, 17:20] = 1
    return ink


def saved(path, grey):
    Image.fromarray(np.clip(grey, 0, 255).round().astype(np.uint8)).save(path)
    return path


def on_desk(angle: float, shade: float = 0) -> np.ndarray:
    """A dark seven on a sheet of 160x200 pixels, which is turned by so many degrees, on a desk of level 60; noise."""
    turn = np.exp(1j * np.radians(angle)) * np.array([-80 - 100j, 80 - 100j, 80 + 100j, -80 + 100j])
    sheet = Image.new("1", (300, 300))
    ImageDraw.Draw(sheet).polygon([(150 + corner.real, 150 + corner.imag) for corner in turn], fill=1)
    ink = np.pad(np.kron(seven(), np.ones((4, 4))), ((70, 70), (90, 90)))
    light = 200 + shade * np.linspace(-1, 1, 300)[:, None] + np.zeros((1, 300))
    noise = np.random.default_rng(0).normal(0, 3, (300, 300))
    return np.where(np.asarray(sheet), light * (1 - 0.8 * ink), 60) + noise


@pytest.mark.parametrize("level", [0, 90])
@pytest.mark.parametrize("width", [1, 3, 10, 25])
def test_a_dark_frame_changes_nothing(tmp_path, width, level):
    paper = 255 * (1 - seven())
    plain = canvas_of(saved(tmp_path / "plain.png", paper), SIDE)
    framed = canvas_of(saved(tmp_path / "framed.png", np.pad(paper, width, constant_values=level)), SIDE)
    np.testing.assert_array_equal(framed, plain)
    assert plain.max() == 255 and np.count_nonzero(plain) == 30 + 51


@pytest.mark.parametrize("sides", [((0, 6), (0, 0)), ((0, 0), (6, 0)), ((4, 0), (0, 9))])
def test_something_dark_at_some_sides_changes_nothing(tmp_path, sides):
    paper = 255 * (1 - seven())
    plain = canvas_of(saved(tmp_path / "plain.png", paper), SIDE)
    np.testing.assert_array_equal(canvas_of(saved(tmp_path / "dark.png", np.pad(paper, sides)), SIDE), plain)


@pytest.mark.parametrize("angle", [0, 8, 45])
@pytest.mark.parametrize("shade", [0, 30])
def test_a_turned_and_shaded_sheet(tmp_path, angle, shade):
    wanted = canvas_of(saved(tmp_path / "plain.png", 255 * (1 - seven())), SIDE)
    found = canvas_of(saved(tmp_path / "desk.png", on_desk(angle, shade)), SIDE)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.95
    paper = find_paper(on_desk(angle, shade) / 255)
    assert paper is not None
    assert 0.9 < paper.inside.sum() / (160 * 200) < 0.95  # 0.96 of each side is 0.92 of the area
    assert not (paper.rim & ~paper.inside).any()


def test_light_digits_are_no_paper():
    for image in load_mnist().test_images[:500]:
        assert find_paper(image / 255) is None


def test_a_thick_one_and_a_round_plate_are_no_paper():
    bar = np.zeros((100, 100))
    bar[10:90, 35:65] = 1
    assert find_paper(bar) is None
    y, x = np.mgrid[-50:50, -50:50]
    plate = (x**2 + y**2 < 40**2) & ~(x**2 + y**2 < 8**2)
    assert find_paper(plate.astype(float)) is None


def test_paper_alone_and_its_shading_are_no_paper_before_something():
    ink = np.kron(seven(), np.ones((10, 10)))
    for dark, light in ((1, 1), (0.85, 1), (0.3, 1)):
        shading = np.linspace(dark, light, 300)[None, :] * (1 - 0.8 * ink)
        assert find_paper(shading) is None
        assert find_paper(shading.T) is None


def test_the_threshold_parts_dark_from_light():
    assert 0.1 < threshold(np.repeat([0.1, 0.8], [40, 60])[None]) <= 0.8
    # Worked by hand: parting 0 | 4, 5 leaves a variance of 1/6; 0, 4 | 5 leaves one of 8/3.
    assert 0 < threshold(np.array([[0.0, 4, 5]])) <= 4


@pytest.mark.parametrize("shape", [(50, 50), (1, 300), (300, 1), (1, 1), (2, 2)])
def test_pictures_without_paper(shape):
    assert find_paper(np.full(shape, 0.5)) is None
    assert find_paper(np.linspace(0, 1, shape[0] * shape[1]).reshape(shape)) is None
