"""What an engine costs: the time of a study on two cores, over half of what its runs take one after the other.

    python bench/engine.py [--runs 20] [--iterations 3000000]

Its runs are of skills in the small rooms, of about ten seconds each.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = """\
title = "What an engine costs"
task = "skills"
preset = "paper"
seeds = [{seeds}]
settings = {{ rooms = "small", iterations = {iterations}, log_every = 100_000, checkpoint_every = 100_000 }}
[[curve]]
reward = "clipped-linear"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=3_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "cost.toml"
        seeds = ", ".join(map(str, range(1, arguments.runs + 1)))
        study.write_text(STUDY.format(seeds=seeds, iterations=arguments.iterations))
        irrl = [sys.executable, "-m", "irrl", "study", "run", str(study), "--out", f"{folder}/out"]
        commands = subprocess.run([*irrl, "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, mine[:1])  # as the engine gives each run a core
        own = [_seconds(command.replace(f"{folder}/out", f"{folder}/alone").split()[1:]) for command in commands]
        os.sched_setaffinity(0, mine)
        began = time.perf_counter()
        subprocess.run([*irrl, "--workers", "2"], check=True, capture_output=True)
        took = time.perf_counter() - began
    half = sum(own) / 2
    print(f"{len(own)} runs of {min(own):.1f} to {max(own):.1f} s, in all {sum(own):.1f} s, one at a time")
    print(f"the study, two at a time: {took:.1f} s, {took / half:.3f} of half of that")


def _seconds(words: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "irrl", *words], check=True, capture_output=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
