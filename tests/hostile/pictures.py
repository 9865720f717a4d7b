"""Pictures, damaged or crafted, for `irrl digits predict`."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from hostile.folders import make
from hostile.runner import Case

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP", "ICO")
NAMES = ("a", "\x1b[31ma", "ümläut", "a b", "-rf", "a\nb", "漢字")


def cases(rng: np.random.Generator, folder: Path, model: Path) -> Iterator[Case]:
    """Files and the command that reads them, without end."""
    number = 0
    while True:
        number += 1
        place = folder / str(number)
        place.mkdir()
        path = place / f"{NAMES[int(rng.integers(len(NAMES)))]}.png"
        kind = str(rng.choice(["bytes", "bomb", "kind", "format"], p=[0.7, 0.1, 0.05, 0.15]))
        if kind == "bytes":
            content = bytearray(_good(rng))
            for at in rng.integers(len(content), size=int(rng.integers(1, 8))):
                content[at] = int(rng.integers(256))
            if rng.random() < 0.3:
                del content[int(rng.integers(len(content))) :]
            path.write_bytes(content)
        elif kind == "bomb":
            bombs = [_huge_png, _text_png, _many_frames, _huge_header]
            path.write_bytes(bombs[int(rng.integers(len(bombs)))]())
        elif kind == "kind":
            make(path, str(rng.choice(["folder", "pipe", "zero", "loop", "dangling", "sparse"])))
        else:
            starts = [
                b"%!PS-Adobe-3.0 EPSF-3.0\n",
                b"%PDF-1.4",
                b"GIF89a",
                b"\x89PNG\r\n\x1a\n",
                b"RIFF\0\0\0\0WEBP",
                b"",
            ]
            path.write_bytes(starts[int(rng.integers(len(starts)))] + rng.bytes(int(rng.integers(300))))
        yield Case(f"picture: {kind}", ["digits", "predict", model, path.absolute(), "--out", place / "out"])


def _good(rng: np.random.Generator) -> bytes:
    pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    pixels[5:15, 9:11] = 0
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, FORMATS[int(rng.integers(len(FORMATS)))])
    return buffer.getvalue()


def _png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return content


def _huge_png() -> bytes:
    return _png(50_000, 50_000, (b"IDAT", zlib.compress(bytes(10_000_000))))


def _text_png() -> bytes:
    bomb = b"a\0\0" + zlib.compress(bytes(50_000_000))
    return _png(10, 10, *[(b"zTXt", bomb)] * 20, (b"IDAT", zlib.compress(bytes(110))))


def _many_frames() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("L", (8, 8), at % 256) for at in range(300)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def _huge_header() -> bytes:
    return b"P5 100000 100000 255\n" + bytes(1000)
