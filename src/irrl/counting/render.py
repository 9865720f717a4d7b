"""A batched ray caster for the counting task's scenes: colours, object ids and depth, of many views at once.

The camera's frame has the robot at `(camera_distance, 0)`, looking along -x: so rays are the same for all places round
the table. A cube is met by the slab method (Kay and Kajiya 1986): a ray is inside a box where it is between all three
pairs of planes. What a pixel shows is one number, three bytes of colour and one of id, for XLA would compute each of
several results of a pass anew.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, UInt8

from irrl.counting.jitter import SURFACES, Jitter, still
from irrl.counting.scene_config import COLOURS, EDGE_OF_KIND, LEG_RADIUS, ROOM, TABLE_HEIGHT, SceneConfig
from irrl.devices import in_32_bits

WALL, FLOOR, TABLE, FIRST_CUBE = range(4)
"""Object ids; cube i is `FIRST_CUBE + i`."""

TABLE_THICKNESS, TILE = 0.04, 0.5
"""Of the table's top, and the side of the floor's tiles, m."""

AMBIENT, DIFFUSE = 0.42, 0.58
LIGHT = (0.25, 0.15, 0.9565)
"""Where the light comes from, in the room; of length 1."""

BOXES = (10, 14, 20, 28, 40, 56)
"""Sides of the boxes in which cubes are drawn, pixels."""


class Image(NamedTuple):
    """What the camera sees."""

    rgb: UInt8[Array, "views height width 3"]
    ids: UInt8[Array, "views height width"]
    """WALL, FLOOR, TABLE, or FIRST_CUBE + the cube's index"""
    depth: Float[Array, "views height width"]
    """along the camera's axis, m"""


class View(NamedTuple):
    """A scene and where it is seen from."""

    kind: Int[Array, "*views cubes"]
    """index into KINDS, or -1 for no cube"""
    place: Float[Array, "*views cubes 2"]
    """of the cubes' centres, from the table's axis, m"""
    yaw: Float[Array, "*views cubes"]
    """radians"""
    azimuth: Float[Array, "*views"]
    """where the robot stands, radians"""


@in_32_bits
@partial(jax.jit, static_argnums=0)
def render(config: SceneConfig, view: View, jitter: Jitter | None = None) -> Image:
    """What the robot sees."""
    packed, depth = cast(config, view, jitter)
    shape = (-1, config.height, config.width)
    packed = packed.reshape(shape)
    return Image(colours(packed), (packed >> 24).astype(jnp.uint8), depth.reshape(shape))


def colours(packed: Int32[Array, "*pixels"]) -> UInt8[Array, "*pixels 3"]:
    """The three bytes of colour in what `cast` gives."""
    return jnp.stack([packed >> shift for shift in (0, 8, 16)], axis=-1).astype(jnp.uint8)


