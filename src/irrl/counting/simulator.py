"""The same scenes in MuJoCo: the reference for the ray caster, and what draws films.

A robot on wheels stands on a circle round the table; a motor drives it along, and its head carries the camera. Ids come
from MuJoCo's own ray casts, which need no graphics; pictures from its OpenGL renderer, offscreen.
"""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from irrl.counting import render
from irrl.counting.jitter import SURFACES
from irrl.counting.scene import Scenes
from irrl.counting.scene_config import COLOURS, EDGE_OF_KIND, KINDS, LEG_RADIUS, ROOM, TABLE_HEIGHT, SceneConfig
from irrl.errors import UserError
from irrl.extras import import_extra
from irrl.settings import check_type, check_whole

DRIVE_SECONDS = 0.8
"""Of a step round the table."""

MOST_STEPS = 1_000_000
"""From where the robot starts."""

ROBOT = 2
"""The group of the robot's own geoms, which its eye does not see."""


class Simulator:
    """One scene in MuJoCo."""

    def __init__(self, config: SceneConfig, scenes: Scenes, index: int = 0, *, smooth: bool = False):
        """Build the scene of that index.

        Args:
            smooth: pictures have smooth edges; the agent is trained on jagged ones.

        Raises:
            UserError: there is no such scene, or MuJoCo is not installed.
        """
        check_whole("index", index, 0, len(scenes) - 1)
        self.config = config
        # MuJoCo looks for it when it is imported, and would want a window. Without either it still casts rays.
        if sys.platform == "linux":
            found = (name.lower() for name in ("EGL", "OSMesa") if find_library(name))
            os.environ.setdefault("MUJOCO_GL", next(found, "disable"))
        try:
            self.mujoco = import_extra("mujoco", "counting")
        except (AttributeError, RuntimeError) as error:  # of OpenGL that is not there, or not known
            raise _nothing_to_draw_with(error) from error
        self.model = self.mujoco.MjModel.from_xml_string(mjcf(config, scenes, index, smooth))
        self.data = self.mujoco.MjData(self.model)
        self.target = 0.0
        self.place(0)

    def place(self, viewpoint: int) -> None:
        """Put the robot so many steps to the right of where it starts.

        Raises:
            UserError: that is no number of steps.
        """
        check_whole("viewpoint", viewpoint, -MOST_STEPS, MOST_STEPS)
        self.target = 2 * math.pi * viewpoint / self.config.viewpoints
        self.data.qpos[0], self.data.qvel[0], self.data.ctrl[0] = self.target, 0, self.target
        self.mujoco.mj_forward(self.model, self.data)

    def drive(self, steps: int, frames: int) -> Iterator[None]:
        """Drive the robot so many steps to the right (left if negative), and stop so many times on the way.

        Raises:
            UserError: that is no number of steps, or of stops.
        """
        check_whole("steps", steps, -MOST_STEPS, MOST_STEPS)
        check_whole("frames", frames, 1)
        start = self.target
        self.target += 2 * math.pi * steps / self.config.viewpoints
        for frame in range(1, frames + 1):
            part = frame / frames
            # The set point starts and stops softly, for the motor is a spring.
            self.data.ctrl[0] = start + (self.target - start) * (3 - 2 * part) * part**2
            until = self.data.time + DRIVE_SECONDS / frames
            while self.data.time < until:
                self.mujoco.mj_step(self.model, self.data)
            yield

    def ids(self) -> UInt8[np.ndarray, "height width"]:
        """What each pixel of the robot's image shows, by MuJoCo's ray casts: ids as the ray caster's."""
        across, up = render.pixel_grid(self.config)
        camera = self.data.camera("eye")
        right, upward, backward = camera.xmat.reshape(3, 3).T
        rays = across[:, None] * right + up[:, None] * upward - backward
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        geom = np.full(len(rays), -1, np.int32)
        seen = np.ones(6, np.uint8)
        seen[ROBOT] = 0
        self.mujoco.mj_multiRay(
            self.model, self.data, camera.xpos, rays.ravel(), seen, True, -1, geom, np.zeros(len(rays)), None,
            len(rays), 1e3,
        )  # fmt: skip
        return self.model.geom_user[geom, 0].astype(np.uint8).reshape(self.config.height, self.config.width)

    @contextmanager
    def eyes(self, camera: str, height: int, width: int) -> Iterator[Any]:
        """A function that takes a picture: `eye` is what the robot sees, `room` the third person's view.

        Raises:
            UserError: there is no such camera, it takes no pictures of that size, or this machine has nothing to draw
                with.
        """
        check_type("camera", camera, Literal["eye", "room"])
        largest = self.model.vis.global_
        check_whole("height", height, 1, largest.offheight)
        check_whole("width", width, 1, largest.offwidth)
        try:
            renderer = self.mujoco.Renderer(self.model, height, width)
        except Exception as error:  # whatever the graphics library raises
            raise _nothing_to_draw_with(error) from error
        options = self.mujoco.MjvOption()
        options.geomgroup[ROBOT] = camera != "eye"

        def picture() -> UInt8[np.ndarray, "height width 3"]:
            renderer.update_scene(self.data, camera, options)
            renderer.scene.flags[self.mujoco.mjtRndFlag.mjRND_SHADOW] = False
            return renderer.render().copy()

        try:
            yield picture
        finally:
            renderer.close()


def _nothing_to_draw_with(error: Exception) -> UserError:
    tried, said = os.environ.get("MUJOCO_GL", ""), next(iter(str(error).splitlines()), type(error).__name__)
    return UserError(
        f"MuJoCo cannot draw here with MUJOCO_GL={tried} ({said}); install EGL or OSMesa, and set "
        "MUJOCO_GL to egl or osmesa (on Debian: apt-get install libegl1 libgl1-mesa-dri, or libosmesa6)"
    )


