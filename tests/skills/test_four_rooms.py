"""The maps, and what is refused."""

import json
import os
import re
from collections import deque
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostile.maps import corridor, files, honest, text_of
from irrl import checkpoint
from irrl.cli import main
from irrl.errors import UserError
from irrl.loading import load
from irrl.skills import four_rooms
from irrl.skills.config import Config
from irrl.skills.four_rooms import ACTIONS, ROOMS, parse, read_rooms, rooms_of
from irrl.skills.training import initial_tables
from opened_files import opened_files

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


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_dynamics_and_distance_are_those_of_a_walk_on_the_text(seed):
    text = honest(np.random.default_rng(seed))
    rooms, grid = parse(text, "here"), text.split("\n")
    free = [(row, column) for row, line in enumerate(grid) for column, cell in enumerate(line) if cell == " "]
    assert rooms.cells.tolist() == [list(cell) for cell in free]
    steps, front = {free[0]: 0}, deque([free[0]])
    while front:
        here = front.popleft()
        moves = [(here[0] + down, here[1] + right) for down, right in ACTIONS.values()]
        after = [cell if cell in free else here for cell in moves]
        assert rooms.dynamics[free.index(here)].tolist() == [free.index(cell) for cell in after]
        front.extend(cell for cell in after if steps.setdefault(cell, steps[here] + 1) > steps[here])
    assert rooms.distance.tolist() == [steps[cell] for cell in free]


def test_the_kernel_gets_its_table_as_it_was_compiled_for():
    dynamics = rooms_of("large").dynamics
    assert dynamics.dtype == np.int64 and dynamics.flags.c_contiguous


def test_a_long_corridor_within_the_bounds_is_read():
    rooms = parse(corridor(99_000), "here")
    assert 90_000 < len(rooms.cells) <= four_rooms.MOST_CELLS
    assert sorted(rooms.distance.tolist()) == list(range(len(rooms.cells)))


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
        (text_of(np.pad(np.ones((320, 320), bool), 1)), "102,400 free cells; a map can have 100,000 at most"),
        ("#" * 1_100_001, "1,100,001 characters; a map can have 1,100,000 at most"),
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
    with pytest.raises(UserError, match=r"nowhere\.txt`: neither small, large, nor"):
        read_rooms(str(tmp_path / "nowhere.txt"))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="neither small, large, nor"):
        read_rooms(str(path))


def test_only_ordinary_files_of_a_bounded_size_are_read(tmp_path):
    path = tmp_path / "map.txt"
    path.write_text(TINY)
    os.truncate(path, 20_000 * 20_001)
    with pytest.raises(UserError, match=r"`rooms` .*map\.txt: 400,020,000 bytes; at most 1,100,000 are read"):
        read_rooms(str(path))
    path.unlink()
    os.mkfifo(path)
    for name in (str(path), "/dev/zero"):
        with pytest.raises(UserError, match=f"`rooms` {name}: not an ordinary file"):
            read_rooms(name)


def test_damaged_files_are_read_right_or_refused_in_one_line(tmp_path):
    read, said = 0, []
    for name, path in islice(files(np.random.default_rng(19), tmp_path), 210):
        try:
            rows = read_rooms(str(path)).split("\n")
        except UserError as error:
            said.append((path, str(error)))
            continue
        read += 1
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        assert rows == [line for line in lines if line.strip()], name
    assert all(str(path) in line and "\n" not in line for path, line in said)
    assert read > 30 and len(said) > 100


@pytest.mark.parametrize("content", [TINY, "root:x:0:0"])
def test_a_recorded_map_is_a_text_and_never_the_name_of_a_file(tmp_path, content, capfd):
    """Were it opened, a stranger's run would go through with the first, and tell of the second's content."""
    path, folder = tmp_path / "map.txt", tmp_path / "run"
    path.write_text(content)
    with pytest.raises(UserError, match="`rooms`, row 1: '-' is neither a wall"):
        Config(rooms=str(path))
    config, recorded = Config(rooms=TINY, skills=2), {"task": "skills", "config": {"rooms": str(path), "skills": 2}}
    tables = initial_tables(config, rooms_of(TINY))
    folder.mkdir()
    checkpoint.save(folder / "last.safetensors", tables._asdict(), {"step": 1, "iteration": 1, **recorded})
    (folder / "config.json").write_text(json.dumps(recorded))
    (folder / "metrics.jsonl").write_text('{"step": 1, "iteration": 1, "effective_skills_exact": 1.0}\n')
    picture = ["--out", str(tmp_path / "out.png")]
    with opened_files() as opened:
        for words in (["test"], ["occupancy"], ["compare"], ["figure", *picture], ["noise", *picture]):
            with pytest.raises(SystemExit) as end:
                main(["skills", *words, str(folder)])
            error = capfd.readouterr().err
            assert end.value.code == 2 and "row 1: '-' is neither a wall" in error and error.count("\n") == 1, words
        with pytest.raises(UserError, match="row 1: '-' is neither a wall"):
            load(folder)
    assert str(folder / "config.json") in opened and str(path) not in opened
