"""The glimpse sensor against hand-worked images."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irrl.digits.glimpse import PIXEL_MEAN, PIXEL_STD, glimpses, pyramid

# An 8x8 canvas whose pixel at row r, column c has level 10 r + c.
CANVAS = (10 * np.arange(8)[:, None] + np.arange(8)).astype(np.uint16)


@partial(jax.jit, static_argnames=("patch", "scales"))
def look(canvases, locations, patch, scales=1):
    pooled = pyramid(canvases, scales=scales)
    return glimpses(pooled, locations, patch=patch)


def levels(location, patch, scales=1, canvas=CANVAS):
    """The glimpse at one location, back in pixel levels; outside the canvas NaN."""
    seen = look(jnp.asarray(canvas[None]), jnp.asarray([location], jnp.float32), patch, scales)
    seen = np.asarray(seen).reshape(scales, patch, patch)
    return np.where(seen == 0, np.nan, (seen * PIXEL_STD + PIXEL_MEAN) * 256)


def test_centre():
    expected = [[22, 23, 24, 25], [32, 33, 34, 35], [42, 43, 44, 45], [52, 53, 54, 55]]
    np.testing.assert_allclose(levels((0, 0), 4)[0], expected, rtol=1e-4)


def test_x_is_the_column_and_y_the_row():
    # trunc(0.5 * (0.5 + 1) * 8) = 6, trunc(0.5 * (-0.5 + 1) * 8) = 2
    np.testing.assert_allclose(levels((0.5, -0.5), 2)[0], [[15, 16], [25, 26]], rtol=1e-4)


def test_top_left_corner_is_three_quarters_outside():
    nan = np.nan
    expected = [[nan, nan, nan, nan], [nan, nan, nan, nan], [nan, nan, 0, 1], [nan, nan, 10, 11]]
    np.testing.assert_allclose(levels((-1, -1), 4)[0], expected, rtol=1e-4, atol=1e-3)


def test_bottom_right_corner_is_three_quarters_outside():
    nan = np.nan
    expected = [[66, 67, nan, nan], [76, 77, nan, nan], [nan, nan, nan, nan], [nan, nan, nan, nan]]
    np.testing.assert_allclose(levels((1, 1), 4)[0], expected, rtol=1e-4)


def test_half_outside_on_the_right():
    nan = np.nan
    np.testing.assert_allclose(levels((1, 0), 2)[0], [[37, nan], [47, nan]], rtol=1e-4)


def test_the_place_is_truncated_not_rounded():
    # 0.5 * (0.2 + 1) * 8 = 4.8 -> 4
    np.testing.assert_allclose(levels((0.2, 0.2), 2)[0], [[33, 34], [43, 44]], rtol=1e-4)


def test_odd_patch_is_centred_on_its_pixel():
    np.testing.assert_allclose(levels((0, 0), 3)[0], [[33, 34, 35], [43, 44, 45], [53, 54, 55]], rtol=1e-4)


def test_coarser_scales_are_average_pooled_round_the_same_centre():
    fine, coarse = levels((0, 0), 2, scales=2)
    np.testing.assert_allclose(fine, [[33, 34], [43, 44]], rtol=1e-4)
    # Rows and columns 2 to 5 in blocks of four: the mean of 22, 23, 32, 33 is 27.5.
    np.testing.assert_allclose(coarse, [[27.5, 29.5], [47.5, 49.5]], rtol=1e-4)


def test_pooling_counts_pixels_outside_as_the_mean_pixel():
    coarse = levels((-1, -1), 2, scales=2)[1]
    # Only the lower right block lies inside: 0, 1, 10, 11.
    np.testing.assert_allclose(coarse[1, 1], 5.5, rtol=1e-3)
    assert np.isnan(coarse[0, 0])
    edge = levels((0, -1), 2, scales=2)[1]
    assert np.isnan(edge[0]).all()
    np.testing.assert_allclose(edge[1], [7.5, 9.5], rtol=1e-3)


def test_the_third_scale_is_four_times_as_wide():
    coarse = levels((0, 0), 2, scales=3)[2]
    # Side 8: the whole canvas in blocks of 4x4; the middle of the first is row 1.5, column 1.5.
    np.testing.assert_allclose(coarse, [[16.5, 20.5], [56.5, 60.5]], rtol=1e-4)


def test_pooling_across_the_edge_mixes_pixels_with_zeros_outside():
    # Side 4 round (7, 4): columns 5 to 8 in blocks of two, so the second block has one column inside, column 7.
    coarse = look(jnp.asarray(CANVAS[None]), jnp.asarray([[0.75, 0.0]]), 2, 2)[0].reshape(2, 2, 2)[1]
    pixels = (CANVAS / 256 - PIXEL_MEAN) / PIXEL_STD
    expected = [[pixels[2:4, 5:7].sum(), pixels[2:4, 7].sum()], [pixels[4:6, 5:7].sum(), pixels[4:6, 7].sum()]]
    np.testing.assert_allclose(coarse, np.array(expected) / 4, rtol=1e-5)


def test_every_row_looks_at_its_own_canvas_and_place():
    canvases = jnp.asarray(np.stack([CANVAS + 100, CANVAS]))
    seen = look(canvases, jnp.asarray([[0.0, 0.0], [1.0, 0.0]]), patch=1)
    np.testing.assert_allclose(seen[:, 0] * PIXEL_STD + PIXEL_MEAN, [144 / 256, PIXEL_MEAN], rtol=1e-4)


@settings(deadline=None, max_examples=30)
@given(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32))
def test_padding_the_canvas_and_cutting_at_the_corner_is_the_same(x, y):
    # The paper's own words: the corner is trunc(0.5 (l + 1) size) in the image padded by half a patch.
    padded = np.pad(CANVAS.astype(np.float64), 2, constant_values=-1)
    column, row = (int(np.float32(0.5) * (np.float32(place) + np.float32(1)) * np.float32(8)) for place in (x, y))
    expected = padded[row : row + 4, column : column + 4]
    got = np.nan_to_num(levels((x, y), 4)[0], nan=-1)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("side", [12, 24, 48])
def test_a_blank_canvas_gives_the_normalised_background_inside(side):
    blank = jnp.zeros((1, 60, 60), jnp.uint16)
    np.testing.assert_allclose(look(blank, jnp.zeros((1, 2)), patch=side), -PIXEL_MEAN / PIXEL_STD, rtol=1e-5)
