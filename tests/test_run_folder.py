"""A run's folder when things stand there that should not, or lack that should."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import irrl
from irrl import checkpoint, run
from irrl.errors import UserError
from irrl.locks import lock_folder
from irrl.run import DiskRun, Plan, progress_of
from irrl.run_folder import kept_checkpoints, read_rows
from tiny import SETTINGS
from upward_runs import CONFIG, contents, damage, metrics_steps, open_run, restored_step, start_and_train


@pytest.fixture(autouse=True)
def _short_environment(monkeypatch):
    monkeypatch.setattr(run, "environment", lambda: {"started": "now"})


@pytest.mark.parametrize("resume", ["auto", "never", "path"])
def test_metrics_without_a_checkpoint_are_never_erased(tmp_path, resume):
    start_and_train(tmp_path / "run", 25)
    start_and_train(tmp_path / "other", 10)
    for path in (tmp_path / "run").glob("*.safetensors"):
        path.unlink()
    before = contents(tmp_path / "run")
    resume = str(tmp_path / "other") if resume == "path" else resume
    with pytest.raises(UserError, match=r"holds the metrics of a run, but no checkpoint.*move metrics\.jsonl away"):
        open_run(tmp_path / "run", resume=resume)
    with pytest.raises(UserError, match="holds the metrics of a run"):
        progress_of(tmp_path / "run", Plan("digits", CONFIG), resume=resume)
    assert contents(tmp_path / "run") == before
    (tmp_path / "run" / "metrics.jsonl").rename(tmp_path / "moved.jsonl")
    start_and_train(tmp_path / "run", 10)
    assert metrics_steps(tmp_path / "run") == list(range(1, 11))


def test_killed_before_its_first_checkpoint_a_training_starts_again(tmp_path):
    with open_run(tmp_path) as disk_run:
        assert disk_run.restore() is None
        for step in (1, 2, 3):
            disk_run.log({"step": step, "epoch": 0})
    start_and_train(tmp_path, 10)
    assert metrics_steps(tmp_path) == list(range(1, 11))


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path):
    start_and_train(tmp_path, 10)
    (tmp_path / ".last.safetensors.0a.irrl-tmp").write_bytes(b"half")
    killed = tmp_path / ".imported.0b.irrl-tmp"
    start_and_train(killed, 10)
    busy = tmp_path / ".imported.0c.irrl-tmp"
    with lock_folder(busy):  # an import that is still at work
        assert restored_step(tmp_path) == (10, 10)
        assert busy.exists()
    assert not killed.exists()
    assert restored_step(tmp_path) == (10, 10)
    assert not list(tmp_path.glob(".*.irrl-tmp"))


@pytest.mark.parametrize("name", ["last", "previous", "best"])
def test_a_folder_in_the_place_of_a_checkpoint_is_put_aside(tmp_path, capsys, name):
    start_and_train(tmp_path, 30)
    path = tmp_path / f"{name}.safetensors"
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("kept")
    start_and_train(tmp_path, 40)
    assert restored_step(tmp_path) == (40, 40)
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{name}.safetensors: a folder, where a checkpoint belongs" in error
    assert [each.read_text() for each in tmp_path.glob("*.aside/mine.txt")] == ["kept"]


@pytest.mark.parametrize("odd", [None, "3", [3], {"a": 1}, True, -1, 1.5, 2**53])
def test_odd_rows_are_passed_over_with_one_line(tmp_path, capsys, odd):
    start_and_train(tmp_path, 20)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": odd, "epoch": 1}) + "\n" + json.dumps({"step": 5, "loss": [odd]}) + "\n")
        file.write("[" * 100_000 + "\n" + '{"step": ' + "9" * 5000 + "}\n")
    assert restored_step(tmp_path) == (20, 20)
    assert "passed over 4 of 24 lines that are no rows of metrics" in (error := capsys.readouterr().err)
    assert error.count("\n") == 1
    assert metrics_steps(tmp_path) == list(range(1, 21))


@pytest.mark.parametrize("name", ["metrics.jsonl", ".lock", "last.safetensors", "config.json"])
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path, name):
    start_and_train(tmp_path, 20)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from irrl import run
from irrl.errors import UserError
from upward_runs import restored_step
run.environment = dict
try:
    print(restored_step(Path({str(tmp_path)!r})))
except UserError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    wanted = {"last.safetensors": "(10, 10)", "config.json": "missing, damaged"}
    assert wanted.get(name, "not an ordinary file but a pipe") in said.stdout


def test_names_that_only_look_like_kept_checkpoints(tmp_path):
    for name in ("epoch-²", "epoch-000002", "epoch--3", "epoch-4.5", "epoch-" + "9" * 100, "epoch-"):
        (tmp_path / f"{name}.safetensors").touch()
    assert list(kept_checkpoints(tmp_path, "epoch")) == [2]


def test_progress_is_read_from_the_header_alone(tmp_path):
    start_and_train(tmp_path, 30)
    damage(tmp_path / "last.safetensors")
    assert progress_of(tmp_path, Plan("digits", CONFIG)) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("step", -1), ("step", None), ("epoch", "3"), ("best", "high"), ("best", float("nan")), ("best", float("inf"))],
)
def test_a_checkpoint_that_cannot_say_how_far_it_is_is_passed_over(tmp_path, capsys, name, value):
    start_and_train(tmp_path, 20)
    saved = checkpoint.load(tmp_path / "last.safetensors")
    checkpoint.save(tmp_path / "last.safetensors", saved.arrays, saved.state | {name: value})
    assert restored_step(tmp_path) == (10, 10)
    assert "going on from previous.safetensors instead" in capsys.readouterr().err


def test_another_number_of_threads_is_said(tmp_path, capsys):
    for threads, lines in ((2, 0), (2, 0), (1, 1), (None, 1), (None, 0)):
        with DiskRun(tmp_path, Plan("digits", CONFIG)) as disk_run:
            disk_run.threads = threads
            disk_run.restore()
        assert capsys.readouterr().err.count("threads to a batch") == lines
    starts = json.loads((tmp_path / "environment.json").read_text())
    assert [start["threads"] for start in starts] == [2, 2, 1, None, None]


def test_a_damaged_best_does_not_hide_a_good_last(tmp_path, capsys):
    from irrl.digits.config import Config
    from irrl.digits.networks import initial_params
    from irrl.keys import key

    config = Config(**SETTINGS)
    params = {
        f"params.{name}": each for name, each in checkpoint.flatten(initial_params(config, key=key(1, "split"))).items()
    }
    state = {"task": "digits", "config": SETTINGS, "step": 1, "epoch": 1}
    for name in ("best", "last", "previous"):
        checkpoint.save(tmp_path / f"{name}.safetensors", params, state)
    (tmp_path / "best.safetensors").write_bytes(b"")
    assert irrl.load(tmp_path).config == config
    assert "best.safetensors: the file is empty; last.safetensors is taken instead" in capsys.readouterr().err
    damage(tmp_path / "last.safetensors")
    assert irrl.load(tmp_path).config == config
    shutil.copy(tmp_path / "last.safetensors", tmp_path / "previous.safetensors")
    with pytest.raises(UserError, match=r"previous\.safetensors: damaged"):
        irrl.load(tmp_path)


def test_rows_of_a_large_file_are_refused_before_they_are_read(tmp_path):
    with (tmp_path / "metrics.jsonl").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="bytes; at most"):
        read_rows(tmp_path / "metrics.jsonl")


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64])
def test_numbers_of_numpy_are_rows_like_any(tmp_path, dtype):
    with open_run(tmp_path) as disk_run:
        disk_run.log({"step": 1, "epoch": 1, "loss": dtype(3)})
    assert read_rows(tmp_path / "metrics.jsonl") == [{"step": 1, "epoch": 1, "loss": 3}]


@pytest.mark.parametrize("link", [True, False])
def test_metrics_outlive_checkpoints_that_cannot_be_read(tmp_path, link):
    """As git-annex leaves a folder: links that lead nowhere. Or they have names that are none of ours."""
    start_and_train(tmp_path, 30)
    paths = list(tmp_path.glob("*.safetensors"))
    for path in paths:
        path.unlink()
        if link:
            path.symlink_to("/nowhere/annex")
    (tmp_path / "final.safetensors").write_bytes(b"renamed")
    before = contents(tmp_path)
    with (
        pytest.raises(UserError, match="no checkpoint here is good" if link else "holds the metrics of a run"),
        open_run(tmp_path) as disk_run,
    ):
        disk_run.restore()
    assert metrics_steps(tmp_path) == list(range(1, 31))
    assert set(before) <= set(contents(tmp_path))


def test_last_and_previous_may_be_one_file(tmp_path):
    """Killed between two renames a training leaves that; a rename onto the same file does nothing."""
    start_and_train(tmp_path, 30)
    (tmp_path / "previous.safetensors").unlink()
    os.link(tmp_path / "last.safetensors", tmp_path / "previous.safetensors")
    start_and_train(tmp_path, 60)
    assert not list(tmp_path.glob(".*.irrl-tmp"))


def test_a_damaged_list_of_starts_is_kept_aside(tmp_path, capsys):
    start_and_train(tmp_path, 10)
    (tmp_path / "environment.json").write_text('[{"started": "lo')
    start_and_train(tmp_path, 20)
    assert "environment.json: damaged; it is now environment.json." in capsys.readouterr().err
    assert [each.read_text() for each in tmp_path.glob("environment.json.*.aside")] == ['[{"started": "lo']


def test_a_start_from_another_run_that_was_killed_can_be_made_again(tmp_path):
    start_and_train(tmp_path / "other", 30)
    open_run(tmp_path / "run", resume=str(tmp_path / "other")).close()
    shutil.copy(tmp_path / "other" / "best.safetensors", tmp_path / "run")
    with open_run(tmp_path / "run", resume=str(tmp_path / "other")) as disk_run:
        assert disk_run.restore().state["step"] == 30


def test_a_lock_is_not_made_through_a_link(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="cannot write in this folder"):
        open_run(tmp_path / "run")
    assert not (tmp_path / "elsewhere").exists()


def test_a_stale_folder_that_cannot_be_locked_does_not_block(tmp_path):
    (tmp_path / ".x.irrl-tmp" / ".lock").mkdir(parents=True)
    start_and_train(tmp_path, 10)


def test_metrics_of_nothing_but_lines_are_refused_at_once(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b"\n" * 1_000_000)
    with pytest.raises(UserError, match="1,000,000 lines; the metrics of a run have 200,000 at most"):
        read_rows(tmp_path / "metrics.jsonl")
