"""What commands do that set runs side by side, for any task: `compare`, `figure`."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from irrl.cli.tables import print_wide
from irrl.comparison import compare, groups_of, table
from irrl.errors import say
from irrl.figures import check_picture, learning_curves, write_figure
from irrl.registry import part_of
from irrl.task import Task


def show_comparison(task: Task, runs: Sequence[Path], at: int | None, *, as_json: bool) -> None:
    """Print runs compared over their seeds, as a table or as JSON."""
    rows = compare(groups_of(task, runs), at)
    if as_json:
        say(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    else:
        print_wide(table(task, rows))


def draw_comparison(task: Task, runs: Sequence[Path], figure: str | None, out: Path) -> None:
    """Draw runs' learning curves over those that the paper has for them into a png, pdf or svg file.

    Args:
        figure: which of the paper's, where it has several.
    """
    check_picture(out)
    groups = groups_of(task, runs)
    behind = part_of(task, "published").figure(figure, groups) if task.published else {}
    write_figure(learning_curves(groups, behind), out)
    say(out)
