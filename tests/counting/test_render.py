"""The ray caster: against numbers worked by hand, its own symmetries, and MuJoCo's ray casts."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from irrl.counting import render
from irrl.counting.jitter import MOST_JITTER, jittered, still
from irrl.counting.render import FIRST_CUBE, FLOOR, TABLE, WALL, View
from irrl.counting.scene import draw_scenes
from irrl.counting.scene_config import KINDS, SceneConfig
from irrl.counting.simulator import Simulator

CONFIG = SceneConfig()
SQUARE = replace(CONFIG, width=65, height=65)
"""With a pixel in the middle."""


def one_cube(kind, place=(0, 0), yaw=0.0, azimuth=0.0):
    one = np.float32
    arrays = [[KINDS.index(kind)]], np.array([[place]], one), np.array([[yaw]], one), np.array([azimuth], one)
    return View(*map(jnp.asarray, arrays))


def test_the_middle_of_an_empty_table():
    view = one_cube("small_red")._replace(kind=jnp.array([[-1]]))
    image = render.render(SQUARE, view)
    # Straight ahead, 0.362 m below the camera.
    assert image.ids[0, 32, 32] == TABLE
    assert image.depth[0, 32, 32] == pytest.approx(0.362 / math.sin(math.radians(21.5)), rel=1e-5)
    assert image.ids[0, 0, 32] == WALL
    assert set(np.unique(image.ids)) == {WALL, FLOOR, TABLE}


def test_a_cube_by_hand():
    """A large cube in the middle of the table: its front is 0.945 m away, its top 0.252 m below."""
    image = render.render(SQUARE, one_cube("large_blue"))
    pitch, half = math.radians(21.5), math.tan(math.radians(22.5))
    per_pixel = 2 * half / 65
    # The front's lower edge, in the plane at distance 1: as far below the axis as this.
    below = math.tan(math.atan(0.362 / 0.945) - pitch)
    lower = 32 + below / per_pixel
    ids = np.asarray(image.ids[0])
    rows = np.flatnonzero(ids[:, 32] == FIRST_CUBE)
    assert rows.max() == math.floor(lower)
    # The ray through a row meets the front, x = 0.055.
    up = (32 - rows.max()) * per_pixel
    assert image.depth[0, rows.max(), 32] == pytest.approx(0.945 / (math.cos(pitch) + up * math.sin(pitch)), rel=1e-5)
    # Its width: 0.11 m at the depth of that edge.
    depth = float(image.depth[0, rows.max(), 32])
    assert (ids[rows.max()] == FIRST_CUBE).sum() == pytest.approx(0.11 / depth / per_pixel, abs=1)
    # Bright above, dark in front: Lambert's law with the light at (0.25, 0.15, 0.9565).
    top, front = np.asarray(image.rgb[0, rows.min(), 32]), np.asarray(image.rgb[0, rows.max(), 32])
    np.testing.assert_allclose(top, np.array([40, 72, 215]) * (0.42 + 0.58 * 0.9565), atol=1)
    np.testing.assert_allclose(front, np.array([40, 72, 215]) * (0.42 + 0.58 * 0.25), atol=1)


def test_right_is_right_and_left_is_left():
    """From the start, the camera's right is towards positive y."""
    ids = np.asarray(render.render(SQUARE, one_cube("medium_red", place=(0, 0.2))).ids[0])
    assert np.argwhere(ids == FIRST_CUBE)[:, 1].min() > 32
    # A step to the right, and the cube moves to the left.
    moved = np.asarray(render.render(SQUARE, one_cube("medium_red", place=(0, 0.2), azimuth=math.pi / 6)).ids[0])
    assert np.argwhere(moved == FIRST_CUBE)[:, 1].mean() < np.argwhere(ids == FIRST_CUBE)[:, 1].mean()


