"""A run that counts upwards, for tests of the run folder."""

import json

import numpy as np

from irrl.run import DiskRun, Plan

CONFIG = {"reward": "clipped-linear", "epochs": 10, "patch": [4, 4]}
FREE = frozenset({"epochs"})


def open_run(folder, config=CONFIG, task="digits", *, resume="auto", **plan):
    return DiskRun.open(folder, Plan(task, config, FREE, **plan), resume=resume)


def train(disk_run, steps, *, keep_every=100):
    """Count upwards: the array equals the step, a row a step, a checkpoint every ten steps."""
    found = disk_run.restore()
    start = found.state["step"] if found else 0
    for step in range(start + 1, steps + 1):
        disk_run.log({"step": step, "epoch": step // 10, "loss": 1 / step})
        if step % 10 == 0:
            state = {"step": step, "epoch": step // 10}
            disk_run.save({"x": np.array(step)}, state, best=step == 20, keep=step % keep_every == 0)
    return found


def start_and_train(folder, steps, **options):
    with open_run(folder) as disk_run:
        train(disk_run, steps, **options)


def metrics_steps(folder):
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def restored_step(folder, **options):
    with open_run(folder, **options) as disk_run:
        found = disk_run.restore()
        return found and (found.state["step"], int(found.arrays["x"]))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