def mjcf(config: SceneConfig, scenes: Scenes, index: int, smooth: bool) -> str:
    """A scene as MuJoCo's XML. The number in a geom's user data is its object id."""
    thick, room, radius, leg = render.TABLE_THICKNESS, ROOM, config.table_radius, LEG_RADIUS
    colours = {name: " ".join(f"{level / 255:.4f}" for level in colour) for name, colour in SURFACES.items()}
    colours["white"] = "1 1 1"  # a texture's colours are multiplied by it

    def geom(shape: str, size: str, at: str, colour: str, object_id: int, more: str = "") -> str:
        return f'<geom type="{shape}" size="{size}" pos="{at}" rgba="{colours[colour]} 1" user="{object_id}" {more}/>'

    def column(radius: float, bottom: float, top: float, colour: str) -> str:
        return geom("cylinder", f"{radius} {(top - bottom) / 2}", f"0 0 {(top + bottom) / 2}", colour, render.TABLE)

    geoms = [
        geom("plane", f"{room} {room} 0.1", "0 0 0", "white", render.FLOOR, 'material="tiles"'),
        *(geom("box", f"0.1 {room} {room}", f"{x} 0 {room}", "wall", render.WALL) for x in (-room - 0.1, room + 0.1)),
        *(geom("box", f"{room} 0.1 {room}", f"0 {y} {room}", "wall", render.WALL) for y in (-room - 0.1, room + 0.1)),
        column(leg, 0.0, TABLE_HEIGHT - thick, "rim"),
        column(radius, TABLE_HEIGHT - thick, TABLE_HEIGHT - 0.001, "rim"),
        column(radius, TABLE_HEIGHT - 0.001, TABLE_HEIGHT, "top"),
    ]
    for cube, kind in enumerate(scenes.kind[index]):
        if kind >= 0:
            half, (x, y), yaw = EDGE_OF_KIND[kind] / 2, scenes.place[index, cube], scenes.yaw[index, cube]
            colour, more = COLOURS[kind % len(COLOURS)], f'euler="0 0 {yaw:.6f}" name="{KINDS[kind]}_{cube}"'
            at = f"{x:.6f} {y:.6f} {TABLE_HEIGHT + half}"
            geoms.append(geom("box", f"{half} {half} {half}", at, colour, render.FIRST_CUBE + cube, more))
    pitch = math.radians(config.camera_pitch)
    field = math.degrees(2 * math.atan(math.tan(math.radians(config.field_of_view) / 2) * config.height / config.width))
    front, head = config.camera_distance, config.camera_height
    ambient, diffuse = f"{render.AMBIENT} " * 3, f"{render.DIFFUSE} " * 3
    return f"""
<mujoco model="counting">
  <compiler angle="radian"/>
  <option timestep="0.005"/>
  <statistic extent="2" center="0 0 0.7"/>
  <size nuser_geom="1"/>
  <visual>
    <global offwidth="{max(1280, config.width)}" offheight="{max(1024, config.height)}"/>
    <headlight ambient="0 0 0" diffuse="0 0 0" specular="0 0 0"/>
    <map znear="0.02" zfar="20"/>
    <quality offsamples="{8 if smooth else 0}" numslices="96"/>
  </visual>
  <default>
    <geom contype="0" conaffinity="0"/>
    <default class="robot"><geom group="{ROBOT}" rgba="0.86 0.87 0.9 1" density="200"/></default>
  </default>
  <asset>
    <texture name="tiles" type="2d" builtin="checker" width="256" height="256" rgb1="{colours["floor"]}"
      rgb2="{colours["tile"]}"/>
    <material name="tiles" texture="tiles" texrepeat="{0.5 / render.TILE} {0.5 / render.TILE}" texuniform="true"/>
  </asset>
  <worldbody>
    <light directional="true" pos="0 0 3" dir="{" ".join(str(-part) for part in render.LIGHT)}" ambient="{ambient}"
      diffuse="{diffuse}" specular="0 0 0"/>
    <camera name="room" pos="2.1 2.1 2.2" xyaxes="-0.7071 0.7071 0 -0.319 -0.319 0.893"/>
    {"".join(geoms)}
    <body name="robot" childclass="robot">
      <joint name="round" type="hinge" axis="0 0 1" damping="20"/>
      <geom type="cylinder" size="0.2 0.1" pos="{front + 0.25} 0 0.12" rgba="0.25 0.27 0.3 1"/>
      <geom type="capsule" size="0.09" fromto="{front + 0.25} 0 0.2 {front + 0.2} 0 {head - 0.2}"/>
      <geom type="capsule" size="0.035" fromto="{front + 0.2} 0.14 {head - 0.25} {front + 0.05} 0.17 {head - 0.28}"/>
      <geom type="capsule" size="0.035" fromto="{front + 0.2} -0.14 {head - 0.25} {front + 0.05} -0.17 {head - 0.28}"/>
      <geom type="ellipsoid" size="0.11 0.1 0.12" pos="{front + 0.14} 0 {head}"/>
      <geom type="sphere" size="0.022" pos="{front + 0.045} 0.04 {head + 0.01}" rgba="0.1 0.1 0.12 1"/>
      <geom type="sphere" size="0.022" pos="{front + 0.045} -0.04 {head + 0.01}" rgba="0.1 0.1 0.12 1"/>
      <camera name="eye" pos="{front} 0 {head}" fovy="{field}" xyaxes="0 1 0 {-math.sin(pitch)} 0 {math.cos(pitch)}"/>
    </body>
  </worldbody>
  <actuator><position joint="round" kp="20000" dampratio="1"/></actuator>
</mujoco>"""
