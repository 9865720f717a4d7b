"""Pictures and films: whole or not at all, and of any name."""

import errno
import os
import subprocess
import warnings
from io import BytesIO

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from irrl.figures import FORMATS, drawable, small_picture, write_figure
from irrl.films import write_gif, write_mp4

ODD = "_a$b$ \udcff\n\x1b数"


def test_a_name_is_drawn_as_it_is_and_what_the_font_lacks_is_escaped():
    assert drawable("box-cox:0.5, mnist /a_b^é") == "box-cox:0.5, mnist /a_b^é"
    assert drawable(ODD) == r" _a\$b\$ \udcff\n\x1b\u6570"


@pytest.mark.parametrize("suffix", FORMATS)
def test_any_name_can_stand_in_a_figure(tmp_path, suffix):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2], label=drawable(ODD))
    axes.set(title=drawable(ODD), xlabel=r"$\delta$")
    with warnings.catch_warnings(action="error", category=UserWarning):
        warnings.simplefilter("ignore", DeprecationWarning)  # between Matplotlib and what it uses
        shown = [text.get_text() for text in axes.legend().get_texts()]
        write_figure(figure, tmp_path / f"picture{suffix}")
    assert shown == [drawable(ODD)]


def write_film(name):
    frames = [np.full((20, 30, 3), level, np.uint8) for level in (0, 255)]
    write = {".gif": write_gif, ".mp4": write_mp4}[name.suffix]
    write(frames, name, milliseconds=500, last_milliseconds=500)


@pytest.mark.parametrize("suffix", [*FORMATS, ".gif", ".mp4"])
def test_on_a_full_disk_the_old_file_stands(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"picture{suffix}"
    write = write_film if suffix in (".gif", ".mp4") else lambda path: write_figure(Figure(), path)
    path.write_bytes(b"old")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    said = b"[out#0/mp4 @ 0x1] Error muxing a packet\nav_write(): No space left on device\nConversion failed!\n"
    failed = subprocess.CompletedProcess((), 1, stderr=said)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        patch.setattr(subprocess, "run", lambda *arguments, **options: failed)
        with pytest.raises(OSError) as error:
            write(path)
    assert str(error.value) == f"[Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}: '{path}'"
    assert [each.name for each in tmp_path.iterdir()] == [path.name] and path.read_bytes() == b"old"
    write(path)
    assert len(path.read_bytes()) > 100


def test_a_small_picture_is_small_whatever_is_on_it():
    figure = Figure(figsize=(4, 2))
    figure.figimage(np.random.default_rng(0).random((200, 400)))
    picture = small_picture(figure, "noise", most=3_000)
    assert len(picture.webp) <= 3_000 and picture.text == "noise"
    assert Image.open(BytesIO(picture.webp)).size == picture.size
    assert small_picture(Figure(figsize=(4, 2)), "nothing").size == (384, 192)
