"""Object counting as a Gymnasium environment: `gymnasium.make("irrl.environments:irrl/ObjectCounting-v0")`."""

from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool, Float64, UInt8

from irrl.actions import check_actions, shown
from irrl.counting import render
from irrl.counting.scene import Scenes, draw_scenes
from irrl.counting.scene_config import KINDS, SceneConfig
from irrl.counting.simulator import Simulator
from irrl.errors import UserError
from irrl.forks import check_not_forked
from irrl.settings import check_type, check_whole

ACTIONS = "left", "right", "stop"
LEFT, RIGHT, STOP = range(3)
"""Actions."""

SCENES_AT_ONCE = 128
"""Drawn together, some for each environment: one alone takes as long as ten of them."""

ROOM_SIZE = 480, 640
"""Of the third person's picture: height, width, pixels."""

Observation = dict[str, Any]
"""`image`, what the robot sees, and `goal`, the kind of cube to be counted."""

Seed = int | np.integer | Sequence[int | None] | np.ndarray | None
"""Of a vector environment."""


class ObjectCountingVectorEnv(VectorEnv):
    """Many tables, and a robot at each: `ObjectCountingEnv`, of which each is one, computed together.

    Actions, observations, reward and episode end are those of `ObjectCountingEnv`, with a first axis over environments.

    **Autoreset** is `AutoresetMode.NEXT_STEP`: an environment whose episode ended starts the next one at its next step,
    whatever its action.

    **Random streams**: an environment with seed s goes through the episodes of `ObjectCountingEnv` with seed s,
    whatever happens in the others.

    **Info**: as in a single environment, one array a name, and `_NAME`, which environments it holds for: all, or those
    that were reset.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "render_modes": ["rgb_array"],
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(self, num_envs: int = 1, render_mode: str | None = None, **settings: Any):
        """Take tables.

        Args:
            num_envs: how many.
            render_mode: `rgb_array`, or None: nothing is rendered.
            settings: fields of `SceneConfig` other than its defaults.

        Raises:
            UserError: there are no such scenes.
        """
        check_whole("num_envs", num_envs, 1)
        if render_mode is not None:
            check_type("render_mode", render_mode, Literal["rgb_array"])
        self.config = SceneConfig(**settings)
        self.config.check_scene()
        self.num_envs, self.render_mode = num_envs, render_mode
        shape = self.config.height, self.config.width, 3
        self.single_observation_space = Dict({"image": Box(0, 255, shape, np.uint8), "goal": Discrete(len(KINDS))})
        self.single_action_space = Discrete(len(ACTIONS))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.viewpoint = np.zeros(num_envs, int)
        self.over = np.zeros(num_envs, bool)
        self.scenes: Any = None
        self._moves = np.zeros(num_envs, int)
        self._streams = [seeding.np_random() for _ in range(num_envs)]
        self._ahead: list[deque[Scenes]] = [deque() for _ in range(num_envs)]
        self._most_ahead = -(-SCENES_AT_ONCE // num_envs)

    @property
    def np_random(self) -> tuple[np.random.Generator, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The environments' generators."""
        return tuple(generator for generator, _ in self._streams)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The environments' seeds: given, or drawn where none was."""
        return tuple(seed for _, seed in self._streams)

    def reset(self, *, seed: Seed = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """Start episodes.

        Args:
            seed: a number for each environment, or None, with which it goes on in its random stream; an integer means
                seed, seed + 1, ...
            options: `reset_mask`, a Boolean for each environment: the others stay as they are.

        Raises:
            UserError: a bad seed or mask; or JAX was used before this process was forked (`AsyncVectorEnv`).
        """
        check_not_forked()
        seeds, which = self._seeds(seed), self._mask((options or {}).get("reset_mask"))
        for index in np.flatnonzero(which):
            if seeds[index] is not None:
                self._streams[index] = seeding.np_random(seeds[index])
                self._ahead[index].clear()
        # Who gives a seed may do so for every episode: then drawing more scenes would be in vain.
        self._begin(which, ahead=self._most_ahead if seed is None else 1)
        return self._observation(), self._information(which)

    def step(
        self, actions: Any
    ) -> tuple[
        Observation, Float64[np.ndarray, " envs"], Bool[np.ndarray, " envs"], Bool[np.ndarray, " envs"], dict[str, Any]
    ]:
        """Act in every environment.

        Raises:
            UserError: there is no such action.
            ResetNeeded: before the first reset.
        """
        actions = check_actions(actions, ACTIONS, self.num_envs)
        self._check_begun()
        going = ~self.over
        if self.over.any():
            self._begin(self.over.copy(), self._most_ahead)
        moves = going & (actions != STOP) & (self._moves < self.config.moves)
        self.viewpoint += moves * np.where(actions == RIGHT, 1, -1)
        self._moves += moves
        terminated = going & (actions == STOP)
        truncated = going & ~terminated & (self._moves >= self.config.moves)
        self.over = terminated | truncated
        everyone = np.ones(self.num_envs, bool)
        return self._observation(), np.zeros(self.num_envs), terminated, truncated, self._information(everyone)

    def render(self) -> tuple[UInt8[np.ndarray, "height width 3"], ...] | None:  # pyright: ignore
        """What each robot sees.

        Raises:
            ResetNeeded: before the first reset.
        """
        self._check_begun()
        return tuple(self._observation()["image"]) if self.render_mode else None

    def _check_begun(self) -> None:
        if self.scenes is None:
            raise ResetNeeded("no episode has begun; call reset first")

    def _seeds(self, seed: Any) -> list[int | None]:
        """A seed, or None, for each environment."""
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            seed = [int(seed) + index for index in range(self.num_envs)]
        seeds = np.array(seed, object, ndmin=1).tolist()
        good = all(each is None or (isinstance(each, int | np.integer) and each >= 0) for each in seeds)
        if not good or len(seeds) != self.num_envs:
            raise UserError(
                f"seed is {shown(seed)}; give None, an integer from 0, or a list of {self.num_envs} of them"
            )
        return [each if each is None else int(each) for each in seeds]

    def _mask(self, mask: Any) -> Bool[np.ndarray, " envs"]:
        """Which environments to reset; all if `mask` is None."""
        if mask is None:
            return np.ones(self.num_envs, bool)
        if not (isinstance(mask, np.ndarray) and mask.dtype == bool and mask.shape == (self.num_envs,) and mask.any()):
            raise UserError(
                f"reset_mask is {shown(mask)}; give a Boolean NumPy array with an entry for each of {self.num_envs} "
                "environments, at least one of them True"
            )
        if not mask.all():
            self._check_begun()
        return mask

    def _begin(self, which: Bool[np.ndarray, " envs"], ahead: int) -> None:
        """Start the next episode of some environments."""
        scenes = self._next_scenes(which, ahead)
        self.scenes = scenes if which.all() else self.scenes.put(which, scenes)
        self.viewpoint[which], self._moves[which], self.over[which] = 0, 0, False

    def _next_scenes(self, which: Bool[np.ndarray, " envs"], ahead: int) -> Scenes:
        """The next scene of some environments: the n-th of each comes from the n-th child of its generator.

        Where one has none left, everybody gets as many as are to be `ahead`.
        """
        needed = [self._ahead[index] for index in np.flatnonzero(which)]
        if not all(needed):
            lacks = [max(0, ahead - len(drawn)) for drawn in self._ahead]
            children = [child for (rng, _), lack in zip(self._streams, lacks, strict=True) for child in rng.spawn(lack)]
            scenes = draw_scenes(self.config, len(children), children)
            for scene, index in enumerate(np.repeat(np.arange(self.num_envs), lacks)):
                self._ahead[index].append(scenes.take(slice(scene, scene + 1)))
        return Scenes.concatenate([drawn.popleft() for drawn in needed])

    def _observation(self) -> Observation:
        azimuth = (2 * np.pi / self.config.viewpoints * self.viewpoint).astype(np.float32)
        return {
            "image": np.array(render.render(self.config, self.scenes.view(azimuth)).rgb),
            "goal": self.scenes.goal.copy(),
        }

    def _information(self, which: Bool[np.ndarray, " envs"]) -> dict[str, Any]:
        arrays = {"count": self.scenes.count, "level": self.scenes.level.copy(), "moves": self._moves.copy()}
        return arrays | {f"_{name}": which.copy() for name in arrays}


class ObjectCountingEnv(gymnasium.Env):
    """A robot walks round a table until it knows how many cubes of a kind are on it (Li et al. 2023, section 5.3).

    **Action space**: `Discrete(3)`: 0 a step to the left, 1 a step to the right, 2 stop.

    **Observation space**: `Dict`: `image`, `Box(0, 255, (height, width, 3), uint8)`, what the robot sees; `goal`,
    `Discrete(6)`, the kind to be counted (index into `irrl.counting.scene_config.KINDS`).

    **Starting state**: the robot at viewpoint 0, at a table with a scene drawn from the environment's random stream.

    **Reward**: 0 at every step. What an episode is worth, an internal reward says.

    **Episode end**: terminated when the robot stops; truncated after `moves` steps.

    **Info**: `count`, the right answer; `level`, how well the goal's cubes can be seen from the start (index into
    `irrl.counting.scene_config.LEVELS`); `moves`, steps made.

    **Arguments**: `render_mode`, `camera`, and every field of `irrl.counting.scene_config.SceneConfig`, as
    `gymnasium.make(ID, moves=4)`.

    `gymnasium.make_vec(ID, num_envs)` computes many of them together (`ObjectCountingVectorEnv`): faster than
    `AsyncVectorEnv`, which needs `context="spawn"` once JAX has been used, for a forked JAX hangs.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "render_modes": ["rgb_array"],
        "render_fps": 2,
    }

    def __init__(self, render_mode: str | None = None, camera: str = "eye", **settings: Any):
        """Take a table.

        Args:
            render_mode: `rgb_array`, or None: nothing is rendered.
            camera: what `render` shows: `eye`, what the robot sees, or `room`, the robot at its table, by MuJoCo.
            settings: fields of `SceneConfig` other than its defaults.

        Raises:
            UserError: there are no such scenes, or no such camera.
        """
        check_type("camera", camera, Literal["eye", "room"])
        self._one = ObjectCountingVectorEnv(1, render_mode, **settings)
        self.render_mode, self.camera = render_mode, camera
        self.observation_space = self._one.single_observation_space
        self.action_space = self._one.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        unseeded = seed is None and self._np_random is not None
        super().reset(seed=seed)
        # Where no seed was ever given, this draws one, and tells it to who asks for it.
        observation, information = self._one.reset(seed=None if unseeded else [self.np_random_seed])
        return _first(observation), _first(information)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Act.

        Raises:
            UserError: there is no such action.
            ResetNeeded: before the first reset, and after an episode's end.
        """
        number = check_actions(action, ACTIONS)
        if self._one.scenes is None or self._one.over[0]:
            raise ResetNeeded("no episode has begun, or it has ended; call reset first")
        observation, _, terminated, truncated, information = self._one.step(number[None])
        return _first(observation), 0.0, bool(terminated[0]), bool(truncated[0]), _first(information)

    def render(self) -> Any:
        """What the camera shows.

        Raises:
            ResetNeeded: before the first reset.
            UserError: MuJoCo is not installed, or has nothing to draw with (`camera="room"`).
        """
        seen = self._one.render()
        if seen is None or self.camera == "eye":
            return seen and seen[0]
        simulator = Simulator(self._one.config, self._one.scenes, smooth=True)
        simulator.place(int(self._one.viewpoint[0]))
        with simulator.eyes("room", *ROOM_SIZE) as picture:
            return picture()


def _first(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: array[0] for name, array in batch.items() if not name.startswith("_")}
