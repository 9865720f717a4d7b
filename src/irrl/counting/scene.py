"""Scenes of the counting task: cubes on a round table, one kind of which is to be counted, and where each can be seen.

Kinds and numbers are drawn first, places then until the scene is as hard as it should be: so the level changes nothing
about how often each count is the answer. Lengths are in metres, from the table's axis; the robot starts at
`(camera_distance, 0)`, and viewpoints are counted in steps to the right of that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32, Int, Int64

from irrl.counting import render
from irrl.counting.scene_config import COLOURS, EDGE_OF_KIND, KINDS, LEVELS, SceneConfig
from irrl.counting.streams import Streams
from irrl.errors import UserError
from irrl.settings import check_whole

ROUNDS = 60
"""How often scenes that are not as they should be are drawn again, at most; the last ones, many at a time."""
PLACES = 24
"""Places tried for a cube."""
NUMBERS = 6 * PLACES + 4
"""Random numbers that a try takes for a cube, at most."""
GAP = 0.004
"""Least distance between the circles round two cubes."""

LEAST_PIXELS, LEAST_SHARE, WHOLE_SHARE = 2, 0.25, 0.9
"""A cube is seen if it shows two pixels, and a quarter of those that it would if it were alone; whole: nine tenths."""

CHUNKS = (32, 512)
"""Views rendered by one call, when few are left and else: a call of another size would be compiled anew."""


@dataclass(frozen=True)
class Scenes:
    """Many scenes. Cubes of the goal's kind come first, then the others, then places with none."""

    kind: Int64[np.ndarray, "scenes cubes"]
    """index into KINDS, or -1 for no cube"""
    place: Float32[np.ndarray, "scenes cubes 2"]
    """of cubes' centres"""
    yaw: Float32[np.ndarray, "scenes cubes"]
    """of cubes, 0 to pi/2"""
    goal: Int64[np.ndarray, " scenes"]
    """the kind to be counted"""
    level: Int64[np.ndarray, " scenes"]
    """index into LEVELS; 0, visible, if there is nothing to be counted"""

    @property
    def is_goal(self) -> Bool[np.ndarray, "scenes cubes"]:
        """Which cubes are to be counted."""
        return self.kind == self.goal[:, None]

    @property
    def count(self) -> Int64[np.ndarray, " scenes"]:
        """The right answers."""
        return self.is_goal.sum(axis=1)

    def __len__(self) -> int:
        return len(self.goal)

    def view(self, azimuth: Float32[np.ndarray, " scenes"]) -> render.View:
        """As the ray caster wants them."""
        return render.View(jnp.asarray(self.kind, jnp.int32), *map(jnp.asarray, (self.place, self.yaw, azimuth)))

    def take(self, index: np.ndarray | slice) -> "Scenes":
        """Some of them."""
        return Scenes(*(getattr(self, field.name)[index] for field in fields(self)))

    def put(self, index: np.ndarray, others: "Scenes") -> "Scenes":
        """These, with others in the place of some."""
        arrays = [getattr(self, field.name).copy() for field in fields(self)]
        for array, field in zip(arrays, fields(self), strict=True):
            array[index] = getattr(others, field.name)
        return Scenes(*arrays)

    def mirrored(self) -> "Scenes":
        """As in a mirror through the table's axis and the start: as hard as before, left and right exchanged."""
        return replace(self, place=self.place * np.array([1, -1], np.float32), yaw=(np.pi / 2 - self.yaw).astype("f4"))

    def recoloured(self) -> "Scenes":
        """With every cube, and the goal, of the other colour."""
        return replace(self, kind=np.where(self.kind < 0, self.kind, self.kind ^ 1), goal=self.goal ^ 1)

    @staticmethod
    def concatenate(parts: Sequence["Scenes"]) -> "Scenes":
        """All scenes of some parts."""
        return Scenes(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Scenes)))


