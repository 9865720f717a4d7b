"""Films from frames: an MP4 that any browser plays, and a GIF. Both are written whole, then put in place."""

import errno
import os
import subprocess
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from irrl.files import replace_by, replace_file

Frame = UInt8[np.ndarray, "height width 3"]

TROUBLES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.ENOENT, errno.EROFS)
"""Of a disk, which ffmpeg tells in words among others."""


def write_gif(frames: Sequence[Frame], path: Path, *, milliseconds: int, last_milliseconds: int) -> None:
    """Write an endless GIF that shows each frame for some time, and the last one for another.

    Raises:
        OSError: it cannot be written; the older one, if any, still stands.
    """
    # One palette for all frames. Pillow's own choice drops what is rare: first of all, thin coloured lines.
    palette = Image.fromarray(np.concatenate(frames)).quantize(method=Image.Quantize.FASTOCTREE)
    first, *others = (Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    durations = [milliseconds] * len(others) + [last_milliseconds]
    content = BytesIO()
    first.save(content, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    replace_file(path, content.getvalue())


def write_mp4(frames: Sequence[Frame], path: Path, *, milliseconds: int, last_milliseconds: int) -> None:
    """Write an MP4 (H.264) that shows each frame for some time, and the last one for another; sides must be even.

    Raises:
        OSError: it cannot be written; the older one, if any, still stands.
    """
    height, width, _ = frames[0].shape
    raw = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r 1000/{milliseconds} -i -"
    # Ten frames a second, for some players cannot show less than a few.
    coded = "-f mp4 -c:v libx264 -crf 20 -pix_fmt yuv420p -r 10 -movflags +faststart"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *raw.split(), *coded.split()]
    pixels = np.stack([*frames, *[frames[-1]] * (last_milliseconds // milliseconds - 1)]).tobytes()

    def write(temporary: Path) -> None:
        # Not by imageio: it forks this process, and JAX's threads may then lock up.
        done = subprocess.run([*command, f"file:{temporary}"], input=pixels, capture_output=True, check=False)
        said = " ".join(done.stderr.decode(errors="replace").split())
        if done.returncode:
            trouble = next((each for each in TROUBLES if os.strerror(each) in said), None)
            raise OSError(trouble or errno.EIO, os.strerror(trouble) if trouble else f"ffmpeg failed: {said}")

    replace_by(path, write)
