"""A stranger's picture as an agent's canvas; as a program, it reads pictures in a process of its own.

A small picture can claim to be large, or keep its decoder busy for ever, in more ways than can be listed. So
`canvases_of` lets another process read them, whose time and memory are bounded, and which may crash.
"""

import io
import math
import os
import signal
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt16
from PIL import Image, ImageOps

from irrl.digits.paper import find_paper
from irrl.errors import UserError, printable
from irrl.files import read_file

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO"]
"""Picture formats that are read. Pillow knows more, some of which start other programs."""
MOST_BYTES = 64 * 2**20
"""Of a picture file."""
MOST_PIXELS = 50_000_000
"""In a picture; a small file can claim more than fits in memory."""
MOST_SECONDS = 1.5
"""Of processor time, to read a picture; one of 50 million pixels took at most 0.6."""
MOST_MEMORY = 440 * 2**20
"""Bytes, to read a picture, beside the program itself."""
WORKING_SIDE = 1000
"""Larger pictures are shrunk to this side first."""

DIGIT = 20
"""Pixels along a digit's longer side, as in MNIST."""
INK, SHADING, LEAST_CONTRAST = 0.2, 0.3, 0.1
"""From background 0 to the strongest ink 1: what is at least `INK` belongs to the digit, and a background may reach
`SHADING`. From black 0 to white 1: a digit stands out from its background by `LEAST_CONTRAST`."""


def canvases_of(images: list[Path], side: int) -> UInt16[np.ndarray, "images side side"]:
    """What `canvas_of` makes of each picture, read in another process.

    Raises:
        UserError: one cannot be used, or takes more than `MOST_SECONDS` or `MOST_MEMORY`.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "irrl.digits.picture", str(side)]
    names = b"\0".join(map(os.fsencode, images))
    done = subprocess.run(command, input=names, capture_output=True, check=False, env=environment)
    answers = io.BytesIO(done.stdout)
    found = []
    for image in images:
        if answers.tell() == len(done.stdout):
            raise UserError(
                f"{image}: cannot read this picture: it takes more than {MOST_SECONDS} s of processor time, or crashes "
                f"its decoder (exit status {done.returncode})"
            )
        found.append(np.lib.format.read_array(answers))
        if found[-1].ndim == 0:
            raise UserError(str(found[-1]))
    return np.stack(found)


def _answer(side: int) -> None:
    """Be that other process: one array a picture, or a text that says why not."""
    with suppress(OSError, ImportError):  # elsewhere than on Linux, time alone is bounded
        import resource

        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_MEMORY, resource.RLIM_INFINITY))
    for name in sys.stdin.buffer.read().split(b"\0"):
        image = Path(os.fsdecode(name))
        if hasattr(signal, "setitimer"):  # not on Windows
            signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)  # ends the process
        try:
            answer = canvas_of(image, side)
        except UserError as error:
            answer = np.array(str(error))
        except MemoryError:
            answer = np.array(
                f"{image}: cannot read this picture: it takes more than {MOST_MEMORY >> 20} MiB of memory"
            )
        np.lib.format.write_array(sys.stdout.buffer, answer)
        sys.stdout.buffer.flush()


def canvas_of(image: Path, side: int) -> UInt16[np.ndarray, "side side"]:
    """A picture as the agent's canvas: light ink on black, levels 0..255.

    1. Grey, turned upright as the camera says. What is transparent is white, or black if the rest is pure white. Of
       an animation the first frame counts.
    2. A picture of the canvas's size is only inverted if it is dark on light: if the median of its border is nearer to
       its lightest pixel than to its darkest. Any other is taken for a picture of one digit, as follows.
    3. If light paper lies in front of something dark, what lies around it is made as light as the paper's rim.
    4. Inverted as in 2. The median of the border, or of the paper's rim, becomes 0, the strongest ink 1, and what
       paper's shading reaches (the 95th percentile of the border, at most `SHADING`) black.
    5. Cropped to the ink (at least `INK`), scaled so that its longer side has `DIGIT` pixels, and put on black with its
       centre of mass in the middle, as MNIST's digits are.

    Raises:
        UserError: the file is missing, not a picture, too large, damaged or blank.
    """
    grey = _grey(image, side)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    if grey.shape != (side, side) and (paper := find_paper(grey)):
        border = grey[paper.rim]
        grey = np.where(paper.inside, grey, np.median(border))
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
    try:
        content = read_file(path, MOST_BYTES)
    except OSError as error:
        raise UserError(f"{path}: cannot read this file: {error.strerror or error}") from error
    too_large = UserError(f"{path}: too large; pictures of at most {MOST_PIXELS // 10**6} million pixels are read")
    try:
        with warnings.catch_warnings(action="ignore"):
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            if math.prod(image.size) > MOST_PIXELS:
                raise too_large
            grey = _grey_image(image, max(side, WORKING_SIDE))
    except Image.DecompressionBombError:
        raise too_large from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{path}: not a picture in a format that is read here ({', '.join(FORMATS)})") from None
    except (UserError, MemoryError):
        raise
    except Exception as error:  # what a decoder raises on a damaged file is not limited to a few types
        text = printable(" ".join(str(error).split())[:200]) or type(error).__name__
        raise UserError(f"{path}: cannot read this picture: {text}") from error
    return np.asarray(grey) / 255


def _grey_image(image: Image.Image, most: int) -> Image.Image:
    """Upright, opaque and grey, no side longer than `most`. Shrunk as early as possible, for that is the memory."""
    image.draft(None, (2 * most, 2 * most))  # a JPEG need not be decoded at its full size
    ImageOps.exif_transpose(image, in_place=True)
    deep = image.mode[0] in "IF"  # more than 8 bits, and nobody says how many are used
    if deep:
        image = image.convert("F")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode in ("1", "P"):
        image = image.convert("RGB" if image.mode == "P" else "L")
    image.thumbnail((most, most))
    if deep:
        pixels = np.nan_to_num(np.asarray(image), posinf=0, neginf=0).astype(float)
        return Image.fromarray((255 * (pixels - pixels.min()) / max(np.ptp(pixels), 1e-9)).astype(np.uint8))
    if image.mode == "RGBA":
        backgrounds = (Image.new("RGBA", image.size, color) for color in ("white", "black"))
        on_white, on_black = (Image.alpha_composite(background, image).convert("L") for background in backgrounds)
        return on_black if on_white.getextrema()[0] == 255 else on_white
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


if __name__ == "__main__":
    _answer(int(sys.argv[1]))
