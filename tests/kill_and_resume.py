"""Kill a training with SIGKILL at random moments, resume it each time, and compare the end with an undisturbed run.

    python tests/kill_and_resume.py --kills 20 [--task skills|counting]

Prints one line a kill, and exits with 1 unless the final weights are the same to the last bit.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from irrl import checkpoint
from tiny import COUNTING, FASTER, SETTINGS, flags_of, write_mnist


def command(task: str, folder: Path, out: Path, rows: int) -> list[str]:
    """A training that logs `rows` rows and checkpoints at every second one."""
    if task == "skills":
        words = ["--rooms", "small", "--iterations", 2000 * rows, "--log-every", 2000, "--checkpoint-every", 4000]
        words += ["--disdain", 20, "--ensemble", 2]
    elif task == "counting":
        # Enough for two devices, where there are two cores.
        words = [*flags_of(COUNTING | {"batch": 64, "round": 256, "jitter": 0.5}), "--episodes", 256 * rows]
    else:
        mnist = folder / "mnist"
        words = [*flags_of(SETTINGS | FASTER), "--mnist", mnist if mnist.exists() else write_mnist(mnist)]
        words += ["--epochs", rows, "--checkpoint-every", 2]
    return [str(word) for word in (sys.executable, "-m", "irrl", task, "train", *words, "--out", out)]


def prepared(lines: str, words: list[str]) -> list[str]:
    """A command for whose process some lines of Python are run first. No `preexec_fn`: a fork of JAX's may lock up."""
    return [sys.executable, "-c", f"import os, sys\n{lines}\nos.execv(sys.argv[1], sys.argv[1:])", *words]


def rows_logged(out: Path) -> int:
    metrics = out / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def kill_and_resume(task: str, folder: Path, kills: int, rows: int, seed: int = 0) -> tuple[checkpoint.Checkpoint, ...]:
    """The last checkpoints of an undisturbed run and of one killed `kills` times, always before its end.

    Each kill comes a random few milliseconds after a random row: in a step, an evaluation or a write.
    """
    whole, killed = folder / "whole", folder / "killed"
    subprocess.run(command(task, folder, whole, rows), check=True, capture_output=True)
    moments, again = random.Random(seed), command(task, folder, killed, rows)
    for target in sorted(moments.randrange(int(0.9 * rows)) for _ in range(kills)):
        process = subprocess.Popen(again, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while (rows_logged(killed) < target or not any(killed.glob("config.json"))) and process.poll() is None:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the training was over before it could be killed"
        reached = checkpoint.load(killed / "last.safetensors").state["step"] if any(killed.glob("last*")) else 0
        print(f"killed after row {rows_logged(killed)}: the last checkpoint is of step {reached}", flush=True)
    subprocess.run(again, check=True, capture_output=True)
    assert rows_logged(whole) == rows_logged(killed) == rows
    return tuple(checkpoint.load(run / "last.safetensors") for run in (whole, killed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--task", choices=("digits", "skills", "counting"), default="digits")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        whole, killed = kill_and_resume(arguments.task, Path(scratch), arguments.kills, arguments.rows, arguments.seed)
    same = whole.state["step"] == killed.state["step"] and all(
        whole.arrays[name].tobytes() == killed.arrays[name].tobytes() for name in whole.arrays
    )
    print("bit-identical" if same else "DIFFERENT", "after", arguments.kills, "kills")
    sys.exit(not same)
