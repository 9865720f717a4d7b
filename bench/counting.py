"""How fast are the counting task's pictures and training, and where does the time go?

    python bench/counting.py --json

Prints `render_fps` (the ray caster: 64x64 pixels, 8 cubes, wall, floor and table, a batch on all cores), `mujoco_fps`
(the same scenes by MuJoCo's OpenGL renderer: software, where there is no graphics card), `train_frames_per_second`
(whole training steps: render, act, learn; every picture of every walk), `share_of_time` of a training step's parts,
measured alone, and `matmul_gflops` of large matrix products beside `useful_gflops` of training.
"""

import argparse
import json
import time
from dataclasses import replace
from functools import partial

from irrl.devices import AXIS, mesh, on_every, use_cores

if __name__ == "__main__":
    use_cores()

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from irrl.counting import render
from irrl.counting.config import Config
from irrl.counting.model import draw, rollout, tables_of
from irrl.counting.network import find, initial_params
from irrl.counting.scene import draw_scenes
from irrl.counting.simulator import Simulator
from irrl.counting.source import Round
from irrl.counting.training import initial_state, train_steps

EIGHT = {"counts": "0,0,1", "distractors_least": 6, "distractors_most": 6}
"""Cubes on the table."""
MATRIX = 2048


def seconds_of(function, *arguments) -> float:
    began = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - began


def on_all_cores(function, batch: int):
    """`function` of a batch, each core taking its share."""
    shared = PartitionSpec(AXIS)
    return jax.jit(jax.shard_map(function, mesh=mesh(batch), in_specs=shared, out_specs=shared, check_vma=False))


def mujoco_seconds(config: Config, pictures: int) -> float:
    scenes = draw_scenes(config, 1, np.random.default_rng(0))
    simulator = Simulator(config, scenes)
    with simulator.eyes("eye", config.height, config.width) as picture:
        picture()
        began = time.perf_counter()
        for viewpoint in range(pictures):
            simulator.place(viewpoint)
            picture()
        return time.perf_counter() - began


def useful_flops(config: Config) -> int:
    """Multiplications and additions of the detector for one picture, forward and for its gradient.

    The first layer's inputs need no gradient; all else that is computed is small beside the detector.
    """
    places, units = config.places_seen, config.window_units
    first, others = 2 * config.window_features * units, 2 * 2 * units * units
    return places * (2 * first + 3 * others)


def measure(config: Config, frames: int, steps: int, rounds: int) -> dict:
    small = replace(config, width=64, height=64, **EIGHT)
    rng = np.random.default_rng(0)
    view = draw_scenes(small, frames, rng).view(rng.uniform(0, 6, frames).astype(np.float32))
    cast = on_all_cores(partial(render.render, small), frames)

    tables = tables_of(config, draw_scenes(config, 4 * config.batch, rng))
    order = np.resize(np.arange(4 * config.batch, dtype=np.int32), (steps, config.batch))
    everywhere = mesh(config.batch)
    round_ = Round(*on_every(everywhere, (tables, order)))
    state = on_every(everywhere, initial_state(config, tables))
    params = initial_params(config, key=jax.random.key(0))
    index = jnp.arange(config.batch)
    draws = draw(config, config.batch, key=jax.random.key(0))

    # The parts of a step, each on all cores.
    whole = on_all_cores(
        lambda index, draws: rollout(params, tables, index, draws, config).found.sums.swapaxes(0, 1), len(index)
    )
    walked = jax.jit(lambda: rollout(params, tables, index, draws, config))()
    images = walked.images.reshape(-1, *walked.images.shape[2:])
    see = on_all_cores(lambda images: find(params.detector, images, config).sums, len(images))
    cubes = render.View(
        *(jnp.tile(each[index], (config.steps, *[1] * (each.ndim - 1))) for each in tables[:3]), jnp.zeros(len(images))
    )
    show = on_all_cores(partial(render.render, config), len(images))
    matrix = jnp.ones((MATRIX, MATRIX))
    products = on_all_cores(lambda a: a @ matrix, 2 * MATRIX)

    best: dict[str, float] = {}

    def keep(name: str, seconds: float) -> None:
        best[name] = min(best.get(name, float("inf")), seconds)

    for _ in range(rounds + 1):  # in turns, for the machine's speed drifts; the first compiles
        keep("render", seconds_of(cast, view))
        began = time.perf_counter()
        state = jax.block_until_ready(train_steps(state, round_, 0, steps, config=config))
        keep("train", (time.perf_counter() - began) / steps)
        keep("rollout", seconds_of(whole, index, draws))
        keep("detect", seconds_of(see, images))
        keep("show", seconds_of(show, cubes))
        keep("matmul", seconds_of(products, jnp.ones((2 * MATRIX, MATRIX))))
        keep("mujoco", mujoco_seconds(small, frames // 8))
    pictures = config.batch * config.steps
    render_fps, mujoco_fps = frames / best["render"], frames // 8 / best["mujoco"]
    return {
        "render_fps": render_fps,
        "mujoco_fps": mujoco_fps,
        "render_over_mujoco": render_fps / mujoco_fps,
        "train_frames_per_second": pictures / best["train"],
        "share_of_time": {
            "render": best["show"] / best["train"],
            "detect": best["detect"] / best["train"],
            "rest of the rollout": (best["rollout"] - best["show"] - best["detect"]) / best["train"],
            "gradient and optimiser": 1 - best["rollout"] / best["train"],
        },
        "useful_gflops": useful_flops(config) * pictures / best["train"] / 1e9,
        "matmul_gflops": 4 * MATRIX**3 / best["matmul"] / 1e9,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    figures = measure(Config(), 1024, 4, arguments.rounds)
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value if isinstance(value, dict) else f'{value:,.1f}'}")
