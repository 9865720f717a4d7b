"""The rooms as a Gymnasium environment: `gymnasium.make("irrl.environments:irrl/FourRooms-v0")`."""

from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Discrete
from jaxtyping import UInt8

from irrl.actions import check_actions
from irrl.settings import check_type, check_whole
from irrl.skills.four_rooms import ACTIONS, read_rooms, rooms_of

CELL = 16
"""Pixels of a cell's side."""

WALL, FREE, START, AGENT = (64, 64, 64), (255, 255, 255), (255, 205, 205), (0, 90, 220)


class FourRoomsEnv(gymnasium.Env):
    """A walk through rooms (Li et al. 2023), in which skills are to be discovered.

    **Action space**: `Discrete(5)`: 0 stay, 1 up, 2 down, 3 left, 4 right. Walking into a wall is staying.

    **Observation space**: `Discrete(states)`: the number of the free cell, counted in row-major order.

    **Starting state**: 0, the first free cell.

    **Reward**: 0 at every step. What an episode is worth, an internal reward says.

    **Episode end**: never terminated; truncated after `steps` steps.

    **Info**: empty.

    **Arguments**: `rooms`, `steps` and `render_mode`, as `gymnasium.make(ID, rooms="small")`. Nothing is random.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "render_modes": ["ansi", "rgb_array"],
        "render_fps": 6,
    }

    def __init__(self, rooms: str = "large", steps: int = 20, render_mode: str | None = None):
        """Take a map.

        Args:
            rooms: small, large, or the path of a text file with walls (#) and free cells (spaces).
            steps: of an episode.
            render_mode: `ansi`, text; `rgb_array`, a picture; or None: nothing is rendered.

        Raises:
            UserError: there is no such map, or it is bad; or no episode has so many steps.
        """
        check_whole("steps", steps, 1)
        if render_mode is not None:
            check_type("render_mode", render_mode, Literal["ansi", "rgb_array"])
        self.rooms = rooms_of(read_rooms(rooms))
        self.steps = steps
        self.render_mode = render_mode
        self.observation_space = Discrete(len(self.rooms.cells))
        self.action_space = Discrete(len(ACTIONS))
        self._state, self._left = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._state, self._left = 0, self.steps
        return self._state, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Walk.

        Raises:
            UserError: there is no such action.
            ResetNeeded: before the first reset, and after an episode's end.
        """
        number = check_actions(action, list(ACTIONS))
        if not self._left:
            raise ResetNeeded("no episode has begun, or it has ended; call reset first")
        self._state = int(self.rooms.dynamics[self._state, number])
        self._left -= 1
        return self._state, 0.0, False, not self._left, {}

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
