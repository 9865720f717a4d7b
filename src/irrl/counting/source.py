"""The scenes that a robot meets: in training, in validation, in tests."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from jaxtyping import Array, Int

from irrl import keys
from irrl.counting.config import Config
from irrl.counting.model import Tables, tables_of
from irrl.counting.scene import Scenes, draw_scenes
from irrl.counting.scene_config import KINDS, SceneConfig
from irrl.devices import mesh, on_every

TEST_SEED = 0
"""Robots of other seeds are tested on the same scenes."""


class Round(NamedTuple):
    """A round's scenes, and the order in which they come."""

    tables: Tables
    order: Int[Array, "steps batch"]


class Source:
    """Training scenes round by round, and the held-out ones; everything drawn from `config.seed`."""

    def __init__(self, config: Config):
        self.config = config
        self.steps_per_round = config.round // config.batch
        # Its own scenes, not its own stream only: no round is number 0.
        self.validation = draw_scenes(config, config.validation_size, keys.generator(config.seed, "scenes", 0))
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="scenes")
        self._prepared: tuple[int, Future[Scenes]] | None = None

    def scenes_of_round(self, number: int) -> Round:
        """Round `number`, from 1; the next one's scenes are prepared meanwhile."""
        ready = self._prepared and self._prepared[0] == number
        scenes = self._prepared[1].result() if self._prepared and ready else self._draw(number)
        if number * self.steps_per_round < self.config.train_steps:
            self._prepared = number + 1, self._worker.submit(self._draw, number + 1)
        order = keys.generator(self.config.seed, "order", number).permutation(len(scenes)).astype("i4")
        everything = tables_of(self.config, scenes), order.reshape(self.steps_per_round, -1)
        return Round(*on_every(mesh(self.config.batch), everything))

    def _draw(self, number: int) -> Scenes:
        """Drawn scenes, their mirror images, and both in the other colours where these are asked for too."""
        config = self.config
        colours = {KINDS[KINDS.index(name) ^ 1] for name in config.goal_names} == set(config.goal_names)
        rng = keys.generator(config.seed, "scenes", number)
        scenes = draw_scenes(config, config.round // (4 if colours else 2), rng)
        scenes = Scenes.concatenate([scenes, scenes.mirrored()])
        return Scenes.concatenate([scenes, scenes.recoloured()]) if colours else scenes


def scenes_for_testing(config: SceneConfig, number: int, seed: int = TEST_SEED) -> Scenes:
    """Test scenes: the same for every robot."""
    return draw_scenes(config, number, keys.generator(seed, "test canvases"))