def draw_scenes(config: SceneConfig, number: int, rng: np.random.Generator | Sequence[np.random.Generator]) -> Scenes:
    """Draw scenes: goal, count and level as often as `config` says, all else uniformly.

    Args:
        rng: one generator, or one for each scene: then no scene depends on those that are drawn with it.

    Raises:
        UserError: cubes do not fit on the table, or cannot be hidden as they should; or `number` is not positive.
    """
    check_whole("scenes", number, 1)
    cubes = config.most_cubes
    names = np.array([KINDS.index(name) for name in config.goal_names])
    chance = rng if isinstance(rng, np.random.Generator) else Streams(rng, 3)
    goal = chance.choice(names, number)
    count = chance.choice(len(config.count_weights), number, p=config.count_weights)
    level = np.where(count > 0, chance.choice(len(LEVELS), number, p=config.level_weights), 0)
    scenes = Scenes(
        np.full((number, cubes), -1),
        np.zeros((number, cubes, 2), np.float32),
        np.zeros((number, cubes), np.float32),
        goal,
        level,
    )
    left = np.arange(number)
    for _ in range(ROUNDS):
        # Few are looked at as fast as a chunk of them: the last ones, the hardest, are tried many times at once.
        trying = np.resize(left, max(len(left), CHUNKS[0]))
        if not isinstance(rng, np.random.Generator):
            chance = Streams([rng[scene] for scene in trying.tolist()], (cubes + 1) * NUMBERS)
        kind = _draw_kinds(config, goal[trying], count[trying], level[trying], chance)
        place, fits = _draw_places(config, kind, count[trying], level[trying], chance)
        if not fits.any():
            continue
        yaw = chance.uniform(0, np.pi / 2, kind.shape).astype(np.float32)
        tried = Scenes(kind, place, yaw, goal[trying], level[trying])
        good = np.flatnonzero(fits & (level_of(tried, shown_from(config, tried, 0)) == tried.level))
        done, first = np.unique(trying[good], return_index=True)
        scenes = scenes.put(done, tried.take(good[first]))
        left = np.setdiff1d(left, done)
        if not len(left):
            return scenes
    which = f"{LEVELS[level[left[0]]]} scene of {count[left[0]]} {KINDS[goal[left[0]]]} cubes and distractors"
    raise UserError(
        f"no {which} came out in {ROUNDS} tries (`distractors_most={config.distractors_most}`, "
        f"`table_radius={config.table_radius}`, `levels={config.levels}`); ask for fewer cubes, a larger table, other "
        "levels, or a camera that sees more of it"
    )


def _draw_kinds(
    config: SceneConfig, goal: np.ndarray, count: np.ndarray, level: np.ndarray, rng: np.random.Generator | Streams
) -> Int64[np.ndarray, "scenes cubes"]:
    """The goal's cubes, then distractors; where something has to be hidden, the first of these is large."""
    column = np.arange(config.most_cubes)
    others = rng.integers(config.distractors_least, config.distractors_most + 1, len(goal))
    other = (goal[:, None] + rng.integers(1, len(KINDS), (len(goal), len(column)))) % len(KINDS)
    large = len(KINDS) - 1 - rng.integers(len(COLOURS), size=other.shape)
    hides = (level > 0)[:, None] & (column == count[:, None])
    # A goal may itself be large: then a cube of the other colour hides it.
    large = np.where(large == goal[:, None], 2 * len(KINDS) - 3 - large, large)
    kind = np.where(column < count[:, None], goal[:, None], np.where(hides, large, other))
    return np.where(column < (count + others)[:, None], kind, -1)


def _draw_places(
    config: SceneConfig, kind: np.ndarray, count: np.ndarray, level: np.ndarray, rng: np.random.Generator | Streams
) -> tuple[Float32[np.ndarray, "scenes cubes 2"], Bool[np.ndarray, " scenes"]]:
    """Places where no two cubes touch, and whether there were any for all cubes.

    Cubes are placed from the last to the first, each at the first of some random places that is free. Where the scene
    is to be partial or hidden, the goal's first cube, and three in ten of the others, are tried behind another one as
    seen from the start.
    """
    scenes, cubes = kind.shape
    everyone = np.arange(scenes)
    edge = edges(kind)
    around = edge / np.sqrt(2)
    place = np.zeros((scenes, cubes, 2), np.float32)
    fits = np.ones(scenes, bool)
    start = np.array([config.camera_distance, 0])
    for cube in range(cubes - 1, -1, -1):
        radius = config.placement_radius * np.sqrt(rng.random((scenes, PLACES)))
        angle = rng.uniform(0, 2 * np.pi, (scenes, PLACES))
        tried = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
        if cube + 1 < cubes:
            front = rng.integers(cube + 1, cubes, (scenes, PLACES))
            front = np.where(rng.random((scenes, PLACES)) < 0.5, np.minimum(count, cubes - 1)[:, None], front)
            before = place[everyone[:, None], front]
            away = before - start
            away /= np.linalg.norm(away, axis=-1, keepdims=True)
            aside = np.stack([-away[..., 1], away[..., 0]], axis=-1)
            size = edge[everyone[:, None], front][..., None]
            shift = np.where(level == 2, 0.3, 0.7)[:, None, None] * size * rng.normal(size=(scenes, PLACES, 1))
            behind = before + (size + rng.uniform(0, 0.25, (scenes, PLACES, 1))) * away + shift * aside
            hide = (level > 0) & (cube < count) & ((cube == 0) | (rng.random(scenes) < 0.3))
            tried = np.where((hide[:, None] & (front > cube))[..., None], behind, tried)
        near = np.linalg.norm(tried[:, :, None] - place[:, None, cube + 1 :], axis=-1)
        free = (near >= (around[:, cube, None] + around[:, cube + 1 :] + GAP)[:, None]) | (
            kind[:, None, cube + 1 :] < 0
        )
        free = free.all(axis=-1) & (np.linalg.norm(tried, axis=-1) <= config.placement_radius)
        place[:, cube] = tried[everyone, free.argmax(axis=1)]
        fits &= free.any(axis=1) | (kind[:, cube] < 0)
    return place, fits


