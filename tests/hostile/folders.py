"""Run folders whose files are damaged, odd, or no files at all."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hostile.checkpoints import ODD_TEXTS, ODD_VALUES

NAMES = ("config.json", "environment.json", "metrics.jsonl", "last.safetensors", "best.safetensors", ".lock", ".owner")


def odd(rng: np.random.Generator, folder: Path, good: Path) -> Iterator[tuple[str, Path]]:
    """Copies of a good run's folder with something wrong, without end."""
    number = 0
    while True:
        number += 1
        run = folder / f"run-{number}"
        shutil.copytree(good, run)
        kind = str(rng.choice(["text", "value", "row", "kind", "name", "absent", "bytes"]))
        name = str(rng.choice(NAMES))
        path = run / name
        said = f"{kind} {name}"
        if kind == "text":
            path.write_text(ODD_TEXTS[int(rng.integers(len(ODD_TEXTS)))])
        elif kind == "value":
            recorded = json.loads((run / "config.json").read_text())
            config, value = recorded["config"], ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
            key = str(rng.choice([*config, "task", "config"]))
            (recorded if key in recorded else config)[key] = value
            said = f"config {key} {value!r:.40}"
            (run / "config.json").write_text(json.dumps(recorded))
        elif kind == "row":
            rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            value = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
            key = str(rng.choice([*rows[0], "\x1b[31m"]))
            rows[int(rng.integers(len(rows)))][key] = value
            said = f"row {key} {value!r:.40}"
            (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif kind == "kind":
            path.unlink(missing_ok=True)
            what = str(rng.choice(["folder", "pipe", "zero", "loop", "dangling", "sparse"]))
            said = f"{name} is a {what}"
            make(path, what)
        elif kind == "name":
            odd_name = str(rng.choice(["epoch-²", "iteration-", "episode-9" + "9" * 400, "epoch--1", "best\x1b[31m"]))
            source = run / "last.safetensors"
            if source.exists() and len(odd_name) < 200:
                shutil.copy(source, run / f"{odd_name}.safetensors")
            (run / f".last.safetensors.{number:08x}.irrl-tmp").mkdir()
            said = f"name {odd_name!r:.40}"
        elif kind == "absent":
            path.unlink(missing_ok=True)
        elif path.exists():
            content = bytearray(path.read_bytes()) or bytearray(b"x")
            for place in rng.integers(len(content), size=4):
                content[place] = int(rng.integers(256))
            path.write_bytes(content)
        yield said, run


def make(path: Path, what: str) -> None:
    """Put something there that is no ordinary file, or a very large one."""
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "zero":
        path.symlink_to("/dev/zero")
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "dangling":
        path.symlink_to("nowhere")
    else:
        with path.open("wb") as file:
            file.truncate(100 << 30)
