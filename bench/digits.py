"""How fast RAM trains, beside the limit: the float32 matrix-multiply rate of the same machine in the same minutes.

    python bench/digits.py [--json] [--preset paper] [--batch N] [--rounds 8]

Matrix products, train steps and whole epochs take turns, for a shared machine's speed drifts; every figure is a median
over rounds, and `fraction_of_matmul` is the median of the rounds' own ratios.
"""

import argparse
import json
import statistics
import time

import jax
import jax.numpy as jnp

from irrl.devices import mesh, on_every, use_cores
from irrl.digits.config import Config, preset
from irrl.digits.data import CLASSES, cluttered, load_mnist
from irrl.digits.source import Source
from irrl.digits.training import initial_state, train, train_steps
from irrl.keys import generator
from irrl.run import MemoryRun

STEPS = 25
MATRIX = 2048
PRODUCTS = 8


def useful_flops(config: Config) -> int:
    """Multiplications and additions that one image's training needs, forward and backward, in matrix products alone.

    Backward, every layer needs its weight gradient; the gradient of a layer's inputs is needed only where something
    trainable lies below: not under the sensor, nor under the baseline, nor under a policy that does not train the core.
    """
    units, hidden, locator = config.sensor_units, config.hidden_units, config.locator_units
    is_ours, is_fast = config.agent != "ram", config.agent == "fast"
    told = 4 if is_fast else 2
    sensor = (config.glimpse_features + told) * units
    trunk = (3 if is_ours else 2) * units * hidden + (4 if is_fast else 2) * hidden * hidden
    read = hidden + (told + config.glimpses if is_fast else 0)
    policy = (3 if is_ours else 2) * read * locator + 3 * locator * 2
    baseline = 2 * hidden
    if is_ours:  # a hidden layer, and the answers once more
        baseline = 2 * (hidden + CLASSES) * hidden + 4 * hidden * CLASSES
    per_glimpse = 2 * sensor + 3 * trunk + policy + baseline
    answers = config.glimpses if is_ours else 1
    return 2 * (config.glimpses * per_glimpse + 3 * answers * hidden * CLASSES)


def seconds_of(function) -> float:
    began = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - began


class Stopwatch(MemoryRun):
    """Notes when each epoch was over, validation included."""

    def __init__(self):
        super().__init__()
        self.times = []

    def log(self, row):
        super().log(row)
        self.times.append(time.perf_counter())


def measure(config: Config, rounds: int) -> dict[str, float]:
    matrix = jax.random.normal(jax.random.key(0), (MATRIX, MATRIX))
    product = jax.jit(jnp.matmul)
    operands = [jax.device_put(matrix, device) for device in mesh(config.batch).devices.flat]
    source = Source(config)
    epoch = source.epoch(1)
    state = on_every(mesh(config.batch), initial_state(config, source.steps_per_epoch))

    def products():
        return [product(operand, operand) for _ in range(PRODUCTS // len(operands)) for operand in operands]

    def steps():
        nonlocal state
        state = train_steps(state, epoch, 0, STEPS, config=config)
        return state.step

    seconds_of(products), seconds_of(steps)
    matmul, images = [], []

    def take_turns(times):
        for _ in range(times):
            before = PRODUCTS * 2 * MATRIX**3 / seconds_of(products)
            images.append(STEPS * config.batch / seconds_of(steps))
            after = PRODUCTS * 2 * MATRIX**3 / seconds_of(products)
            matmul.append((before + after) / 2)

    take_turns(rounds // 2)
    watch = Stopwatch()
    train(config, watch)
    take_turns(rounds - rounds // 2)

    per_image = useful_flops(config)
    epochs = [later - earlier for earlier, later in zip(watch.times, watch.times[1:], strict=False)]
    canvases = config.train_size - config.held_out

    digits, rng = load_mnist(), generator(0, "canvases")
    generation = [
        20_000 / seconds_of(lambda: cluttered(digits.train_images, digits.train_labels, 20_000, rng)) for _ in range(3)
    ]
    return {
        "images_per_second": statistics.median(images),
        "epoch_images_per_second": canvases / statistics.median(epochs),
        "useful_gflops": statistics.median(images) * per_image / 1e9,
        "matmul_gflops": statistics.median(matmul) / 1e9,
        "fraction_of_matmul": statistics.median(
            rate * per_image / limit for rate, limit in zip(images, matmul, strict=True)
        ),
        "epoch_fraction_of_step": canvases / statistics.median(epochs) / statistics.median(images),
        "canvases_per_second": statistics.median(generation),
        "useful_mflop_per_image": per_image / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--batch", type=int, help="the preset's by default")
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    use_cores()
    batch = {} if arguments.batch is None else {"batch": arguments.batch}
    figures = measure(preset(arguments.preset, epochs=3, **batch), arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:28s} {value:12,.3f}")


if __name__ == "__main__":
    main()
