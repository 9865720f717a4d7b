"""Put a trained agent into the package, without its optimiser, where `irrl.load(NAME)` finds it.

python results/ship.py runs/fast-1 digits-fast
"""

import sys
from pathlib import Path

from irrl import checkpoint
from irrl.loading import AGENTS, checkpoint_of

run, name = sys.argv[1:]
saved = checkpoint.load(checkpoint_of(Path(run)))
arrays = {key: array for key, array in saved.arrays.items() if key.startswith("params.")}
AGENTS.mkdir(exist_ok=True)
checkpoint.replace_file(AGENTS / f"{name}.safetensors", checkpoint.encode(arrays, saved.state))
print(AGENTS / f"{name}.safetensors")
