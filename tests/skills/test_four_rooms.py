"""The maps, and what is refused."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irrl.errors import UserError
from irrl.skills.four_rooms import ACTIONS, ROOMS, parse, read_rooms, rooms_of

TINY = "####\n#  #\n## #\n####"


def test_dynamics_by_hand():
    rooms = parse(TINY, "here")
    assert rooms.cells.tolist() == [[1, 1], [1, 2], [2, 2]]
    # stay, up, down, left, right
    assert rooms.dynamics.tolist() == [[0, 0, 0, 0, 1], [1, 1, 2, 0, 1], [2, 1, 2, 2, 2]]
    assert rooms.distance.tolist() == [0, 1, 2]
    picture = rooms.picture(np.array([7, 8, 9]))
    assert picture.tolist() == [[-1] * 4, [-1, 7, 8, -1], [-1, -1, 9, -1], [-1] * 4]


@pytest.mark.parametrize(("name", "states", "farthest"), [("small", 24, 9), ("large", 104, 20)])
def test_published_maps(name, states, farthest):
    rooms = rooms_of(name)
    assert len(rooms.cells) == states
    assert rooms.cells[0].tolist() == [1, 1]
    assert rooms.distance.max() == farthest


@given(st.sampled_from(sorted(ROOMS)), st.data())
def test_a_step_moves_by_its_action_or_not_at_all(name, data):
    rooms = rooms_of(name)
    state = data.draw(st.integers(0, len(rooms.cells) - 1))
    for action, move in enumerate(ACTIONS.values()):
        after = rooms.cells[rooms.dynamics[state, action]]
        wanted = rooms.cells[state] + move
        free = rooms.rows[wanted[0]][wanted[1]] == " "
        assert after.tolist() == (wanted if free else rooms.cells[state]).tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty map"),
        (" \n\n", "an empty map"),
        ("####\n#  #\n#  ##\n####", "row 3: 5 cells wide, but the first row has 4"),
        ("####\n#  #\n#  \n####", "row 3: 3 cells wide"),
        ("# ##\n#  #\n####", "row 1: the border is open"),
        ("####\n#  #\n## #", "row 3: the border is open"),
        ("####\n   #\n####", "row 2: the border is open"),
        ("####\n#x #\n####", "row 2: 'x' is neither a wall"),
        ("####\n####\n####", "rows 1 to 3: no free cell"),
        ("\n#####\n# # #\n#####", "row 3: the free cell in column 4 cannot be reached"),
    ],
)
def test_bad_maps(text, message):
    with pytest.raises(UserError, match=f"map.txt.*{re.escape(message)}"):
        parse(text, "map.txt")


def test_map_files(tmp_path):
    path = tmp_path / "map.txt"
    path.write_text("\n" + TINY + "\r\n\n")
    assert read_rooms(str(path)) == TINY
    assert rooms_of(read_rooms(str(path))).rows == parse(TINY, "here").rows
    assert read_rooms("large") == "large"
    with pytest.raises(UserError, match=r"nowhere\.txt: neither small, large, nor"):
        read_rooms(str(tmp_path / "nowhere.txt"))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="neither small, large, nor"):
        read_rooms(str(path))
