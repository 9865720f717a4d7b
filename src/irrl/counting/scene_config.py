"""The settings of a counting task's scene, its camera's among them. No JAX here: `--help` reads it."""

from dataclasses import dataclass

from irrl.errors import UserError
from irrl.settings import check_positive, check_range, check_types

EDGES = {"small": 0.03, "medium": 0.06, "large": 0.11}
"""Edges of the cubes, m: measured off the released clips."""
COLOURS = ("red", "blue")
KINDS = tuple(f"{size}_{colour}" for size in EDGES for colour in COLOURS)
EDGE_OF_KIND = tuple(EDGES[kind.split("_")[0]] for kind in KINDS)
TABLE_HEIGHT, LEG_RADIUS, ROOM = 0.72, 0.28, 3.0
"""Of the table's top above the floor, of its leg, and half the side of the square room, m."""
MOST_CUBES = 100
"""On a table, at most: they would not fit, and a pixel's id is a byte."""
MOST_LIST = 4_000
"""Characters of a setting that lists something."""
LEVELS = ("visible", "partial", "hidden")
"""How well the goal's cubes can be seen from the start. visible: nine tenths of each; hidden: one at least is not seen;
partial: all others (`irrl.counting.scene`)."""


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Scenes: cubes on a round table, seen by a robot that walks round it; by default as in the predecessor's clips."""

    goals: str = "small_red,small_blue,medium_red,medium_blue"
    """kinds of cube that are asked for, one a scene, equally often"""
    counts: str = "12,13,10,8,3,3,1"
    """how often the answer is 0, 1, 2, ...: relative to one another"""
    distractors_least: int = 3
    """cubes of other kinds on the table, at least"""
    distractors_most: int = 6
    """at most"""
    levels: str = "1,1,1"
    """how often, relative to one another, scenes in which the answer is not 0 are visible, partial and hidden"""
    table_radius: float = 0.5
    """m; centres of cubes keep 0.08 m from the edge"""
    viewpoints: int = 12
    """places round the table: a step is a full turn divided by them"""
    moves: int = 6
    """steps at most"""
    width: int = 96
    """of the robot's image, pixels"""
    height: int = 64
    """of the robot's image, pixels"""
    field_of_view: float = 45.0
    """from the image's left to its right, degrees"""
    camera_pitch: float = 21.5
    """how far the camera looks down, degrees"""
    camera_distance: float = 1.0
    """from the table's axis, m"""
    camera_height: float = 1.082
    """above the floor, m; the table's top is at 0.72"""

    def check_scene(self) -> None:
        """Refuse what no scene can be.

        Raises:
            UserError: what is wrong, and what would be right.
        """
        check_types(self)
        for name in ("goals", "counts", "levels"):
            if len(getattr(self, name)) > MOST_LIST:
                raise UserError(
                    f"`{name}` has {len(getattr(self, name)):,} characters; it can have {MOST_LIST:,} at most"
                )
        check_range("viewpoints", self.viewpoints, 4, 4096)
        for name in ("width", "height"):
            check_range(name, getattr(self, name), 4, 1024)
        check_range("moves", self.moves, 0, 100)
        check_range("distractors_least", self.distractors_least, 0, MOST_CUBES)
        check_range("distractors_most", self.distractors_most, self.distractors_least, MOST_CUBES)
        if self.most_cubes > MOST_CUBES:
            raise UserError(
                f"`counts` and `distractors_most` make up to {self.most_cubes} cubes; there can be {MOST_CUBES} at most"
            )
        for name in ("table_radius", "field_of_view", "camera_distance", "camera_height"):
            check_positive(name, getattr(self, name))
        if not self.field_of_view < 170:
            raise UserError(f"`field_of_view` is {self.field_of_view}; it must be below 170 degrees")
        if not -80 <= self.camera_pitch <= 80:
            raise UserError(f"`camera_pitch` is {self.camera_pitch}; it must lie between -80 and 80 degrees")
        if self.table_radius <= LEG_RADIUS:
            raise UserError(f"`table_radius` is {self.table_radius}; it must be above that of the leg, {LEG_RADIUS} m")
        if self.camera_distance <= self.table_radius + EDGES["large"]:
            raise UserError(
                f"`camera_distance` is {self.camera_distance}; the robot would stand in a table of "
                f"{self.table_radius} m"
            )
        if self.camera_distance >= ROOM:
            raise UserError(f"`camera_distance` is {self.camera_distance}; the room's walls are at {ROOM} m")
        if not TABLE_HEIGHT + EDGES["large"] < self.camera_height < ROOM:
            raise UserError(
                f"`camera_height` is {self.camera_height}; it must be above the table and its cubes, 0.83 m, and below "
                f"{ROOM} m"
            )
        unknown = [goal for goal in self.goal_names if goal not in KINDS]
        if unknown or len(set(self.goal_names)) < len(self.goal_names):
            raise UserError(f"`goals` is {self.goals!r}; name kinds of cube, once each: {', '.join(KINDS)}")
        _ = self.count_weights, self.level_weights  # they check themselves

    @property
    def placement_radius(self) -> float:
        """How far from the table's axis a cube's centre may lie, m."""
        return self.table_radius - 0.08

    @property
    def goal_names(self) -> list[str]:
        """The kinds that are asked for."""
        return [name.strip() for name in self.goals.split(",")]

    @property
    def count_weights(self) -> list[float]:
        """The prior over counts, p(y)."""
        return _weights("counts", self.counts, least=2)

    @property
    def level_weights(self) -> list[float]:
        """The share of each of LEVELS."""
        weights = _weights("levels", self.levels, least=len(LEVELS))
        if len(weights) != len(LEVELS):
            raise UserError(f"`levels` is {self.levels!r}; it must be {len(LEVELS)} numbers: {', '.join(LEVELS)}")
        return weights

    @property
    def most_cubes(self) -> int:
        """Cubes on the table, at most."""
        return len(self.count_weights) - 1 + self.distractors_most


def _weights(name: str, text: str, least: int) -> list[float]:
    """Numbers separated by commas, as shares of their sum."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    total = sum(numbers)
    if len(numbers) < least or not all(number >= 0 for number in numbers) or not 0 < total < float("inf"):
        raise UserError(f"`{name}` is {text!r}; it must be at least {least} numbers from 0 on, separated by commas")
    return [number / total for number in numbers]
