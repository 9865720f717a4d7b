"""Find light paper in front of something dark: a sheet on a table, or a picture in a dark frame."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

LEAST_AREA, LEAST_FILLED, LEAST_SQUARE = 0.12, 0.65, 0.85
"""Paper has so much of the picture's area, is so much of its convex hull (ink is the rest), and that hull is so much of
the smallest rectangle around it: an ellipse, as of a 0, is pi/4 of it, paper seen from the side more than this."""
LEAST_INK, MOST_INK = 0.0002, 0.05
"""There is so much of it on the paper, or it is a bar; and so much on its rim, or it is a digit's outline."""
LEAST_STEP = 0.25
"""Of the picture's range of levels, across the paper's edge; shading of paper has no such step."""
EDGE, BAND = 0.02, 0.05
"""Of the paper's extent: what is cut off at each side, where it is blurred, and how far the levels at both sides of the
edge are looked at."""


class Paper(NamedTuple):
    """Where the paper is, without its edge, and the rim of that."""

    inside: Bool[np.ndarray, "height width"]
    rim: Bool[np.ndarray, "height width"]


def find_paper(grey: Float[np.ndarray, "height width"]) -> Paper | None:
    """Light paper with something dark around it, or at some side of it; None if there is none.

    It is the largest connected light region, if that is about a rectangle, in any position, and light along its edge. A
    light digit on black is neither. Paper that fills the whole picture has nothing around it.
    """
    from scipy import ndimage

    light: Bool[np.ndarray, "height width"] = grey > threshold(grey)
    regions: np.ndarray = ndimage.label(light)[0]  # pyright: ignore[reportIndexIssue]
    sizes = np.bincount(regions.ravel(), minlength=2)[1:]
    if sizes.max() < LEAST_AREA * grey.size:
        return None
    region = regions == 1 + sizes.argmax()
    hull = _hull(region)

    def within(scale: float) -> Bool[np.ndarray, "height width"]:
        """The pixels within the hull, which is first scaled about its middle."""
        middle = (hull.min(0) + hull.max(0)) / 2
        mask = Image.new("1", (grey.shape[1], grey.shape[0]))
        ImageDraw.Draw(mask).polygon([tuple(corner) for corner in middle + scale * (hull - middle)], fill=1)
        return np.asarray(mask, bool)

    whole, inside = within(1.0), within(1 - 2 * EDGE)
    if region.sum() < LEAST_FILLED * whole.sum() or whole.sum() < LEAST_SQUARE * _area_around(hull):
        return None
    rim = inside & ~(within(1 - 2 * BAND) & ndimage.binary_erosion(inside))
    around = within(1 + 2 * BAND) & np.logical_not(ndimage.binary_dilation(whole))
    if not (around.any() and rim.any()):
        return None
    if (~light[inside]).mean() < LEAST_INK or (~light[rim]).mean() > MOST_INK:
        return None
    step = np.median(grey[rim]) - np.quantile(grey[around], 0.75)
    return Paper(inside, rim) if step >= LEAST_STEP * np.ptp(grey) else None


def threshold(grey: Float[np.ndarray, "height width"]) -> float:
    """The level that parts dark from light with the least variance within both (Otsu's)."""
    counts, edges = np.histogram(grey, 256)
    levels = (edges[:-1] + edges[1:]) / 2
    dark, light = np.cumsum(counts)[:-1], np.cumsum(counts[::-1])[-2::-1]
    sum_dark = np.cumsum(counts * levels)[:-1]
    sum_light = (counts * levels).sum() - sum_dark
    between = dark * light * (sum_dark / np.maximum(dark, 1) - sum_light / np.maximum(light, 1)) ** 2
    return float(edges[1 + between.argmax()])


def _hull(region: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "corners 2"]:
    """The corners, (x, y), of the convex hull of a region's pixels."""
    from scipy.spatial import ConvexHull

    rows = np.flatnonzero(region.any(1))
    lefts, rights = region[rows].argmax(1), region.shape[1] - 1 - region[rows, ::-1].argmax(1)
    # A pixel is a square, from its whole numbers to the next: so even one row of pixels has a hull.
    ends = [(x + dx, rows + dy) for x in (lefts, rights) for dx in (0.25, 0.75) for dy in (0.25, 0.75)]
    points = np.concatenate([np.stack(end, -1) for end in ends])
    return points[ConvexHull(points).vertices]


def _area_around(hull: Float[np.ndarray, "corners 2"]) -> float:
    """The area of the smallest rectangle around a hull's pixels; one of its sides lies along one of the hull's."""
    x, y = (np.roll(hull, -1, 0) - hull).T
    along = np.stack([x, y]) / np.hypot(x, y)
    across = np.stack([-along[1], along[0]])
    return float(((np.ptp(hull @ along, axis=0) + 0.5) * (np.ptp(hull @ across, axis=0) + 0.5)).min())
