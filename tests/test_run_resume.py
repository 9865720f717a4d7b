"""Which runs a folder lets go on, and which it refuses."""

import json
import subprocess
import sys

import pytest

from irrl import checkpoint, run
from irrl.checkpoint import load
from irrl.errors import UserError
from upward_runs import CONFIG, contents, damage, metrics_steps, open_run, restored_step, start_and_train


@pytest.fixture(autouse=True)
def _short_environment(request, monkeypatch):
    if "environment" not in request.node.name:
        monkeypatch.setattr(run, "environment", lambda: {"started": "now"})


def test_another_config_is_refused_with_every_difference_and_nothing_is_touched(tmp_path):
    start_and_train(tmp_path, 10)
    before = contents(tmp_path)
    changed = {"reward": "log", "epochs": 99, "patch": [4, 4], "seed": 1}
    with pytest.raises(UserError) as caught:
        open_run(tmp_path, changed, task="skills")
    message = str(caught.value)
    assert "task: digits -> skills, reward: clipped-linear -> log, seed: (absent) -> 1" in message
    assert "epochs" not in message
    assert "patch" not in message
    assert contents(tmp_path) == before
    open_run(tmp_path).close()


def test_a_setting_newer_than_the_run_counts_as_its_default(tmp_path):
    start_and_train(tmp_path, 10)
    with pytest.raises(UserError, match=r"model: ram -> dt-ram"):
        open_run(tmp_path, {**CONFIG, "model": "dt-ram"}, defaults={"model": "ram"})
    assert restored_step(tmp_path, config={**CONFIG, "model": "ram"}, defaults={"model": "ram"}) == (10, 10)
    assert json.loads((tmp_path / "config.json").read_text())["config"]["model"] == "ram"


def test_free_fields_may_change_and_are_recorded(tmp_path):
    start_and_train(tmp_path, 10)
    assert restored_step(tmp_path, config={**CONFIG, "epochs": 99, "patch": (4, 4)}) == (10, 10)
    assert json.loads((tmp_path / "config.json").read_text())["config"]["epochs"] == 99


def test_never_refuses_a_folder_that_holds_a_run(tmp_path):
    start_and_train(tmp_path, 10)
    before = contents(tmp_path)
    with pytest.raises(UserError, match="already holds a run"):
        open_run(tmp_path, resume="never")
    assert contents(tmp_path) == before


def test_a_start_that_failed_before_its_first_checkpoint_can_be_corrected(tmp_path):
    open_run(tmp_path, {**CONFIG, "reward": "misspelt"}).close()
    assert restored_step(tmp_path) is None
    assert json.loads((tmp_path / "config.json").read_text())["config"]["reward"] == CONFIG["reward"]


def test_resume_from_a_path_into_a_new_folder(tmp_path):
    start_and_train(tmp_path / "old", 35, keep_every=10)
    path = tmp_path / "old" / "epoch-000002.safetensors"
    before = contents(tmp_path / "old")
    with open_run(tmp_path / "new", {**CONFIG, "epochs": 50}, resume=str(path)) as disk_run:
        assert disk_run.restore().state["step"] == 20
        assert len(disk_run.history) == 20
    assert metrics_steps(tmp_path / "new") == list(range(1, 21))
    assert restored_step(tmp_path / "new") == (20, 20)
    assert load(tmp_path / "new" / "last.safetensors").state["config"]["epochs"] == 50 != CONFIG["epochs"]
    assert contents(tmp_path / "old") == before


@pytest.mark.parametrize("name", ["epoch-000001", "best", "previous", "last"])
def test_resume_from_a_path_never_discards_what_a_folder_holds(tmp_path, name):
    start_and_train(tmp_path, 45, keep_every=10)
    before = contents(tmp_path)
    with pytest.raises(UserError, match="leave out `resume`"):
        open_run(tmp_path, resume=str(tmp_path / f"{name}.safetensors"))
    assert contents(tmp_path) == before


def test_resume_from_a_run_folder_takes_its_last_checkpoint_and_its_best(tmp_path):
    start_and_train(tmp_path / "old", 45, keep_every=10)
    with open_run(tmp_path / "new", resume=str(tmp_path / "old")) as disk_run:
        assert disk_run.restore() == load(tmp_path / "old" / "last.safetensors")
    assert (tmp_path / "new" / "best.safetensors").read_bytes() == (tmp_path / "old" / "best.safetensors").read_bytes()


def test_a_later_best_is_not_taken_over(tmp_path):
    start_and_train(tmp_path / "old", 45, keep_every=10)
    early = tmp_path / "old" / "epoch-000001.safetensors"
    assert load(tmp_path / "old" / "best.safetensors").state["step"] > load(early).state["step"]
    with open_run(tmp_path / "new", resume=str(early)) as disk_run:
        disk_run.restore()
    assert not (tmp_path / "new" / "best.safetensors").exists()


def test_resume_from_a_bad_path_touches_nothing(tmp_path):
    start_and_train(tmp_path / "old", 10)
    last = tmp_path / "old" / "last.safetensors"
    checkpoint.save(tmp_path / "loose", {}, {"step": 1})
    cases = [
        (tmp_path / "absent", CONFIG, "No such file"),
        (tmp_path / "loose", CONFIG, "not the checkpoint of a run"),
        (last, {**CONFIG, "reward": "log"}, "reward: clipped-linear -> log"),
    ]
    for path, config, message in cases:
        with pytest.raises(UserError, match=message):
            open_run(tmp_path / "new", config, resume=str(path))
    damage(last)
    with pytest.raises(UserError, match="damaged"):
        open_run(tmp_path / "new", resume=str(last))
    assert not (tmp_path / "new").exists()


def test_folders_that_cannot_hold_a_run(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="cannot write in this folder") as caught:
            open_run(folder)
        assert str(folder) in str(caught.value)
    (tmp_path / "lone").mkdir()
    checkpoint.save(tmp_path / "lone" / "last.safetensors", {}, {})
    with pytest.raises(UserError, match=r"config\.json: missing"):
        open_run(tmp_path / "lone")
    for content in ("{", "[]", '{"model": 1}'):
        (tmp_path / "lone" / "config.json").write_text(content)
        with pytest.raises(UserError, match=r"config\.json: missing, damaged, or not of a run"):
            open_run(tmp_path / "lone")


def test_only_one_training_in_a_folder(tmp_path):
    with open_run(tmp_path):
        before = contents(tmp_path)
        with pytest.raises(UserError, match="another training is running"):
            open_run(tmp_path)
        assert contents(tmp_path) == before
    open_run(tmp_path).close()


def test_the_lock_is_free_after_kill_9(tmp_path):
    script = f"""
import time
from pathlib import Path
from irrl import run
run.environment = dict
opened = run.DiskRun.open(Path({str(tmp_path)!r}), run.Plan("digits", {CONFIG!r}))
print("open", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(UserError, match="another training"):
            open_run(tmp_path)
        process.kill()
    open_run(tmp_path).close()
