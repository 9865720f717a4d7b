"""How often a counting robot's training logs, saves and keeps: in episodes, and nothing that is learned changes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from irrl import checkpoint
from irrl.counting.config import Config
from irrl.counting.task import TASK
from irrl.counting.training import train
from irrl.errors import UserError
from irrl.run import DiskRun, MemoryRun, Plan
from irrl.settings import config_from, recorded
from tiny import COUNTING

CONFIG = Config(**COUNTING, episodes=96)
"""Three rounds of four batches."""


def trained(config, folder=None, **stops):
    """What is left of a training: its rows, and its last arrays."""
    run = (
        MemoryRun()
        if folder is None
        else DiskRun(folder, Plan("counting", recorded(config), TASK.free, unit="episode"))
    )
    with run:
        params = train(config, run).params
    return run.history, params


def same(left, right) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(leaves(left), leaves(right), strict=True))


def leaves(params):
    return checkpoint.flatten(params).values()


@pytest.mark.parametrize(
    ("every", "rows"),
    [
        (0, [32, 64, 96]),
        (32, [32, 64, 96]),
        (8, [*range(8, 97, 8)]),
        (24, [24, 48, 72, 96]),
        (64, [64, 96]),
        (1000, [96]),
    ],
)
def test_rows_as_often_as_asked_and_the_same_is_learned(every, rows):
    _, wanted = trained(CONFIG)
    history, params = trained(replace(CONFIG, log_every=every, checkpoint_every=every and 16))
    assert [row["episode"] for row in history] == rows
    assert same(params, wanted)


def test_a_row_is_of_the_episodes_since_the_last():
    """Rows of half a round have, on average, what those of a whole one say."""
    (whole,) = trained(replace(CONFIG, episodes=32))[0]
    halves = trained(replace(CONFIG, episodes=32, log_every=16))[0]
    for name in ("loss", "accuracy", "reward", "moves"):
        assert whole[name] == pytest.approx(np.mean([row[name] for row in halves]), rel=1e-5)
    assert halves[0]["loss"] != halves[1]["loss"]


def test_stopped_within_a_round_it_goes_on_to_the_last_bit(tmp_path):
    _, wanted = trained(CONFIG)
    folder = tmp_path / "run"
    trained(replace(CONFIG, episodes=40, log_every=8, checkpoint_every=8), folder)
    history, params = trained(replace(CONFIG, log_every=24), folder)
    assert same(params, wanted)
    assert [row["episode"] for row in history] == [8, 16, 24, 32, 40, 48, 72, 96]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [(0, []), (1, [32, 64, 96]), (2, [64]), (3, [96]), (32, [32, 64, 96]), (64, [64]), (16, [*range(16, 97, 16)])],
)
def test_kept_every_so_many_episodes_or_in_older_runs_rounds(tmp_path, keep, kept):
    trained(replace(CONFIG, keep_every=keep), tmp_path / "run")
    names = [path.name for path in sorted((tmp_path / "run").glob("episode-*"))]
    assert names == [f"episode-{episode:06}.safetensors" for episode in kept]


def test_the_last_round_counts_also_if_it_is_shorter(tmp_path):
    trained(replace(CONFIG, episodes=72, keep_every=1), tmp_path / "run")
    assert sorted(path.stem for path in (tmp_path / "run").glob("episode-*"))[-1] == "episode-000072"


def test_checkpoints_as_often_as_asked(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(MemoryRun, "save", lambda self, arrays, state, **flags: saved.append(state["episode"]))
    trained(replace(CONFIG, log_every=96, checkpoint_every=24))
    assert saved == [24, 48, 72, 96]


def test_what_is_no_number_of_batches_is_refused():
    for name in ("log_every", "checkpoint_every"):
        with pytest.raises(UserError, match=f"`{name}` is 12; it must be a multiple of `batch=8`"):
            replace(CONFIG, **{name: 12})
        with pytest.raises(UserError, match=f"`{name}` is -8; it must be from 0"):
            replace(CONFIG, **{name: -8})
    with pytest.raises(UserError, match="`keep_every` is 12; it must be a multiple of `batch=8`"):
        replace(CONFIG, keep_every=12)
    with pytest.raises(UserError, match="`log_every=8` makes 100,000 rows of metrics in `episodes=800000`; "):
        replace(CONFIG, log_every=8, episodes=800_000)


def test_an_older_run_is_read_with_defaults():
    old = {name: value for name, value in recorded(CONFIG).items() if name not in ("log_every", "checkpoint_every")}
    assert config_from(Config, json.loads(json.dumps(old | {"keep_every": 1})), "old") == replace(CONFIG, keep_every=1)
    assert {"log_every", "checkpoint_every", "keep_every"} < TASK.free
