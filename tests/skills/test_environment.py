"""The Gymnasium environment."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from irrl.errors import UserError
from irrl.skills.four_rooms import SMALL

NAME = "irrl.environments:irrl/FourRooms-v0"


def test_gymnasium_finds_it_and_has_nothing_to_complain_of():
    check_env(gymnasium.make(NAME, render_mode="rgb_array").unwrapped)
    check_env(gymnasium.make(NAME, rooms="small", render_mode="ansi").unwrapped)


def test_a_walk():
    env = gymnasium.make(NAME, rooms="small", steps=4, render_mode="ansi")
    assert env.reset(seed=1) == (0, {})
    assert env.render() == SMALL.strip().replace("#  #  #", "#o #  #", 1) + "\n"
    # Right twice (the second time into a wall), down, stay.
    walked = [env.step(action) for action in (4, 4, 2, 0)]
    assert [step[0] for step in walked] == [1, 1, 5, 5]
    assert [step[2:4] for step in walked] == [(False, False)] * 3 + [(False, True)]
    assert env.render().splitlines()[2] == "# o   #"


def test_the_picture():
    env = gymnasium.make(NAME, render_mode="rgb_array")
    env.reset()
    env.step(4)
    picture = env.render()
    assert picture.shape == (13 * 16, 13 * 16, 3)
    cells = picture[8::16, 8::16]
    assert cells[1, 2].tolist() == [0, 90, 220]
    assert cells[1, 1].tolist() == [255, 205, 205]
    assert (cells == 64).all(axis=-1).sum() == 169 - 104
    assert np.array_equal(picture[16, 16], cells[1, 1])


def test_bad_arguments(tmp_path):
    with pytest.raises(UserError, match="neither small, large"):
        gymnasium.make(NAME, rooms=str(tmp_path / "nowhere.txt"))
