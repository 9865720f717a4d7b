"""Films from frames: an MP4 that any browser plays, and a GIF."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8
from PIL import Image

Frame = UInt8[np.ndarray, "height width 3"]


def write_gif(frames: Sequence[Frame], path: Path, *, milliseconds: int, last_milliseconds: int) -> None:
    """Write an endless GIF that shows each frame for some time, and the last one for another."""
    # One palette for all frames. Pillow's own choice drops what is rare: first of all, thin coloured lines.
    palette = Image.fromarray(np.concatenate(frames)).quantize(method=Image.Quantize.FASTOCTREE)
    first, *others = (Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    durations = [milliseconds] * len(others) + [last_milliseconds]
    first.save(path, "GIF", save_all=True, append_images=others, duration=durations, loop=0)


def write_mp4(frames: Sequence[Frame], path: Path, *, milliseconds: int, last_milliseconds: int) -> None:
    """Write an MP4 (H.264) that shows each frame for some time, and the last one for another; sides must be even.

    Raises:
        OSError: it cannot be written.
    """
    height, width, _ = frames[0].shape
    raw = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r 1000/{milliseconds} -i -"
    # Ten frames a second, for some players cannot show less than a few.
    coded = "-f mp4 -c:v libx264 -crf 20 -pix_fmt yuv420p -r 10 -movflags +faststart"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *raw.split(), *coded.split(), f"file:{path}"]
    pixels = np.stack([*frames, *[frames[-1]] * (last_milliseconds // milliseconds - 1)]).tobytes()
    # Not by imageio: it forks this process, and JAX's threads may then lock up.
    done = subprocess.run(command, input=pixels, capture_output=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace"))