def cast(
    config: SceneConfig, view: View, jitter: Jitter | None = None
) -> tuple[Int32[Array, "views pixels"], Float[Array, "views pixels"]]:
    """As `render`, row by row: colour and id of every pixel, packed, and its depth (to 4 millionths, of 12 cubes)."""

    def one(arguments):
        view, jitter = arguments
        camera = _camera(config, jitter)
        boxed = _turned(camera, view), _boxes(config, camera, view, sizes)
        packed, depth = _room(config, camera, view.azimuth)

        def approach(cube, box, number, size, nearest):
            return _nearer(camera, cube, box, number, size, nearest, codes)[0]

        def paint(cube, box, number, size, packed):
            face = _cut(nearest, box, size) % codes - FACES * number - 1
            shown = _cut(packed, box, size)
            for each in range(FACES):
                shown = jnp.where(face == each, cube.faces[each], shown)
            return _put(packed, box, shown)

        room = jax.lax.bitcast_convert_type(depth, jnp.int32) & -codes
        nearest = _for_each_cube(approach, boxed, sizes, room)
        return _for_each_cube(paint, boxed, sizes, packed), nearest

    sizes, codes = _sizes(config), _codes(view)
    packed, nearest = jax.lax.map(one, (view, jitter or still(len(view.kind))))
    depth = jax.lax.bitcast_convert_type((nearest & -codes) + codes // 2, jnp.float32)
    return packed.reshape(len(view.kind), -1), depth.reshape(len(view.kind), -1)


@in_32_bits
@partial(jax.jit, static_argnums=0)
def cubes_shown(config: SceneConfig, view: View) -> tuple[Int32[Array, "views cubes"], Int32[Array, "views cubes"]]:
    """Pixels that show each cube, and those that would if it were alone."""

    def one(arguments):
        view, jitter = arguments
        camera, cubes = _camera(config, jitter), jnp.arange(len(view.kind))

        def approach(cube, box, number, size, so_far):
            nearest, alone = so_far
            nearest, met = _nearer(camera, cube, box, number, size, nearest, codes)
            return nearest, alone.at[number].set(met.sum(dtype=jnp.int32))

        boxed = _turned(camera, view), _boxes(config, camera, view, sizes)
        nothing = jnp.full(camera.x.shape, jax.lax.bitcast_convert_type(jnp.inf, jnp.int32)), 0 * cubes
        nearest, alone = _for_each_cube(approach, boxed, sizes, nothing)
        first = (nearest % codes - 1) // FACES
        return jax.lax.map(lambda number: (first == number).sum(dtype=jnp.int32), cubes), alone

    sizes, codes = _sizes(config), _codes(view)
    return jax.lax.map(one, (view, still(len(view.kind))))


Carried = TypeVar("Carried")

FACES = 3
"""That a cube shows at most."""


def _codes(view: View) -> int:
    """A power of 2 above the number of faces: how many of a depth's last bits tell whose it is."""
    return 1 << (FACES * view.kind.shape[-1]).bit_length()


def _nearer(
    camera: "_Camera",
    cube: "_Cubes",
    box: "_Box",
    number: Int[Array, ""],
    size: tuple[int, int],
    nearest: Int32[Array, "height width"],
    codes: int,
) -> tuple[Int32[Array, "height width"], Bool[Array, "_ _"]]:
    """The nearest so far, or this cube where it is nearer; and where in its box it is met.

    Depths are compared as integers, as which positive floats keep their order, with `FACES * number + 1 + face` in
    their last bits: one array to change in the loop over cubes, for of two XLA copies one for every cube.
    """
    near, met, face = _meet(_within(camera, box, size), cube)
    depth = jax.lax.bitcast_convert_type(near, jnp.int32) & -codes
    old = _cut(nearest, box, size)
    return _put(nearest, box, jnp.where(met, jnp.minimum(old, depth + FACES * number + 1 + face), old)), met


def _for_each_cube(
    step: Callable[["_Cubes", "_Box", Int[Array, ""], tuple[int, int], Carried], Carried],
    boxed: tuple["_Cubes", "_Box"],
    sizes: list[tuple[int, int]],
    image: Carried,
) -> Carried:
    """`image = step(cube, box, number, size, image)` for each cube: those of one size of box in one loop."""
    size_of = boxed[1].size
    order = jnp.argsort(size_of)
    ends = jnp.searchsorted(size_of[order], jnp.arange(len(sizes)), side="right")
    for start, end, size in zip([0, *ends[:-1]], ends, sizes, strict=True):

        def body(at, image, size=size):
            cube, box = jax.tree.map(lambda each: each[order[at]], boxed)
            return step(cube, box, order[at], size, image)

        image = jax.lax.fori_loop(start, end, body, image)
    return image


class _Box(NamedTuple):
    """The part of an image outside which a cube does not show."""

    top: Int[Array, "*cubes"]
    left: Int[Array, "*cubes"]
    size: Int[Array, "*cubes"]
    """index into `_sizes`"""


def _sizes(config: SceneConfig) -> list[tuple[int, int]]:
    """Heights and widths of boxes: XLA wants to know a few beforehand. The last is the whole image."""
    squares = [(side, side) for side in BOXES if side < min(config.height, config.width)]
    return [*squares, (config.height, config.width)]


def _boxes(config: SceneConfig, camera: "_Camera", view: View, sizes: list[tuple[int, int]]) -> _Box:
    """The smallest box round each cube's corners; the whole image if one of them is not in front of the camera."""
    half = jnp.array(EDGE_OF_KIND)[view.kind] / 2
    cosine, sine = jnp.cos(view.azimuth), jnp.sin(view.azimuth)
    x = cosine * view.place[:, 0] + sine * view.place[:, 1] - camera.distance
    y = cosine * view.place[:, 1] - sine * view.place[:, 0]
    angle = view.yaw[:, None] - view.azimuth + jnp.pi / 4 + jnp.arange(4) * (jnp.pi / 2)
    x = x[:, None] + math.sqrt(2) * half[:, None] * jnp.cos(angle)
    y = y[:, None] + math.sqrt(2) * half[:, None] * jnp.sin(angle)
    across, up = [], []
    ahead = jnp.inf
    for z in (TABLE_HEIGHT - camera.height, TABLE_HEIGHT - camera.height + 2 * half[:, None]):
        depth = -x * jnp.cos(camera.pitch) - z * jnp.sin(camera.pitch)
        ahead = jnp.minimum(ahead, depth)
        across.append(y / depth)
        up.append((z * jnp.cos(camera.pitch) - x * jnp.sin(camera.pitch)) / depth)
    per_pixel = 2 * math.tan(math.radians(config.field_of_view) / 2) / config.width
    column = jnp.concatenate(across, axis=1) / per_pixel + (config.width - 1) / 2
    row = -jnp.concatenate(up, axis=1) / per_pixel + (config.height - 1) / 2
    corners = []
    for at, most in ((row, config.height), (column, config.width)):
        # A pixel to spare, for the rounding of float32.
        corners.append([jnp.clip(jnp.floor(at.min(1)) - 1, 0, most), jnp.clip(jnp.ceil(at.max(1)) + 2, 0, most)])
    (top, bottom), (left, right) = corners
    fits = [(bottom - top <= height) & (right - left <= width) for height, width in sizes[:-1]]
    size = jnp.where((ahead > 1e-3).all(axis=1), sum((~fit).astype(jnp.int32) for fit in fits), len(fits))
    height, width = (jnp.array(sides)[size] for sides in zip(*sizes, strict=True))
    top, left = jnp.minimum(top, config.height - height), jnp.minimum(left, config.width - width)
    return _Box(top.astype(jnp.int32), left.astype(jnp.int32), size)


def _cut(array: Array, box: _Box, size: tuple[int, int]) -> Array:
    """A box of an image."""
    return jax.lax.dynamic_slice(array, (box.top, box.left), size)


def _put(image: Array, box: _Box, part: Array) -> Array:
    """The image with another box."""
    return jax.lax.dynamic_update_slice(image, part, (box.top, box.left))


def _within(camera: "_Camera", box: _Box, size: tuple[int, int]) -> "_Camera":
    """The rays of a box."""
    return camera._replace(**{name: _cut(getattr(camera, name), box, size) for name in ("x", "y", "z")})


class _Camera(NamedTuple):
    """A view's rays, in the camera's frame, `x` to `z` of one unit along its axis; and what it shows things in."""

    x: Float[Array, "height width"]
    y: Float[Array, "height width"]
    z: Float[Array, "height width"]
    pitch: Float[Array, ""]
    distance: Float[Array, ""]
    height: Float[Array, ""]
    light: Float[Array, "3"]
    surfaces: Float[Array, "surfaces 3"]


class _Cubes(NamedTuple):
    """A view's cubes, and the camera in the frame of each."""

    half: Float[Array, "*cubes"]
    """half the edge; negative for no cube: then no ray is inside"""
    cosine: Float[Array, "*cubes"]
    """of the yaw in the camera's frame"""
    sine: Float[Array, "*cubes"]
    start: Float[Array, "*cubes 3"]
    """where rays start"""
    faces: Int32[Array, "*cubes 3"]
    """what its faces towards the camera show, packed: those across its x, y and z"""


def _camera(config: SceneConfig, jitter: Jitter) -> _Camera:
    pitch = jnp.deg2rad(config.camera_pitch + jitter.camera[2])
    across, up = (jnp.asarray(grid).reshape(config.height, config.width) for grid in pixel_grid(config))
    light = jnp.array(LIGHT) + jitter.light
    return _Camera(
        -jnp.cos(pitch) - up * jnp.sin(pitch),
        across,
        up * jnp.cos(pitch) - jnp.sin(pitch),
        pitch,
        config.camera_distance + jitter.camera[0],
        config.camera_height + jitter.camera[1],
        light / jnp.sqrt((light**2).sum()),
        jnp.array(list(SURFACES.values()), jnp.float32) + jitter.colour,
    )


def _turned(camera: _Camera, view: View) -> _Cubes:
    kind, place, yaw, azimuth = view
    half = jnp.where(kind >= 0, jnp.array(EDGE_OF_KIND)[kind] / 2, -1)
    # The room's frame, in which yaw and light are given, has the camera at an angle of `azimuth`.
    cosine, sine = jnp.cos(yaw), jnp.sin(yaw)
    from_x = camera.distance * jnp.cos(azimuth) - place[:, 0]
    from_y = camera.distance * jnp.sin(azimuth) - place[:, 1]
    x, y, z = cosine * from_x + sine * from_y, cosine * from_y - sine * from_x, camera.height - TABLE_HEIGHT - half
    light_x, light_y, light_z = camera.light
    across_x = jnp.sign(x) * (cosine * light_x + sine * light_y)
    across_y = jnp.sign(y) * (cosine * light_y - sine * light_x)
    lit = _lit(jnp.stack([across_x, across_y, jnp.full_like(x, light_z)], axis=-1))
    colour = camera.surfaces[-len(COLOURS) :][kind % len(COLOURS)]
    faces = pack(colour[:, None] * lit[..., None], FIRST_CUBE + jnp.arange(len(kind))[:, None])
    return _Cubes(half, jnp.cos(yaw - azimuth), jnp.sin(yaw - azimuth), jnp.stack([x, y, z], axis=-1), faces)


def _meet(
    camera: _Camera, cube: _Cubes
) -> tuple[Float[Array, "height width"], Bool[Array, "height width"], Int32[Array, "height width"]]:
    """Where rays enter one of the cubes, whether they do, and by which face: across its x, y or z."""
    half, cosine, sine, start, _ = cube
    along = (cosine * camera.x + sine * camera.y, cosine * camera.y - sine * camera.x, camera.z)
    inverse = [1 / _not_zero(each) for each in along]
    middle = [-start[axis] * inverse[axis] for axis in range(3)]
    reach = [half * jnp.abs(inverse[axis]) for axis in range(3)]
    enter = [middle[axis] - reach[axis] for axis in range(3)]
    leave = [middle[axis] + reach[axis] for axis in range(3)]
    near = jnp.maximum(jnp.maximum(enter[0], enter[1]), enter[2])
    far = jnp.minimum(jnp.minimum(leave[0], leave[1]), leave[2])
    face = jnp.where(near == enter[2], 2, jnp.where(near == enter[0], 0, 1))
    return near, (near < far) & (near > 0), face


def _room(
    config: SceneConfig, camera: _Camera, azimuth: Float[Array, ""]
) -> tuple[Int32[Array, "height width"], Float[Array, "height width"]]:
    """Wall, floor and table: what pixels show where no cube is, packed, and its depth."""
    wall, floor, tile, top, rim = camera.surfaces[: -len(COLOURS)]
    cosine, sine = jnp.cos(azimuth), jnp.sin(azimuth)
    room_x, room_y = cosine * camera.x - sine * camera.y, sine * camera.x + cosine * camera.y
    at_x, at_y = camera.distance * cosine, camera.distance * sine

    # First how far away everything is that a ray could meet, then which is nearest: step by step, each with the nearest
    # so far, XLA would compute the first steps anew in every later one.
    wall_x = (jnp.copysign(ROOM, room_x) - at_x) / _not_zero(room_x)
    wall_y = (jnp.copysign(ROOM, room_y) - at_y) / _not_zero(room_y)
    down = camera.z < 0
    per_metre = 1 / jnp.where(down, -camera.z, 1)
    to_floor = jnp.where(down, camera.height * per_metre, jnp.inf)

    # Leg and rim: |start + at * ray| = radius, seen from above.
    square, half_b = camera.x**2 + camera.y**2, camera.distance * camera.x
    underside = TABLE_HEIGHT - TABLE_THICKNESS
    sides = []
    for radius, lowest, highest in ((LEG_RADIUS, 0, underside), (config.table_radius, underside, TABLE_HEIGHT)):
        root = half_b**2 - square * (camera.distance**2 - radius**2)
        at = (-half_b - jnp.sqrt(jnp.maximum(root, 0))) / square
        z = camera.height + at * camera.z
        sides.append(jnp.where((root > 0) & (z >= lowest) & (z <= highest), at, jnp.inf))
    to_leg, to_rim = sides

    at = (camera.height - TABLE_HEIGHT) * per_metre
    inside = (camera.distance + at * camera.x) ** 2 + (at * camera.y) ** 2 <= config.table_radius**2
    to_top = jnp.where(down & inside, at, jnp.inf)
    depth = jnp.minimum(
        jnp.minimum(jnp.minimum(wall_x, wall_y), jnp.minimum(to_floor, to_leg)), jnp.minimum(to_rim, to_top)
    )
    depth = jax.lax.optimization_barrier(depth)

    upward = _lit(camera.light[2])
    at_x, at_y = at_x + depth * room_x, at_y + depth * room_y
    # A wall faces inwards: that of positive x has its normal towards -x.
    faces = [pack(wall * _lit(-side * camera.light[axis]), WALL) for axis in range(2) for side in (-1, 1)]
    on_x, on_y = jnp.where(room_x > 0, faces[1], faces[0]), jnp.where(room_y > 0, faces[3], faces[2])
    packed = jnp.where(wall_x < wall_y, on_x, on_y)
    column, row = (jnp.floor(place / TILE).astype(jnp.int32) for place in (at_x, at_y))
    odd = (column + row) & 1 == 1
    on_floor = jnp.where(odd, pack(tile * upward, FLOOR), pack(floor * upward, FLOOR))
    packed = jnp.where(depth == to_floor, on_floor, packed)
    radius = jnp.where(depth == to_leg, LEG_RADIUS, config.table_radius)
    lit = _lit((at_x * camera.light[0] + at_y * camera.light[1]) / radius)
    packed = jnp.where((depth == to_leg) | (depth == to_rim), pack(rim * lit[..., None], TABLE), packed)
    return jnp.where(depth == to_top, pack(top * upward, TABLE), packed), depth


def pixel_grid(config: SceneConfig) -> tuple[Float[np.ndarray, " pixels"], Float[np.ndarray, " pixels"]]:
    """Where pixels lie in the plane at distance 1 before the camera: to the right, and up."""
    half = math.tan(math.radians(config.field_of_view) / 2)
    columns = half * ((np.arange(config.width) + 0.5) * 2 / config.width - 1)
    rows = -half * config.height / config.width * ((np.arange(config.height) + 0.5) * 2 / config.height - 1)
    up, across = np.meshgrid(rows, columns, indexing="ij")
    return across.ravel().astype(np.float32), up.ravel().astype(np.float32)


def pack(colour: Float[Array, "*shape 3"], object_id: Int[Array, "..."] | int) -> Int32[Array, "*shape"]:
    """Colour (0 to 255) and id in one number."""
    red, green, blue = (jnp.clip(colour[..., band], 0, 255).astype(jnp.int32) for band in range(3))
    return red | (green << 8) | (blue << 16) | (jnp.asarray(object_id, jnp.int32) << 24)


def _lit(cosine: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Lambert's law, and some light from everywhere."""
    return AMBIENT + DIFFUSE * jnp.maximum(cosine, 0)


def _not_zero(number: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """A ray along a plane would divide by 0."""
    return jnp.where(jnp.abs(number) < 1e-9, 1e-9, number)
