"""Kill a training with SIGKILL at random moments, resume it each time, and compare the end with an undisturbed run.

    python tests/kill_and_resume.py --kills 20

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
from tiny import FLAGS, write_mnist


def command(mnist: Path, out: Path, epochs: int) -> list[str]:
    train = [sys.executable, "-m", "irrl", "digits", "train", *FLAGS]
    return [*train, "--mnist", str(mnist), "--epochs", str(epochs), "--checkpoint-every", "2", "--out", str(out)]


def epochs_logged(out: Path) -> int:
    metrics = out / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def kill_and_resume(folder: Path, kills: int, epochs: int, seed: int = 0) -> tuple[checkpoint.Checkpoint, ...]:
    """The last checkpoints of an undisturbed run and of one killed `kills` times, always before its end.

    Each kill comes a random few milliseconds after a random epoch: in a step, an evaluation or a write.
    """
    mnist = write_mnist(folder / "mnist")
    whole, killed = folder / "whole", folder / "killed"
    subprocess.run(command(mnist, whole, epochs), check=True, capture_output=True)
    moments = random.Random(seed)
    for target in sorted(moments.randrange(int(0.9 * epochs)) for _ in range(kills)):
        process = subprocess.Popen(command(mnist, killed, epochs), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while (epochs_logged(killed) < target or not any(killed.glob("config.json"))) and process.poll() is None:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the training was over before it could be killed"
        reached = checkpoint.load(killed / "last.safetensors").state["epoch"] if any(killed.glob("last*")) else 0
        assert reached < epochs
        print(f"killed after epoch {epochs_logged(killed)}: the last checkpoint is of epoch {reached}", flush=True)
    subprocess.run(command(mnist, killed, epochs), check=True, capture_output=True)
    assert epochs_logged(whole) == epochs_logged(killed) == epochs
    return tuple(checkpoint.load(run / "last.safetensors") for run in (whole, killed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        whole, killed = kill_and_resume(Path(scratch), arguments.kills, arguments.epochs, arguments.seed)
    same = whole.state["step"] == killed.state["step"] and all(
        whole.arrays[name].tobytes() == killed.arrays[name].tobytes() for name in whole.arrays
    )
    print("bit-identical" if same else "DIFFERENT", "after", arguments.kills, "kills")
    sys.exit(not same)
