"""Files of studies as a stranger may leave them, and commands that read them without training."""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hostile.checkpoints import ODD_TEXTS, ODD_VALUES
from hostile.no_file import device, folder, link_to_itself, missing, pipe

NO_FILES = (missing, pipe, folder, device, link_to_itself)

GOOD: dict[str, Any] = {
    "title": "two",
    "task": "skills",
    "preset": "demo",
    "seeds": [1, 2],
    "threads": 1,
    "published": "ram",
    "settings": {"iterations": 1000, "rooms": "small"},
    "curve": [{"reward": "log"}, {"label": "x", "task": "digits", "preset": "paper", "settings": {"epochs": 3}}],
    "expect": {"x": {"at": [1, 2], "least": 1}, "log": {"value": 3, "within": 1, "metric": "reward"}},
}


def cases(rng: np.random.Generator, out: Path) -> Iterator[tuple[str, list[str]]]:
    """Without end: what is wrong, and the words after `irrl` of a command."""
    number = 0
    while True:
        number += 1
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"study-{number}.toml"
        name = _write(rng, path)
        words = [["run", "--list"], ["status", "--once"], ["check", "--json"], ["table"], ["report"]][rng.integers(5)]
        yield f"study: {name}", ["study", words[0], str(path), *words[1:], "--out", str(out / "runs")]


def _write(rng: np.random.Generator, path: Path) -> str:
    kind = str(rng.choice(["value", "field", "text", "bytes", "no file", "reward"]))
    said = json.loads(json.dumps(GOOD))
    odd = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
    table = _tables(said)[int(rng.integers(len(_tables(said))))]
    if kind == "value":
        table[str(rng.choice(list(table)))] = odd
    elif kind == "field":
        table[str(rng.choice(["at", "seed", "settings", "__class__", "\x1b[31m", "", "a.b"]))] = odd
    elif kind == "reward":
        names = ["evil:R", "clipped(evil:R(1))", "antigravity:fly", "clipped(" * 900, "box-cox:1e999", "os:system('x')"]
        said["curve"][0]["reward"] = str(rng.choice(names))
    text = _toml(said)
    if kind == "text":
        text = ODD_TEXTS[int(rng.integers(len(ODD_TEXTS)))]
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    if kind == "bytes":
        content = bytearray(path.read_bytes())
        for _ in range(int(rng.integers(1, 5))):
            content[int(rng.integers(len(content)))] = int(rng.integers(256))
        path.write_bytes(content)
    elif kind == "no file":
        NO_FILES[int(rng.integers(len(NO_FILES)))](path, rng)
    return kind


def _tables(said: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        said,
        said["settings"],
        *said["curve"],
        said["curve"][1]["settings"],
        said["expect"],
        *said["expect"].values(),
    ]


def _toml(said: dict[str, Any]) -> str:
    """As TOML, of which JSON's inline values are nearly a part."""
    plain = {name: value for name, value in said.items() if name not in ("curve", "expect")}
    text = "".join(f"{_key(name)} = {_inline(value)}\n" for name, value in plain.items())
    for curve in said["curve"] if isinstance(said["curve"], list) else []:
        if isinstance(curve, dict):
            text += "[[curve]]\n" + "".join(f"{_key(name)} = {_inline(value)}\n" for name, value in curve.items())
    if isinstance(said["expect"], dict):
        text += "[expect]\n" + "".join(f"{_key(name)} = {_inline(value)}\n" for name, value in said["expect"].items())
    return text


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_inline(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return json.dumps(value, ensure_ascii=random.Random(repr(value)).random() < 0.5)


def _key(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else json.dumps(name)
