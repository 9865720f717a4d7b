"""How fast is the skills kernel, and where does its time go?

    python bench/skills.py --json

Large rooms, 128 skills, batch 32, fresh tables. Prints `microseconds_per_iteration` on one core,
`runs_in_parallel_speedup` (the throughput of two runs on two cores over that of one), what shares of an iteration
rollout, softmax, rewards and updates take, measured alone, and what an iteration with DISDAIN takes.
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor

from numba import njit

from irrl.machine import cores
from irrl.skills import kernel
from irrl.skills.compiled_reward import compile_reward
from irrl.skills.config import Config
from irrl.skills.four_rooms import rooms_of
from irrl.skills.training import initial_tables, kernel_settings

# Numba would keep code compiled from an older kernel, for it looks for changes in this file only.
not_cached = njit(nogil=True, fastmath=kernel.FASTMATH, error_model="numpy")


class Bench:
    """One run, ready to go."""

    def __init__(self, config: Config):
        self.rooms = rooms_of(config.rooms)
        self.reward = compile_reward(config.reward, config.skills)
        self.tables, self.settings = initial_tables(config, self.rooms), kernel_settings(config, self.reward)
        self.batch = kernel.empty_batch(self.tables, self.settings)

    def train(self, iterations: int) -> float:
        """Seconds that so many iterations take."""
        began = time.perf_counter()
        kernel.train(self.tables, self.settings, self.rooms.dynamics, self.reward.pay, self.batch, iterations)
        return time.perf_counter() - began


def repeated(part):
    """A compiled function that calls `part` again and again."""

    @not_cached
    def repeat(arguments, times):
        for _ in range(times):
            part(*arguments)

    return repeat


@not_cached
def update(tables, settings, batch):
    kernel.learn_q(tables.q, settings, batch, 0)
    kernel.learn_discriminator(tables, settings, batch)


def measure(iterations: int, rounds: int) -> dict:
    run, other, disdain = Bench(Config()), Bench(Config(seed=2)), Bench(Config(disdain=20.0, ensemble=2))
    parts = {
        "rollout": (repeated(kernel.roll_out), (run.tables, run.settings, run.rooms.dynamics, run.batch)),
        "softmax": (repeated(kernel.discriminate), (run.tables, run.settings, run.batch)),
        "rewards": (repeated(kernel.pay), (run.tables, run.settings, run.batch, run.reward.pay)),
        "updates": (repeated(update), (run.tables, run.settings, run.batch)),
    }
    for each in (run, other, disdain):
        each.train(1)
    for part, arguments in parts.values():
        part(arguments, 1)
    best = dict.fromkeys(("one", "two", "disdain", *parts), float("inf"))

    def keep(name: str, seconds: float) -> None:
        best[name] = min(best[name], seconds)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(rounds):  # in turns, for the machine's speed drifts
            keep("one", run.train(iterations))
            began = time.perf_counter()
            list(pool.map(lambda each: each.train(iterations), (run, other)))
            keep("two", time.perf_counter() - began)
            keep("disdain", disdain.train(iterations))
            # The parts last: updates alone, again and again with the same batch, ruin the tables.
            saved = [table.copy() for table in run.tables]
            for name, (part, arguments) in parts.items():
                began = time.perf_counter()
                part(arguments, iterations)
                keep(name, time.perf_counter() - began)
            for table, old in zip(run.tables, saved, strict=True):
                table[:] = old
    return {
        "microseconds_per_iteration": 1e6 * best["one"] / iterations,
        "runs_in_parallel_speedup": 2 * best["one"] / best["two"],
        "share": {name: best[name] / best["one"] for name in parts},
        "microseconds_per_iteration_disdain": 1e6 * best["disdain"] / iterations,
        "cores": cores(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--iterations", type=int, default=20_000, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="the best of so many measurements counts")
    arguments = parser.parse_args()
    found = measure(arguments.iterations, arguments.rounds)
    print(json.dumps(found) if arguments.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
