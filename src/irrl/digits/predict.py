"""A trained agent on the user's own pictures."""

import math
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt16
from PIL import Image, ImageOps

from irrl.digits.draw import draw_answer, look
from irrl.digits.evaluate import load_agent
from irrl.errors import UserError
from irrl.files import check_folder

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO"]
"""Picture formats that are read. Pillow knows more, some of which start other programs."""
DIGIT = 20
"""Pixels along a digit's longer side, as in MNIST."""
INK, SHADING, LEAST_CONTRAST = 0.2, 0.3, 0.1
"""From background 0 to the strongest ink 1: what is at least `INK` belongs to the digit, and a background may reach
`SHADING`. From black 0 to white 1: a digit stands out from its background by `LEAST_CONTRAST`."""
MOST_PIXELS = 50_000_000
"""In a picture; a small file can claim more than fits in memory."""
WORKING_SIDE = 1000
"""Larger pictures are shrunk to this side first."""


class Answer(NamedTuple):
    """What the agent says about a picture."""

    image: Path
    answer: int
    probabilities: list[float]
    """of each digit"""
    glimpses: Path
    """a picture of where it looked"""

    def __str__(self) -> str:
        chances = "  ".join(f"{digit}: {probability:.1%}" for digit, probability in enumerate(self.probabilities))
        return f"{self.image}: {self.answer}   {chances}   {self.glimpses}"

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return self._asdict() | {"image": str(self.image), "glimpses": str(self.glimpses)}


def predict(model: Path, images: list[Path], out: Path, *, seed: int) -> list[Answer]:
    """Let a trained agent look at pictures, and draw where it looked into `out`, as NAME-glimpses.png.

    Args:
        model: a run's folder (its best checkpoint) or a checkpoint file.
        images: picture files; `canvas_of` says how each becomes a canvas.
        out: folder for the drawings, made if need be.
        seed: draws the first glimpses, one for each place in the list.

    Raises:
        UserError: there is no good checkpoint, a picture cannot be used, or two have the same name. Nothing is written.
        OSError: a drawing cannot be written.
    """
    targets = [out / f"{image.stem}-glimpses.png" for image in images]
    for target in targets:
        if targets.count(target) > 1:
            raise UserError(f"two pictures would both be drawn into {target}: give them in two commands with own --out")
    check_folder(out)
    agent = load_agent(model)
    canvases = np.stack([canvas_of(image, agent.config.canvas) for image in images])
    cases = look(agent, canvases, [None] * len(canvases), seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    for target, case in zip(targets, cases, strict=True):
        draw_answer(case, target)
    return [
        Answer(image, case.answer, case.probabilities.tolist(), target)
        for image, case, target in zip(images, cases, targets, strict=True)
    ]


def canvas_of(image: Path, side: int) -> UInt16[np.ndarray, "side side"]:
    """A picture as the agent's canvas: light ink on black, levels 0..255.

    1. Grey, turned upright as the camera says. What is transparent is white, or black if the rest is pure white. Of
       an animation the first frame counts.
    2. Inverted if it is dark on light: if the median of its border is nearer to its lightest pixel than to its darkest.
    3. A picture of the canvas's size is now done. Any other is taken for a picture of one digit: the median of its
       border becomes 0, its strongest ink 1, and what paper's shading reaches (the 95th percentile of the border, at
       most `SHADING`) becomes black. It is cropped to the ink (at least `INK`), scaled so that its longer side has
       `DIGIT` pixels, and put on black with its centre of mass in the middle, as MNIST's digits are.

    Raises:
        UserError: the file is missing, not a picture, too large, damaged or blank.
    """
    grey = _grey(image, side)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    if np.median(border) > (grey.min() + grey.max()) / 2:
        grey, border = 1 - grey, 1 - border
    if grey.shape != (side, side):
        background, contrast = np.median(border), grey.max() - np.median(border)
        if contrast < LEAST_CONTRAST:
            raise UserError(f"{image}: blank: nothing stands out from its background")
        shading = min(SHADING, (np.quantile(border, 0.95) - background) / contrast)
        grey = _centred_digit(np.clip(((grey - background) / contrast - shading) / (1 - shading), 0, 1), side)
    return np.round(255 * grey).astype(np.uint16)


def _grey(path: Path, side: int) -> Float[np.ndarray, "height width"]:
    """Grey pixels from 0, black, to 1, white."""
    if not path.is_file():
        raise UserError(f"{path}: {'not a picture file' if path.exists() else 'there is no such file'}")
    too_large = UserError(f"{path}: too large; pictures of at most {MOST_PIXELS // 10**6} million pixels are read")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            if math.prod(image.size) > MOST_PIXELS:
                raise too_large
            grey = _grey_image(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise too_large from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{path}: not a picture in a format that is read here ({', '.join(FORMATS)})") from None
    except UserError:
        raise
    except Exception as error:  # what a decoder raises on a damaged file is not limited to a few types
        raise UserError(f"{path}: cannot read this picture: {error or type(error).__name__}") from error
    if grey.size != (side, side):
        grey.thumbnail((WORKING_SIDE, WORKING_SIDE))
    return np.asarray(grey) / 255


def _grey_image(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":  # more than 8 bits, and nobody says how many are used
        pixels = np.nan_to_num(np.asarray(image, float), posinf=0, neginf=0)
        image = Image.fromarray((255 * (pixels - pixels.min()) / max(np.ptp(pixels), 1e-9)).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        backgrounds = (Image.new("RGBA", image.size, color) for color in ("white", "black"))
        on_white, on_black = (Image.alpha_composite(background, image).convert("L") for background in backgrounds)
        image = on_black if on_white.getextrema()[0] == 255 else on_white
    return image.convert("L")


def _centred_digit(ink: Float[np.ndarray, "height width"], side: int) -> Float[np.ndarray, "side side"]:
    rows, columns = np.nonzero(ink >= INK)
    digit = Image.fromarray(ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(np.float32))
    scale = min(DIGIT, side) / max(digit.size)
    width, height = (max(1, round(scale * length)) for length in digit.size)
    pixels = np.asarray(digit.resize((width, height), Image.Resampling.BILINEAR))
    pixels = np.clip(pixels / pixels.max(), 0, 1)
    canvas = np.zeros((side, side))
    top, left = (
        int(np.clip(round(side / 2 - np.average(np.arange(length) + 0.5, weights=pixels.sum(axis))), 0, side - length))
        for axis, length in ((1, height), (0, width))
    )
    canvas[top : top + height, left : left + width] = pixels
    return canvas
