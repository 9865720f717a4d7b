"""What only `irrl counting` can do: prospects."""

import json
from typing import Annotated, Any

from cyclopts import App, Parameter

from irrl.cli.helping import epilogue
from irrl.cli.settings import Whole, settings_of
from irrl.counting.scene_config import SceneConfig
from irrl.errors import say


def add_commands(app: App) -> None:
    """Add it to the task's command line."""
    app.command(prospects_command, name="prospects", help_epilogue=epilogue("counting prospects --scenes 100"))


@settings_of(SceneConfig)
def prospects_command(
    *,
    scenes: Whole = 1_000,
    seed: Whole = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    **settings: Any,
) -> None:
    """Say what an all-knowing robot could do, before any training: in how many scenes it can have seen all of the
    goal's cubes after so many moves, and the ceiling on accuracy that follows.

    Args:
        scenes: how many are drawn.
        seed: draws them.
        as_json: print JSON: also, scene by scene, from which viewpoints each of the goal's cubes is seen.
    """
    from irrl.settings import check_range

    check_range("scenes", scenes, 1)
    config = SceneConfig(**settings)
    config.check_scene()
    import numpy as np

    from irrl.counting.evaluate import after_moves, lines_after_moves
    from irrl.counting.scene import prospects
    from irrl.counting.scene_config import KINDS
    from irrl.counting.source import scenes_for_testing

    drawn = scenes_for_testing(config, scenes, seed)
    known = prospects(config, drawn)
    could = after_moves(known, config)
    if as_json:
        each = [
            {"goal": KINDS[goal], "count": int(count), "least_moves": int(moves), "best_view": int(best)}
            | {"seen_from": [np.flatnonzero(views[:, cube]).tolist() for cube in np.flatnonzero(goals)]}
            for goal, count, moves, best, views, goals in zip(
                drawn.goal, drawn.count, known.least_moves, known.best_view, known.seen, drawn.is_goal, strict=True
            )
        ]
        summary = could | {"one_view_shows_all": known.one_view_shows_all}
        say(json.dumps(summary | {"scenes": each}))
        return
    say("all seen: the share of scenes of which all of the goal's cubes can have been seen after so many moves;")
    say("ceiling: the accuracy of the likeliest answer, given how many the best walk has shown")
    say("\n".join(lines_after_moves(could)))
    say(f"all at once, from the best viewpoint: {known.one_view_shows_all:.1%}")