def edges(kind: Int64[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Edges of cubes, m; 0 where there is none."""
    return np.array([*EDGE_OF_KIND, 0], np.float32)[kind]


def shown_from(
    config: SceneConfig, scenes: Scenes, viewpoint: int
) -> tuple[Int[np.ndarray, "scenes cubes"], Int[np.ndarray, "scenes cubes"]]:
    """Pixels that show each cube from a viewpoint (steps to the right of the start), and those it would show alone."""
    # Of a config, only what the camera needs: so that a call is compiled once for all who see alike.
    names = ("width", "height", "field_of_view", "camera_pitch", "camera_distance", "camera_height", "table_radius")
    camera = SceneConfig(**{name: getattr(config, name) for name in names})
    chunk = CHUNKS[len(scenes) > 4 * CHUNKS[0]]
    azimuth = np.full(chunk, 2 * np.pi * viewpoint / config.viewpoints, np.float32)
    parts = []
    for first in range(0, len(scenes), chunk):
        part = scenes.take(slice(first, first + chunk))
        filled = scenes.take(np.resize(np.arange(first, first + len(part)), chunk))
        parts.append([np.asarray(array)[: len(part)] for array in render.cubes_shown(camera, filled.view(azimuth))])
    shown, alone = zip(*parts, strict=True)
    return np.concatenate(shown), np.concatenate(alone)


def is_seen(shown: Int[np.ndarray, "*shape"], alone: Int[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    """Whether enough of a cube shows for it to be counted."""
    return (shown >= LEAST_PIXELS) & (shown >= LEAST_SHARE * alone)


def level_of(
    scenes: Scenes, from_start: tuple[Int[np.ndarray, "scenes cubes"], Int[np.ndarray, "scenes cubes"]]
) -> Int64[np.ndarray, " scenes"]:
    """How well the goal's cubes can be seen from the start: index into LEVELS.

    Args:
        from_start: of `shown_from`, viewpoint 0.
    """
    shown, alone = from_start
    goals = scenes.is_goal
    hidden = (goals & ~is_seen(shown, alone)).any(axis=1)
    partial = (goals & (shown < WHOLE_SHARE * alone)).any(axis=1)
    return np.where(hidden, 2, np.where(partial, 1, 0))


def seen_from(config: SceneConfig, scenes: Scenes) -> Bool[np.ndarray, "scenes viewpoints cubes"]:
    """Which cubes are seen from where."""
    return np.stack([is_seen(*shown_from(config, scenes, view)) for view in range(config.viewpoints)], axis=1)


@dataclass(frozen=True)
class Prospects:
    """What a robot could do that knew a scene beforehand."""

    seen: Bool[np.ndarray, "scenes viewpoints cubes"]
    """which cubes of the goal's kind are seen from where"""
    least_moves: Int64[np.ndarray, " scenes"]
    """after which all of them have been seen once; `never` if a whole turn does not do"""
    best_view: Int64[np.ndarray, " scenes"]
    """how many of them are seen from the best viewpoint"""
    most_seen: Int64[np.ndarray, "scenes moves"]
    """how many of them the best walk of so many moves shows"""
    count: Int64[np.ndarray, " scenes"]
    """how many of them there are"""
    never: int

    def all_seen_after(self, moves: int) -> float:
        """The share of scenes in which so many moves let all of the goal's cubes be seen."""
        return float((self.least_moves <= moves).mean())

    def ceiling(self, moves: int) -> float:
        """The accuracy after so many moves of a robot that walks where most of the goal's cubes are to be seen, and
        answers what is likeliest given how many it has seen (by the frequencies in these very scenes).
        """
        joint = np.zeros((self.count.max() + 1, self.count.max() + 1))
        np.add.at(joint, (self.most_seen[:, moves], self.count), 1)
        return float(joint.max(axis=1).sum() / joint.sum())

    @property
    def one_view_shows_all(self) -> float:
        """The share of scenes in which one picture, from the best viewpoint, shows all of the goal's cubes."""
        return float((self.best_view == self.seen.any(axis=1).sum(axis=1)).mean())


def prospects(config: SceneConfig, scenes: Scenes) -> Prospects:
    """Where the goal's cubes are seen from, and what follows from that."""
    goals = scenes.is_goal
    seen = seen_from(config, scenes) & goals[:, None]
    around = config.viewpoints
    never = 2 * around
    least = np.full(len(scenes), never)
    most = np.zeros((len(scenes), config.moves + 1), int)
    for left in range(around):
        for right in range(around - left):
            arc = np.arange(-left, right + 1) % around
            by_now = seen[:, arc].any(axis=1)
            enough = (by_now == goals).all(axis=1)
            moves = left + right + min(left, right)  # there, and back past the start
            most[:, moves:] = np.maximum(most[:, moves:], by_now.sum(axis=1)[:, None])
            least = np.where(enough, np.minimum(least, moves), least)
    return Prospects(seen, least, seen.sum(axis=2).max(axis=1), most, scenes.count, never)
