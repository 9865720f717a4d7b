"""A study of runs that take a second or a few, for tests of engines."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from irrl import checkpoint
from irrl.locks import owner_of

TEXT = """\
title = "Two arms"
task = "bandit:TASK"
seeds = [1, 2, 3]
settings = {{ pulls = {pulls}, log_every = {every}, checkpoint_every = {every} }}

[[curve]]
reward = "clipped-linear"

[[curve]]
reward = "log"

[expect]
log = {{ least = 50 }}
"""


def write_study(folder: Path, *, pulls: int = 600, every: int = 100) -> Path:
    path = folder / "arms.toml"
    path.write_text(TEXT.format(pulls=pulls, every=every))
    return path


def surroundings() -> dict[str, str]:
    """Of a process that finds the task."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path}


def study_command(study: Path, out: Path, *words: object) -> list[str]:
    return [
        sys.executable,
        "-m",
        "irrl",
        "study",
        *map(str, [*words[:1], study, "--own", "bandit", "--out", out, *words[1:]]),
    ]


def study(study: Path, out: Path, *words: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        study_command(study, out, *words), env=surroundings(), capture_output=True, text=True, check=False, **options
    )


def weights_of(out: Path) -> dict[str, dict[str, bytes]]:
    """The last weights of every run, by its folder."""
    return {
        path.parent.relative_to(out).as_posix(): {
            name: array.tobytes() for name, array in checkpoint.load(path).arrays.items()
        }
        for path in sorted(out.glob("*/seed-*/last.safetensors"))
    }


def metrics_of(out: Path) -> dict[str, str]:
    return {
        path.parent.relative_to(out).as_posix(): path.read_text() for path in sorted(out.glob("*/seed-*/metrics.jsonl"))
    }


def kill_at_random(command: list[str], out: Path, kills: int = 30) -> None:
    """Kill -9 of runs and of the driver, at random; it is started again whenever it is gone, as a user would."""
    moments, process, left = random.Random(0), None, kills
    while process is None or process.poll() != 0:
        if process is None or process.poll() is not None:
            process = subprocess.Popen(command, env=surroundings(), stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0, 1.0))
        if left:
            owners = [owner_of(folder) for folder in out.glob("*/seed-*")]
            victims = [owner.process for owner in owners if owner is not None and not owner.is_dead]
            victims += [process.pid] if moments.random() < 0.3 else []
            with suppress(ProcessLookupError, IndexError):
                os.kill(moments.choice(victims), signal.SIGKILL)
                left -= 1
    assert not left, f"it ended before {left} of {kills} kills"


def write_tiny_study(folder: Path) -> Path:
    """Three seeds of four curves: of both of digits' agents, of skills and of counting."""
    from tiny import COUNTING, FASTER, SETTINGS, write_mnist

    digits = {name: value for name, value in SETTINGS.items() if name != "seed"}
    digits |= {"mnist": str(write_mnist(folder / "mnist")), "epochs": 60, "log_every": 2, "checkpoint_every": 2}
    rooms = {"rooms": "small", "iterations": 400_000, "log_every": 20_000, "checkpoint_every": 20_000}
    curves = {
        "ram": ("digits", "paper", digits),
        "fast": ("digits", "paper", digits | FASTER),
        "rooms": ("skills", "paper", rooms),
        "robot": ("counting", "paper", COUNTING | {"episodes": 64 * 32}),
    }
    text = 'title = "Tiny runs of every task"\nseeds = [1, 2, 3]\n'
    for label, (task, preset, settings) in curves.items():
        text += f'[[curve]]\nlabel = "{label}"\ntask = "{task}"\npreset = "{preset}"\n[curve.settings]\n'
        text += "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


def learned_of(out: Path) -> dict[str, list[dict[str, float]]]:
    """The metrics of every run, without what depends on the clock."""

    def learned(line: str) -> dict[str, float]:
        return {name: value for name, value in json.loads(line).items() if "second" not in name}

    return {path: list(map(learned, text.splitlines())) for path, text in metrics_of(out).items()}
