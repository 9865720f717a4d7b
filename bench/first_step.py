"""How long a user waits for the first training step of each preset: from the start of the process.

    python bench/first_step.py [--json] [TASK/PRESET ...]

Each is started twice with a folder of its own for compiled programs: `cold` compiles, `warm` finds them there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

PRESETS = [
    *(f"digits/{name}" for name in ("paper", "demo", "best", "ram8")),
    *(f"{task}/{name}" for task in ("skills", "counting") for name in ("paper", "demo", "best")),
]

STARTED = """
import os, sys, tempfile
from irrl.cli import main
from irrl.run import Run

def progress(self, step, steps):
    print("first step", flush=True)
    os._exit(0)

Run.progress = progress
main([sys.argv[1], "train", "--preset", sys.argv[2], "--out", tempfile.mkdtemp() + "/run"])
"""


def seconds(task: str, preset: str, cache: str) -> float | None:
    """None: there is no such preset."""
    folders = {"JAX_COMPILATION_CACHE_DIR": cache, "NUMBA_CACHE_DIR": cache, "XDG_CACHE_HOME": cache}
    began = time.perf_counter()
    words = [sys.executable, "-c", STARTED, task, preset]
    done = subprocess.run(words, env=os.environ | folders, capture_output=True, text=True, check=False)
    return time.perf_counter() - began if "first step" in done.stdout else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("presets", nargs="*", default=PRESETS)
    arguments = parser.parse_args()
    found = {}
    for name in arguments.presets:
        with tempfile.TemporaryDirectory() as cache:
            found[name] = {kind: seconds(*name.split("/"), cache) for kind in ("cold", "warm")}
        if not arguments.json:
            shown = (f"{kind} {'none' if taken is None else f'{taken:6.2f} s'}" for kind, taken in found[name].items())
            print(f"{name:16s} {'   '.join(shown)}", flush=True)
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
