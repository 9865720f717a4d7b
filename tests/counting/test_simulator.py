"""The robot in MuJoCo: it arrives where it should, and its pictures are those that the agent is trained on."""

import numpy as np
import pytest

from irrl.counting import render
from irrl.counting.scene import draw_scenes
from irrl.counting.scene_config import SceneConfig
from irrl.counting.simulator import Simulator
from irrl.errors import UserError

CONFIG = SceneConfig()


def test_the_robot_drives_to_the_next_place():
    simulator = Simulator(CONFIG, draw_scenes(CONFIG, 1, np.random.default_rng(0)))
    step = 2 * np.pi / CONFIG.viewpoints
    simulator.place(2)
    on_the_way = [float(simulator.data.qpos[0]) for _ in simulator.drive(-1, frames=8)]
    assert (np.diff([2 * step, *on_the_way]) < 1e-3).all()
    assert on_the_way[3] == pytest.approx(1.5 * step, abs=0.3 * step)
    assert on_the_way[-1] == pytest.approx(step, abs=np.deg2rad(2))
    camera = simulator.data.camera("eye").xpos
    assert np.hypot(*camera[:2]) == pytest.approx(CONFIG.camera_distance)
    assert camera[2] == pytest.approx(CONFIG.camera_height)


def test_pictures_are_as_the_ray_caster_draws_them():
    scenes = draw_scenes(CONFIG, 1, np.random.default_rng(1))
    simulator = Simulator(CONFIG, scenes)
    try:
        with simulator.eyes("eye", CONFIG.height, CONFIG.width) as picture:
            simulator.place(4)
            from_mujoco = picture().astype(int)
    except UserError as error:
        pytest.skip(str(error))
    azimuth = np.array([8 * np.pi / CONFIG.viewpoints], np.float32)
    ours = np.asarray(render.render(CONFIG, scenes.view(azimuth)).rgb[0]).astype(int)
    assert np.median(np.abs(ours - from_mujoco)) <= 2
    assert (np.abs(ours - from_mujoco).max(axis=-1) > 24).mean() < 0.01


def test_what_is_not_there_is_refused():
    scenes = draw_scenes(CONFIG, 2, np.random.default_rng(0))
    for index in (-1, 2):
        with pytest.raises(UserError, match=f"`index` is {index}; it must be from 0 to 1"):
            Simulator(CONFIG, scenes, index)
    simulator = Simulator(CONFIG, scenes, 1)
    with pytest.raises(UserError, match="`frames` is 0; it must be from 1"):
        next(simulator.drive(1, frames=0))
    for camera, height, width, message in (
        ("foot", 48, 64, "unknown `camera` 'foot'; choose one of eye, room"),
        ("eye", 0, 64, "`height` is 0; it must be from 1 to 1024"),
        ("room", 48, 9999, "`width` is 9999; it must be from 1 to 1280"),
    ):
        with pytest.raises(UserError, match=message), simulator.eyes(camera, height, width):
            pass
