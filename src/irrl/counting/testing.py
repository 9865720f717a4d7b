"""How well a trained robot counts, how far it walks, and how well an all-knowing one could."""

import dataclasses
from pathlib import Path

from irrl.counting.evaluate import load_agent
from irrl.counting.scene import Prospects, prospects
from irrl.counting.scene_config import SceneConfig
from irrl.counting.source import scenes_for_testing
from irrl.settings import check_range
from irrl.task import Report


def test(path: Path, *, seed: int = 0, simulator: str = "raycast", episodes: int = 2000) -> Report:
    """Let a trained robot count.

    Args:
        path: a run's folder (its best checkpoint), a checkpoint file, or the name of a packaged robot.
        seed: draws the scenes.
        simulator: through whose renderer it sees: the ray caster (`raycast`), or MuJoCo (`mujoco`).
        episodes: how many scenes.

    Raises:
        UserError: there is no good checkpoint, or no such simulator.
    """
    check_range("episodes", episodes, 1)
    agent = load_agent(path)
    scenes = scenes_for_testing(agent.config, episodes, seed)
    found = agent.test(scenes, simulator=simulator, seed=seed)
    could = after_moves(prospects(agent.config, scenes), agent.config)
    lines = [
        f"accuracy {found.accuracy:.2%} after {found.mean_moves:.2f} moves ({episodes} scenes, {simulator})",
        "by count:   " + "  ".join(f"{count}: {share:.1%}" for count, share in found.by_count.items()),
        "by level:   " + "  ".join(f"{level}: {share:.1%}" for level, share in found.by_level.items()),
        "moves:      " + "  ".join(f"{moves}: {number}" for moves, number in enumerate(found.moves)),
        "after moves: " + "  ".join(f"{moves}: {share:.1%}" for moves, share in enumerate(found.by_moves)),
        *lines_after_moves(could),
        "answers (columns) by right answer (rows):",
        *(f"{count:5}: " + "".join(f"{each:6}" for each in row) for count, row in enumerate(found.confusion)),
    ]
    return Report(dataclasses.asdict(found) | {"simulator": simulator, "seed": seed} | could, lines)


def after_moves(known: Prospects, config: SceneConfig) -> dict[str, list[float]]:
    """What an all-knowing robot could do within so many moves."""
    moves = range(config.moves + 1)
    return {"all_seen_after": [*map(known.all_seen_after, moves)], "ceiling": [*map(known.ceiling, moves)]}


def lines_after_moves(could: dict[str, list[float]]) -> list[str]:
    """The same in words."""
    return [
        f"{name.removesuffix('_after').replace('_', ' ') + ':':13}"
        + "  ".join(f"{moves}: {share:.1%}" for moves, share in enumerate(shares))
        for name, shares in could.items()
    ]