def test_turning_cubes_and_robot_together_changes_no_shape():
    scenes = draw_scenes(CONFIG, 16, np.random.default_rng(0))
    angle = 1.1
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    azimuth = np.linspace(0, 6, 16, dtype=np.float32)
    still = render.render(CONFIG, scenes.view(azimuth))
    moved = replace(scenes, place=scenes.place @ turn, yaw=scenes.yaw + np.float32(angle))
    turned = moved.view(azimuth + np.float32(angle))
    ids = [np.where(np.asarray(image.ids) >= TABLE, image.ids, 0) for image in (still, render.render(CONFIG, turned))]
    assert (ids[0] != ids[1]).mean() < 1e-3  # rounding, at edges


def test_counts_of_pixels_are_those_of_the_image():
    scenes = draw_scenes(CONFIG, 16, np.random.default_rng(1))
    view = scenes.view(np.linspace(0, 6, 16, dtype=np.float32))
    ids = np.asarray(render.render(CONFIG, view).ids)
    shown, alone = render.cubes_shown(CONFIG, view)
    for cube in range(scenes.kind.shape[1]):
        np.testing.assert_array_equal(shown[:, cube], (ids == FIRST_CUBE + cube).sum(axis=(1, 2)))
        only = view._replace(kind=jnp.where(np.arange(scenes.kind.shape[1]) == cube, scenes.kind, -1))
        by_itself = np.asarray(render.render(CONFIG, only).ids) == FIRST_CUBE + cube
        np.testing.assert_array_equal(alone[:, cube], by_itself.sum(axis=(1, 2)))


def test_jitter_moves_what_it_should():
    scenes = draw_scenes(CONFIG, 1, np.random.default_rng(2))
    view = scenes.view(np.zeros(1, np.float32))
    plain, none = render.render(CONFIG, view), still(1)
    np.testing.assert_array_equal(plain.rgb, render.render(CONFIG, view, none).rgb)
    dark = render.render(CONFIG, view, none._replace(colour=none.colour - 30))
    assert (np.asarray(dark.rgb, int) <= np.asarray(plain.rgb, int)).all()
    np.testing.assert_array_equal(dark.ids, plain.ids)
    from_left = render.render(CONFIG, view, none._replace(light=none.light + np.array([0, -0.8, 0])))
    assert (from_left.rgb != plain.rgb).any()
    np.testing.assert_array_equal(from_left.ids, plain.ids)
    # One degree further down, and all moves up by some 2 pixels.
    down = render.render(CONFIG, view, none._replace(camera=none.camera + np.array([0, 0, 1.0])))
    rows = [np.flatnonzero((np.asarray(image.ids[0]) == TABLE).any(axis=1)).min() for image in (plain, down)]
    assert rows[0] - rows[1] in (1, 2, 3)


def test_random_jitter_keeps_within_its_bounds_and_fills_them():
    drawn = jittered(4000, 0.5, jax.random.key(0))
    for array, most in zip(drawn, MOST_JITTER, strict=True):
        extremes = np.asarray(array).reshape(-1, array.shape[-1])
        np.testing.assert_allclose(extremes.max(axis=0), np.multiply(most, 0.5), rtol=0.01)
        np.testing.assert_allclose(extremes.min(axis=0), np.multiply(most, -0.5), rtol=0.01)


def test_as_mujoco_sees_it():
    number = 200
    config = replace(CONFIG, levels="1,1,1")
    scenes = draw_scenes(config, number, np.random.default_rng(3))
    views = np.arange(number) % config.viewpoints
    azimuth = (2 * np.pi * views / config.viewpoints).astype(np.float32)
    drawn = render.render(config, scenes.view(azimuth)).ids
    differ = []
    for index in range(number):
        simulator = Simulator(config, scenes, index)
        simulator.place(int(views[index]))
        differ.append((simulator.ids() != np.asarray(drawn[index])).mean())
    assert max(differ) <= 0.01
    assert np.mean(differ) < 1e-3
