"""The grid world: rooms drawn as text, their free cells as states, and where each action leads."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

from irrl.errors import UserError
from irrl.files import read_file
from irrl.settings import MOST_TEXT

MOST_CELLS = 100_000
"""Free cells of a map."""

SMALL = """
#######
#  #  #
#     #
## #  #
#  # ##
#  #  #
#     #
#######
"""

LARGE = """
#############
#     #     #
#     #     #
#           #
#     #     #
#     #     #
## ####     #
#     ### ###
#     #     #
#     #     #
#           #
#     #     #
#############
"""

ROOMS = {"small": SMALL, "large": LARGE}
"""The maps of Li et al. 2023, by name."""

ACTIONS = {"stay": (0, 0), "up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
"""Every action, in the order of its number: by how many rows and columns it moves."""


@dataclass(frozen=True)
class FourRooms:
    """A map: `#` is a wall, a space is free. Walking into a wall is staying.

    States are the free cells in row-major order; every episode starts in state 0, the first of them. `parse` makes it.
    """

    rows: tuple[str, ...]

    @cached_property
    def cells(self) -> Int[np.ndarray, "states 2"]:
        """Row and column of each state."""
        cells = np.frombuffer("".join(self.rows).encode("ascii"), "S1").reshape(len(self.rows), -1)
        return np.argwhere(cells == b" ")

    @cached_property
    def dynamics(self) -> Int[np.ndarray, "states actions"]:
        """The state that follows each action."""
        here = np.arange(len(self.cells))
        number = self.picture(here)
        after = np.stack([number[tuple((self.cells + move).T)] for move in ACTIONS.values()], axis=-1)
        return np.ascontiguousarray(np.where(after < 0, here[:, None], after))

    @cached_property
    def distance(self) -> Int[np.ndarray, " states"]:
        """Steps from state 0; -1 for a state that cannot be reached."""
        after, distance, reached = self.dynamics.tolist(), [0] + [-1] * (len(self.cells) - 1), [0]
        for state in reached:  # it grows meanwhile: breadth first
            for each in after[state]:
                if distance[each] < 0:
                    distance[each] = distance[state] + 1
                    reached.append(each)
        return np.array(distance)

    def picture(self, values: Shaped[np.ndarray, " states"], wall: int = -1) -> Shaped[np.ndarray, "rows columns"]:
        """A number a state, laid out as the map is; walls get `wall`."""
        picture = np.full((len(self.rows), len(self.rows[0])), wall, values.dtype)
        picture[tuple(self.cells.T)] = values
        return picture


def parse(text: str, where: str) -> FourRooms:
    """Read a map; empty lines round it do not count.

    Raises:
        UserError: another character than `#` and space, ragged rows, an open border, no free cell, one that cannot be
            reached, or more than `MOST_CELLS`; the message names `where` and the row, from 1.
    """
    if len(text) > MOST_TEXT:
        raise UserError(f"{where}: {len(text):,} characters; a map can have {MOST_TEXT:,} at most")
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    rows = [line.rstrip("\r") for line in lines[first:]]
    while rows and not rows[-1].strip():
        rows.pop()
    if not rows:
        raise UserError(f"{where}: an empty map: it must have walls (#) round free cells (spaces)")
    for number, row in enumerate(rows, first + 1):
        if odd := set(row) - set("# "):
            raise UserError(f"{where}, row {number}: {min(odd)!r} is neither a wall (#) nor a free cell (space)")
        if len(row) != len(rows[0]):
            raise UserError(
                f"{where}, row {number}: {len(row)} cells wide, but the first row has {len(rows[0])}; make them alike"
            )
        inside = number - first not in (1, len(rows))
        if not (row[0] == row[-1] == "#" and (inside or set(row) == {"#"})):
            trailing = "; a space at its end is a cell, too" if row.endswith(" ") else ""
            raise UserError(
                f"{where}, row {number}: the border is open: the map must have walls (#) all round{trailing}"
            )
    rooms = FourRooms(tuple(rows))
    if not len(rooms.cells):
        raise UserError(f"{where}, rows {first + 1} to {first + len(rows)}: no free cell (space) inside the walls")
    if len(rooms.cells) > MOST_CELLS:
        raise UserError(f"{where}: {len(rooms.cells):,} free cells; a map can have {MOST_CELLS:,} at most")
    if (rooms.distance < 0).any():
        row, column = rooms.cells[np.argmax(rooms.distance < 0)]
        raise UserError(
            f"{where}, row {first + 1 + row}: the free cell in column {column + 1} cannot be reached from the first one"
        )
    return rooms


def read_rooms(name: str) -> str:
    """The name of a known map as it is, or the text of a map file, after a look at it.

    Raises:
        UserError: there is no such map or file, or the map in it is bad.
    """
    if name in ROOMS:
        return name
    try:
        text = read_file(Path(name), MOST_TEXT).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UserError as error:
        raise UserError(f"`rooms` {error}") from error
    except (OSError, ValueError) as error:  # not there, or not text; or a name that no file can have
        raise UserError(f"`rooms={name}`: neither small, large, nor a text file with a map ({error})") from error
    return "\n".join(parse(text, name).rows)


@lru_cache(maxsize=4)
def rooms_of(rooms: str) -> FourRooms:
    """The map that a config names or holds: never a file's name, for the config may be a stranger's."""
    return parse(ROOMS.get(rooms, rooms), "`rooms`")
