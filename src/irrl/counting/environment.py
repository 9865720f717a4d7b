"""Object counting as a Gymnasium environment: `gymnasium.make("irrl.environments:irrl/ObjectCounting-v0")`."""

from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Int, UInt8

from irrl.counting import render
from irrl.counting.scene import Scenes, draw_scenes
from irrl.counting.scene_config import KINDS, SceneConfig
from irrl.counting.simulator import Simulator

LEFT, RIGHT, STOP = range(3)
"""Actions."""

SCENES_AT_ONCE = 64
"""Drawn together, for drawing one takes hardly less time."""

ROOM_SIZE = 480, 640
"""Of the third person's picture: height, width, pixels."""

Observation = dict[str, Any]
"""`image`, what the robot sees, and `goal`, the kind of cube to be counted."""


class ObjectCountingVectorEnv(VectorEnv):
    """Many tables, and a robot at each. Actions, observations and ends are those of `ObjectCountingEnv`.

    An environment whose episode ended starts the next one at its next step, whatever its action.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "render_modes": ["rgb_array"],
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(self, num_envs: int = 1, render_mode: Literal["rgb_array"] | None = None, **settings: Any):
        """`settings`: fields of `SceneConfig` other than its defaults.

        Raises:
            UserError: there are no such scenes.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is {render_mode!r}; choose rgb_array")
        self.config = SceneConfig(**settings)
        self.config.check_scene()
        self.num_envs, self.render_mode = num_envs, render_mode
        shape = self.config.height, self.config.width, 3
        self.single_observation_space = Dict({"image": Box(0, 255, shape, np.uint8), "goal": Discrete(len(KINDS))})
        self.single_action_space = Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = MultiDiscrete([3] * num_envs)
        self.viewpoint = np.zeros(num_envs, int)
        self._moves, self._over = np.zeros(num_envs, int), np.zeros(num_envs, bool)
        self.scenes: Any = None
        self._unused: list[Scenes] = []

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        if isinstance(seed, list):
            raise ValueError("seed is a list; the tables are drawn from one stream: give one number")
        super().reset(seed=seed)
        if seed is not None:
            self._unused = []
        self.scenes = self._next_scenes(self.num_envs)
        self.viewpoint[:], self._moves[:], self._over[:] = 0, 0, False
        return self._observation(), self._information()

    def step(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, actions: Int[np.ndarray, "envs"]
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self.scenes is None:
            raise ResetNeeded("call reset before step")
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or not np.isin(actions, (LEFT, RIGHT, STOP)).all():
            raise ValueError(f"actions are {actions}; give 0 (left), 1 (right) or 2 (stop) for each of {self.num_envs}")
        if renewed := int(self._over.sum()):
            self.scenes = self.scenes.put(self._over, self._next_scenes(renewed))
            self.viewpoint[self._over], self._moves[self._over] = 0, 0
        going = ~self._over
        moves = going & (actions != STOP) & (self._moves < self.config.moves)
        self.viewpoint += moves * np.where(actions == RIGHT, 1, -1)
        self._moves += moves
        terminated = going & (actions == STOP)
        truncated = going & ~terminated & (self._moves >= self.config.moves)
        self._over = terminated | truncated
        return self._observation(), np.zeros(self.num_envs), terminated, truncated, self._information()

    def render(self) -> tuple[UInt8[np.ndarray, "height width 3"], ...] | None:  # pyright: ignore
        """What each robot sees."""
        return tuple(self._observation()["image"]) if self.render_mode else None

    def _observation(self) -> Observation:
        azimuth = (2 * np.pi / self.config.viewpoints * self.viewpoint).astype(np.float32)
        return {
            "image": np.asarray(render.render(self.config, self.scenes.view(azimuth)).rgb),
            "goal": self.scenes.goal.copy(),
        }

    def _information(self) -> dict[str, Any]:
        return {"count": self.scenes.count, "level": self.scenes.level.copy(), "moves": self._moves.copy()}

    def _next_scenes(self, number: int) -> Scenes:
        while sum(map(len, self._unused)) < number:
            self._unused.append(draw_scenes(self.config, max(number, SCENES_AT_ONCE), self.np_random))
        scenes = Scenes.concatenate(self._unused)
        self._unused = [scenes.take(slice(number, None))]
        return scenes.take(slice(number))


class ObjectCountingEnv(gymnasium.Env):
    """A robot walks round a table until it knows how many cubes of a kind are on it (Li et al. 2023, section 5.3).

    Observation: `image`, what the robot sees, and `goal`, the kind to be counted (index into KINDS). Actions: a step to
    the left, a step to the right, stop. An episode terminates when the robot stops, and is truncated after `moves`
    steps. There is no reward: what it is worth, an internal reward says; the right answer is `info["count"]`.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "render_modes": ["rgb_array"],
        "render_fps": 2,
    }

    def __init__(
        self,
        render_mode: Literal["rgb_array"] | None = None,
        camera: str = "eye",
        **settings: Any,
    ):
        """Take a table.

        Args:
            camera: what `render` shows: `eye`, what the robot sees, or `room`, the robot at its table, by MuJoCo.
            settings: fields of `SceneConfig` other than its defaults.

        Raises:
            UserError: there are no such scenes.
        """
        if camera not in ("eye", "room"):
            raise ValueError(f"camera is {camera!r}; choose eye or room")
        self._one = ObjectCountingVectorEnv(1, render_mode, **settings)
        self.render_mode, self.camera = render_mode, camera
        self.observation_space = self._one.single_observation_space
        self.action_space = self._one.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        observation, information = self._one.reset(seed=seed)
        return _first(observation), _first(information)

    def step(self, action: int | np.integer) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        observation, _, terminated, truncated, information = self._one.step(np.array([action]))
        return _first(observation), 0.0, bool(terminated[0]), bool(truncated[0]), _first(information)

    def render(self) -> Any:
        """What the camera shows."""
        if self.render_mode is None:
            return None
        if self.camera == "eye":
            return self._one.render()[0]  # pyright: ignore[reportOptionalSubscript]
        simulator = Simulator(self._one.config, self._one.scenes, smooth=True)
        simulator.place(int(self._one.viewpoint[0]))
        with simulator.eyes("room", *ROOM_SIZE) as picture:
            return picture()


def _first(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: array[0] for name, array in batch.items()}
