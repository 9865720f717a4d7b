"""`irrl counting ...`: a robot that walks round a table to count cubes."""

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from irrl.cli.settings import Whole, settings_of
from irrl.cli.training import TrainFlags, Trainings
from irrl.counting.config import FREE, PRESETS, Config, preset
from irrl.counting.scene_config import SceneConfig
from irrl.errors import say

if TYPE_CHECKING:
    from irrl.counting.scene import Prospects

app = App(name="counting", help="A robot that walks round a table until it knows how many cubes of a kind are on it.")

PRESET = Parameter(
    name="--preset", help=f"a full set of settings, which the flags below override: {', '.join(PRESETS)}"
)


@app.command(name="train")
@settings_of(Config)
def train_command(*, flags: TrainFlags, preset_name: Annotated[str, PRESET] = "fast", **settings: Any) -> int:
    """Train a robot, seed after seed. Stopped or killed, the same command goes on where it was."""
    first = preset(preset_name, **settings)
    trainings = Trainings(flags, first, "counting", FREE, "episode")
    from irrl.devices import mesh, use_cores

    use_cores(flags.threads)
    trainings.threads = mesh(first.batch).size
    from irrl.counting.train import check_reward

    # Before the first training: their complaints leave nothing behind.
    check_reward(first)
    trainings.check()
    if first.decay_episodes > first.episodes:
        print(f"note: training ends before --decay-episodes {first.decay_episodes}", file=sys.stderr)
    if 0 < first.decay_episodes < first.episodes:
        print(f"note: from --decay-episodes {first.decay_episodes} on, steps are a hundredth", file=sys.stderr)
    return trainings.in_turn(partial(_train_run, trainings), lambda episodes: f"{episodes:,} episodes")


def _train_run(trainings: Trainings, folder: Path) -> bool:
    """Train in one folder; True if the user asked to stop."""
    from irrl.cli.progress import ProgressLines
    from irrl.counting.source import Source
    from irrl.counting.train import train

    config = trainings.configs[folder]
    source = Source(config)  # its complaints, too, leave nothing behind
    line = ProgressLines().line(partial(_describe, episodes=config.episodes))
    with trainings.open(folder, line) as run, run.interruptible():
        train(config, run, source)
        return run.stop_requested


def _describe(row: dict[str, Any], *, episodes: int) -> str:
    return (
        f"episode {row['episode']:,}/{episodes:,}  accuracy {row['accuracy']:.1%}  validation "
        f"{row['validation_accuracy']:.1%} after {row['validation_moves']:.1f} moves  reward {row['reward']:.3f}  "
        f"{row['frames_per_second']:,.0f} frames/s"
    )


@app.command(name="test")
def test_command(
    model: Path,
    *,
    simulator: Literal["raycast", "mujoco"] = "raycast",
    episodes: Whole = 2000,
    seed: Whole = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    threads: Whole | None = None,
) -> None:
    """Measure how well a trained robot counts, how far it walks, and how well an all-knowing one could.

    Args:
        model: a run's folder (its best checkpoint), a checkpoint file, or the name of a packaged one.
        simulator: through whose renderer it sees: the ray caster it was trained with, or MuJoCo's.
        episodes: how many scenes.
        seed: draws the scenes.
        as_json: print JSON.
        threads: processor cores to use; all by default.
    """
    from irrl.devices import use_cores
    from irrl.settings import check_range

    use_cores(threads)
    check_range("episodes", episodes, 1)
    from irrl.counting.evaluate import load_agent
    from irrl.counting.scene import prospects
    from irrl.counting.source import scenes_for_testing

    agent = load_agent(model)
    scenes = scenes_for_testing(agent.config, episodes, seed)
    report = agent.test(scenes, simulator=simulator, seed=seed)
    known = prospects(agent.config, scenes)
    could = _after_moves(known, agent.config)
    if as_json:
        say(json.dumps(dataclasses.asdict(report) | {"simulator": simulator, "seed": seed} | could))
        return
    say(f"accuracy {report.accuracy:.2%} after {report.mean_moves:.2f} moves ({episodes} scenes, {simulator})")
    say("by count:   " + "  ".join(f"{count}: {share:.1%}" for count, share in report.by_count.items()))
    say("by level:   " + "  ".join(f"{level}: {share:.1%}" for level, share in report.by_level.items()))
    say("moves:      " + "  ".join(f"{moves}: {number}" for moves, number in enumerate(report.moves)))
    say("after moves: " + "  ".join(f"{moves}: {share:.1%}" for moves, share in enumerate(report.by_moves)))
    _show_after_moves(could)
    say("answers (columns) by right answer (rows):")
    for count, row in enumerate(report.confusion):
        say(f"{count:5}: " + "".join(f"{number:6}" for number in row))


def _after_moves(known: "Prospects", config: SceneConfig) -> dict[str, list[float]]:
    """What an all-knowing robot could do within so many moves."""
    moves = range(config.moves + 1)
    return {"all_seen_after": [*map(known.all_seen_after, moves)], "ceiling": [*map(known.ceiling, moves)]}


def _show_after_moves(could: dict[str, list[float]]) -> None:
    for name, shares in could.items():
        title = f"{name.removesuffix('_after').replace('_', ' ')}:"
        say(f"{title:13}" + "  ".join(f"{moves}: {share:.1%}" for moves, share in enumerate(shares)))


@app.command(name="prospects")
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

    from irrl.counting.scene import prospects
    from irrl.counting.scene_config import KINDS
    from irrl.counting.source import scenes_for_testing

    drawn = scenes_for_testing(config, scenes, seed)
    known = prospects(config, drawn)
    could = _after_moves(known, config)
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
    _show_after_moves(could)
    say(f"all at once, from the best viewpoint: {known.one_view_shows_all:.1%}")


@app.command(name="draw")
def draw_command(
    model: Path, *, out: Path | None = None, cases: Whole = 3, seed: Whole = 0, threads: Whole | None = None
) -> None:
    """Film a trained robot at work, by MuJoCo: what it sees, the room, and what it believes.

    Args:
        model: a run's folder (its best checkpoint), a checkpoint file, or the name of a packaged one.
        out: folder for the films; by default `figures` in the run's folder, or `NAME-figures` here for a packaged one.
        cases: how many films.
        seed: draws the scenes.
        threads: processor cores to use; all by default.
    """
    from irrl.devices import use_cores

    use_cores(threads)
    from irrl.counting.draw import draw

    for path in draw(model, out, cases=cases, seed=seed):
        say(path)


@app.command(name="compare")
def compare_command(
    runs: list[Path],
    /,
    *,
    episode: Whole | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Compare runs over their seeds: a table of rewards, or whatever else the runs differ in.

    Args:
        runs: folders of runs, or of several seeds; runs that differ only in seed and budget are one row.
        episode: compare at this episode; by default at the last one that all of them have reached.
        as_json: print JSON.
    """
    from irrl.cli.comparing import show_comparison
    from irrl.counting.comparison import STUDY

    show_comparison(STUDY, runs, episode, as_json=as_json)


@app.command(name="figure")
def figure_command(runs: list[Path], /, *, out: Path) -> None:
    """Draw accuracy against episodes, mean and interval over seeds, with the published curves dashed behind.

    Args:
        runs: folders of runs, or of several seeds; runs that differ only in seed and budget are one curve.
        out: the picture: a png, pdf or svg file.
    """
    from irrl.cli.comparing import draw_comparison
    from irrl.counting.comparison import STUDY, published

    draw_comparison(STUDY, runs, lambda groups: published(), out)
