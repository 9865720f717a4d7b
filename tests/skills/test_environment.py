"""The Gymnasium environment."""

import copy
import pickle
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from irrl.errors import UserError
from irrl.skills.environment import FourRoomsEnv
from irrl.skills.four_rooms import SMALL

NAME = "irrl.environments:irrl/FourRooms-v0"


def test_gymnasium_finds_it_and_has_nothing_to_complain_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
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


def test_what_is_no_action_changes_nothing():
    env = gymnasium.make(NAME, rooms="small").unwrapped
    env.reset()
    for action in (-1, -5, 5, 4.0, True, [4]):
        with pytest.raises(UserError, match=r"^action is .*; give 0 \(stay\), .* or 4 \(right\)$"):
            env.step(action)
    assert env.step(np.int32(4))[0] == 1


def test_no_step_outside_an_episode():
    env = gymnasium.make(NAME, steps=1).unwrapped
    for _ in range(2):
        with pytest.raises(ResetNeeded, match="call reset first"):
            env.step(0)
        env.reset()
        assert env.step(0)[3]
    with pytest.raises(ResetNeeded):
        env.step(0)


@pytest.mark.parametrize(("mode", "kwargs"), [("sync", {}), ("async", {"context": "spawn"})])
def test_many_as_gymnasium_makes_them(mode, kwargs):
    settings = {"vectorization_mode": mode, "vector_kwargs": kwargs, "rooms": "small", "steps": 2}
    envs = gymnasium.make_vec(NAME, num_envs=2, **settings)
    assert envs.reset(seed=[1, 2])[0].tolist() == [0, 0]
    assert envs.step(np.array([4, 0]))[0].tolist() == [1, 0]
    after, _, _, truncated, _ = envs.step(np.array([2, 0]))
    assert after.tolist() == [5, 0] and truncated.all()
    assert envs.step(np.array([2, 2]))[0].tolist() == [0, 0]  # the next episode
    envs.close()


def test_copies_and_spec_go_on_alike():
    env = gymnasium.make(NAME, rooms="small", steps=3)
    env.reset()
    env.step(4)
    others = copy.deepcopy(env), pickle.loads(pickle.dumps(env))
    assert [each.step(2)[0] for each in (env, *others)] == [5, 5, 5]
    made = gymnasium.make(env.spec).unwrapped
    assert made.steps == 3 and len(made.rooms.cells) == 24


ODD = """
from irrl.skills.environment import FourRoomsEnv
for steps in (0, -1, 2.5, True, "3", None):
    try:
        FourRoomsEnv(steps=steps)
    except ValueError as error:
        print(error)
"""


def test_steps_are_a_number_of_steps():
    # Elsewhere, for here all types are checked already.
    said = subprocess.run([sys.executable, "-c", ODD], capture_output=True, text=True, timeout=60, check=True).stdout
    assert [line.split(";")[0] for line in said.splitlines()] == [
        "`steps` is 0", "`steps` is -1", "`steps` is 2.5", "`steps` is True", "`steps` is '3'", "`steps` is None"
    ]  # fmt: skip


def test_bad_arguments(tmp_path):
    with pytest.raises(UserError, match="neither small, large"):
        gymnasium.make(NAME, rooms=str(tmp_path / "nowhere.txt"))
    with pytest.raises(UserError, match="unknown `render_mode` 'svg'; choose one of ansi, rgb_array"):
        FourRoomsEnv(render_mode="svg")
