"""The rooms as a Gymnasium environment: `gymnasium.make("irrl.environments:irrl/FourRooms-v0")`."""

from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import UInt8

from irrl.skills.four_rooms import ACTIONS, read_rooms, rooms_of

CELL = 16
"""Pixels of a cell's side."""

WALL, FREE, START, AGENT = (64, 64, 64), (255, 255, 255), (255, 205, 205), (0, 90, 220)


class FourRoomsEnv(gymnasium.Env):
    """A walk through rooms, without a reward: what it is worth, an internal reward says.

    Observation: the number of the free cell, counted in row-major order. Actions: stay, up, down, left, right; walking
    into a wall is staying. An episode starts in cell 0 and is truncated after `steps` steps; it never terminates.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "render_modes": ["ansi", "rgb_array"],
        "render_fps": 6,
    }

    def __init__(self, rooms: str = "large", steps: int = 20, render_mode: Literal["ansi", "rgb_array"] | None = None):
        """`rooms`: small, large, or the path of a text file with walls (#) and free cells (spaces).

        Raises:
            UserError: there is no such map, or it is bad.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is {render_mode!r}; choose ansi or rgb_array")
        self.rooms = rooms_of(read_rooms(rooms))
        self.steps = steps
        self.render_mode = render_mode
        self.observation_space = Discrete(len(self.rooms.cells))
        self.action_space = Discrete(len(ACTIONS))
        self._state, self._step = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._state, self._step = 0, 0
        return self._state, {}

    def step(self, action: int | np.integer) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self._state = int(self.rooms.dynamics[self._state, action])
        self._step += 1
        return self._state, 0.0, False, self._step >= self.steps, {}

    def render(self) -> Any:
        """The map as text with the agent as `o`, or as a picture."""
        if self.render_mode == "ansi":
            return self._text()
        return self._picture() if self.render_mode == "rgb_array" else None

    def _text(self) -> str:
        row, column = self.rooms.cells[self._state]
        rows = [list(cells) for cells in self.rooms.rows]
        rows[row][column] = "o"
        return "\n".join("".join(cells) for cells in rows) + "\n"

    def _picture(self) -> UInt8[np.ndarray, "height width 3"]:
        kinds = np.ones(len(self.rooms.cells), int)
        kinds[0], kinds[self._state] = 2, 3
        cells = np.array([WALL, FREE, START, AGENT], np.uint8)[self.rooms.picture(kinds, wall=0)]
        return cells.repeat(CELL, axis=0).repeat(CELL, axis=1)
