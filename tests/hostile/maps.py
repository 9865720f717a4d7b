"""Maps of rooms as a stranger, a bad disk or a slip of the hand may leave them, and commands that read them."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hostile.no_file import device, folder, link_to_itself, missing, pipe
from irrl.settings import MOST_TEXT


def cases(rng: np.random.Generator, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Without end: what is wrong, and the words after `irrl` of a command that reads it, all under `folder`.

    Maps are read by a training that then refuses its number of threads, and as recorded in runs' configs.
    """
    for name, path in files(rng, folder):
        if rng.integers(4) or not path.is_file() or path.stat().st_size > 2 * MOST_TEXT:
            out = str(folder / "run")
            yield name, ["skills", "train", "--rooms", str(path), "--threads", "0", "--out", out]
        else:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
            run = path.with_suffix(".run")
            run.mkdir()
            config = {"task": "skills", "config": {"rooms": text if rng.integers(5) else str(path)}}
            (run / "config.json").write_text(json.dumps(config))
            (run / "metrics.jsonl").write_text('{"step": 1, "iteration": 1, "effective_skills_exact": 1.0}\n')
            command = ["compare", "occupancy", "test"][rng.integers(3)]
            yield f"{name}, in a config", ["skills", command, str(run)]


def files(rng: np.random.Generator, folder: Path) -> Iterator[tuple[str, Path]]:
    """Without end: what is wrong, and a map that is so."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        kind = KINDS[number % len(KINDS)]
        path = folder / f"map-{number}.txt"
        path.write_text(honest(rng))
        kind(path, rng)
        yield f"map: {kind.__name__.strip('_')}", path
        number += 1


def honest(rng: np.random.Generator) -> str:
    """A map that is as it should be: a random walk's path through rock."""
    height, width = rng.integers(3, 14, 2).tolist()
    free = np.zeros((height, width), bool)
    place = np.array([height // 2, width // 2])
    for step in rng.integers(4, size=rng.integers(1, 60)):
        free[tuple(place)] = True
        place = np.clip(place + [(0, 1), (1, 0), (0, -1), (-1, 0)][step], 1, [height - 2, width - 2])
    return text_of(free)


def text_of(free: np.ndarray) -> str:
    """Free cells as spaces, all else as walls."""
    return "\n".join("".join(" " if cell else "#" for cell in row) for row in free) + "\n"


def corridor(length: int) -> str:
    """One cell wide, folded into a square: every cell is as far from the first as can be."""
    side = max(5, round((2 * length) ** 0.5) | 1)
    rows = ["#" * side]
    for row in range(side - 2):
        gap = side - 2 if row % 4 == 1 else 1
        rows.append("#" * gap + " " + "#" * (side - 1 - gap) if row % 2 else "#" + " " * (side - 2) + "#")
    return "\n".join([*rows, "#" * side]) + "\n"


def _nothing(path: Path, rng: np.random.Generator) -> None:
    pass


def _character(path: Path, rng: np.random.Generator) -> None:
    text = list(path.read_text())
    for _ in range(rng.integers(1, 5)):
        text[rng.integers(len(text))] = str(rng.choice([*" #x\t\x1b\x00\u2588\u00a0\ud7ff\r\n\x85\u2028"]))
    path.write_bytes("".join(text).encode())


def _flipped(path: Path, rng: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 5)):
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def _cut(path: Path, rng: np.random.Generator) -> None:
    os.truncate(path, rng.integers(path.stat().st_size))


def _escape_sequences(path: Path, rng: np.random.Generator) -> None:
    path.write_text("####\n# \x1b]0;title\x07\x1b[2J #\n####\n")


def _line_ends(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", [b"\r\n", b"\r", b"\n\r"][rng.integers(3)]))


def _byte_order_mark(path: Path, rng: np.random.Generator) -> None:
    path.write_text(path.read_text(), encoding=str(rng.choice(["utf-8-sig", "utf-16", "utf-32"])))


def _blank_lines(path: Path, rng: np.random.Generator) -> None:
    blank = "\n" * int(rng.integers(1, 1_200_000))
    path.write_text(blank + path.read_text() if rng.integers(2) else path.read_text() + blank)


def _walls_only(path: Path, rng: np.random.Generator) -> None:
    path.write_text(text_of(np.zeros(rng.integers(1, 1_000, 2), bool)))


def _two_parts(path: Path, rng: np.random.Generator) -> None:
    free = np.zeros((int(rng.integers(3, 400)), 5), bool)
    free[1:-1, 1::2] = True
    path.write_text(text_of(free))


def _long_corridor(path: Path, rng: np.random.Generator) -> None:
    path.write_text(corridor(int(rng.integers(1_000, 99_000))))


def _hall(path: Path, rng: np.random.Generator) -> None:
    side = int(rng.integers(50, 1_040))
    path.write_text(text_of(np.pad(np.ones((side - 2, side - 2), bool), 1)))


def _one_line(path: Path, rng: np.random.Generator) -> None:
    path.write_text("#" * int(rng.integers(1, 1_500_000)))


def _one_column(path: Path, rng: np.random.Generator) -> None:
    path.write_text("#\n" * int(rng.integers(1, 600_000)))


def _huge(path: Path, rng: np.random.Generator) -> None:
    os.truncate(path, 20_000 * 20_001)


def _noise(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(rng.bytes(rng.integers(0, 2_000)))


KINDS: tuple[Callable[[Path, np.random.Generator], Any], ...] = (
    *(_nothing, _character, _flipped, _cut, _escape_sequences, _line_ends, _byte_order_mark, _blank_lines),
    *(_walls_only, _two_parts, _long_corridor, _hall, _one_line, _one_column, _huge, _noise, missing, pipe, folder),
    *(device, link_to_itself),
)
