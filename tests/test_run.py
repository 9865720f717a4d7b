"""The run folder: what it keeps, and what a crash cannot take."""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from irrl import run
from irrl.checkpoint import load
from irrl.errors import UserError
from irrl.run import MemoryRun
from upward_runs import CONFIG, contents, damage, metrics_steps, open_run, restored_step, start_and_train, train


@pytest.fixture(autouse=True)
def _short_environment(request, monkeypatch):
    if "environment" not in request.node.name:
        monkeypatch.setattr(run, "environment", lambda: {"started": "now"})


def test_memory_run_keeps_history_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with MemoryRun() as memory_run:
        assert train(memory_run, 20) is None
    assert [row["step"] for row in memory_run.history] == list(range(1, 21))
    assert os.listdir(tmp_path) == []


def test_rows_hold_plain_numbers():
    memory_run = MemoryRun()
    memory_run.log({"step": 1, "epoch": 0, "loss": np.float32(0.5), "n": np.int64(3)})
    assert memory_run.history == [{"step": 1, "epoch": 0, "loss": 0.5, "n": 3}]
    assert type(memory_run.history[0]["loss"]) is float


def test_a_run_leaves_the_documented_files(tmp_path):
    folder = tmp_path / "deep" / "run"
    start_and_train(folder, 35, keep_every=10)
    epochs = [f"epoch-00000{epoch}.safetensors" for epoch in (1, 2, 3)]
    checkpoints = ["best.safetensors", "last.safetensors", "previous.safetensors", *epochs]
    assert set(contents(folder)) == {".lock", "config.json", "environment.json", "metrics.jsonl", *checkpoints}
    steps = {name: load(folder / name).state["step"] for name in checkpoints}
    assert list(steps.values()) == [20, 30, 20, 10, 20, 30]
    assert json.loads((folder / "config.json").read_text()) == {"task": "digits", "config": CONFIG}
    assert load(folder / "last.safetensors").state == {"step": 30, "epoch": 3, "task": "digits", "config": CONFIG}
    assert metrics_steps(folder) == list(range(1, 36))


def test_resume_goes_on_from_last_and_cuts_the_metrics_back(tmp_path):
    start_and_train(tmp_path, 25)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 26, "epo')
    with open_run(tmp_path) as disk_run:
        found = disk_run.restore()
        assert (found.state["step"], found.arrays["x"]) == (20, 20)
        assert [row["step"] for row in disk_run.history] == list(range(1, 21))
        assert disk_run.history[3] == {"step": 4, "epoch": 0, "loss": 0.25}
        assert metrics_steps(tmp_path) == list(range(1, 21))
        disk_run.log({"step": 21, "epoch": 2})
    assert metrics_steps(tmp_path) == list(range(1, 22))


def test_a_row_half_written_before_the_checkpoint_step_is_dropped(tmp_path):
    start_and_train(tmp_path, 10)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n[]\n\x00\x00\n{"step": 9}\n{"step": 1')
    assert restored_step(tmp_path) == (10, 10)
    assert metrics_steps(tmp_path) == [1, 9]


def test_a_run_killed_before_its_first_checkpoint_starts_from_scratch(tmp_path):
    start_and_train(tmp_path, 5)
    assert metrics_steps(tmp_path) == [1, 2, 3, 4, 5]
    with open_run(tmp_path) as disk_run:
        assert disk_run.restore() is None
        assert disk_run.history == []
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_resumed_run_equals_an_uninterrupted_one(tmp_path):
    start_and_train(tmp_path / "whole", 40)
    for steps in (7, 13, 29, 39, 40):
        start_and_train(tmp_path / "pieces", steps)
    whole, pieces = contents(tmp_path / "whole"), contents(tmp_path / "pieces")
    assert len(json.loads(pieces.pop("environment.json"))) == 5
    assert len(json.loads(whole.pop("environment.json"))) == 1
    assert pieces == whole


@pytest.mark.parametrize(
    ("damaged", "used", "step"),
    [
        (["last"], "previous", 30),
        (["last", "previous"], "best", 20),
        (["last", "previous", "best"], "epoch-000001", 10),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path, capsys, damaged, used, step):
    start_and_train(tmp_path, 10, keep_every=10)
    start_and_train(tmp_path, 45)
    for name in damaged:
        damage(tmp_path / f"{name}.safetensors")
    assert restored_step(tmp_path) == (step, step)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(damaged)
    for line, name in zip(lines, damaged, strict=True):
        assert f"{name}.safetensors" in line
        assert "damaged" in line
        assert f"going on from {used}.safetensors" in line
    assert metrics_steps(tmp_path) == list(range(1, step + 1))


def test_the_newest_of_the_kept_checkpoints_is_used(tmp_path):
    start_and_train(tmp_path, 40, keep_every=10)
    (tmp_path / "last.safetensors").unlink()
    (tmp_path / "previous.safetensors").unlink()
    assert restored_step(tmp_path) == (40, 40)


def test_no_good_checkpoint_is_an_error(tmp_path):
    start_and_train(tmp_path, 10)
    damage(tmp_path / "last.safetensors")
    with open_run(tmp_path) as disk_run, pytest.raises(UserError, match="no checkpoint here is good") as caught:
        disk_run.restore()
    assert "last.safetensors" in str(caught.value)
    assert metrics_steps(tmp_path) == list(range(1, 11))


def test_another_runs_checkpoint_in_the_folder_is_passed_over(tmp_path, capsys):
    start_and_train(tmp_path / "a", 20)
    with open_run(tmp_path / "b", {**CONFIG, "reward": "log"}) as other:
        train(other, 40)
    (tmp_path / "b" / "last.safetensors").rename(tmp_path / "a" / "last.safetensors")
    assert restored_step(tmp_path / "a") == (10, 10)
    assert "reward: log -> clipped-linear" in capsys.readouterr().err


def test_a_damaged_last_never_pushes_out_a_good_previous(tmp_path, monkeypatch, capsys):
    start_and_train(tmp_path, 20)
    damage(tmp_path / "last.safetensors")
    with open_run(tmp_path) as disk_run:
        disk_run.restore()

        replace = os.replace

        def full(source, target):
            if target.name == "last.safetensors":
                raise OSError(errno.ENOSPC, "No space left on device")
            replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full)
            with pytest.raises(OSError, match="No space"):
                disk_run.save({"x": np.array(20)}, {"step": 20, "epoch": 2}, best=False, keep=False)
    assert restored_step(tmp_path) == (10, 10)


def test_last_is_there_at_every_moment_of_a_save(tmp_path, monkeypatch):
    with open_run(tmp_path) as disk_run:
        train(disk_run, 20)
        seen = []
        for name in ("link", "replace", "fsync"):
            original = getattr(os, name)

            def watched(*arguments, original=original):
                seen.append(load(tmp_path / "last.safetensors").state["step"])
                original(*arguments)
                seen.append(load(tmp_path / "last.safetensors").state["step"])

            monkeypatch.setattr(os, name, watched)
        disk_run.save({"x": np.array(30)}, {"step": 30, "epoch": 3}, best=True, keep=True)
    assert seen == sorted(seen)
    assert set(seen) == {20, 30}


def test_what_a_save_does_in_which_order(tmp_path, monkeypatch):
    """Metrics are on the disk before the checkpoint, best and kept come before last, all are one file on the disk."""
    with open_run(tmp_path) as disk_run:
        disk_run.log({"step": 1, "epoch": 0})
        done = []
        fsync, replace = os.fsync, os.replace

        def watched_fsync(descriptor):
            done.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
            fsync(descriptor)

        def watched_replace(source, target):
            done.append(Path(target).name)
            replace(source, target)

        sync = run.sync
        monkeypatch.setattr(run, "sync", lambda path: (done.append(path.name), sync(path)))
        monkeypatch.setattr(os, "fsync", watched_fsync)
        monkeypatch.setattr(os, "replace", watched_replace)
        disk_run.save({}, {"step": 30, "epoch": 3}, best=True, keep=True)
    names = ["best.safetensors", "epoch-000003.safetensors", "last.safetensors"]
    assert done == ["metrics.jsonl", "sync file", "sync file", *names, tmp_path.name, "sync folder"]


def test_without_hard_links_previous_is_a_copy(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    start_and_train(tmp_path, 20)
    assert load(tmp_path / "previous.safetensors").state["step"] == 10


@pytest.mark.parametrize("call", ["fsync", "replace", "link"])
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch, call):
    with open_run(tmp_path) as disk_run:
        train(disk_run, 20)
        with monkeypatch.context() as patch:

            def full(*_):
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(os, call, full)
            patch.setattr(shutil, "copyfile", full)
            with pytest.raises(OSError, match="No space"):
                disk_run.save({"x": np.array(30)}, {"step": 30, "epoch": 3}, best=True, keep=True)
    assert not list(tmp_path.glob(".*tmp"))
    assert restored_step(tmp_path) == (20, 20)


def test_stale_temporary_files_are_removed_but_no_others(tmp_path):
    start_and_train(tmp_path, 10)
    (tmp_path / ".last.safetensors.0badcafe.irrl-tmp").write_bytes(b"half")
    (tmp_path / ".notes.tmp").write_bytes(b"mine")
    open_run(tmp_path).close()
    assert ".last.safetensors.0badcafe.irrl-tmp" not in contents(tmp_path)
    assert contents(tmp_path)[".notes.tmp"] == b"mine"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_to_stop_and_a_second_interrupt_raises(number):
    old = signal.getsignal(number)
    memory_run = MemoryRun()
    with memory_run.interruptible():
        assert not memory_run.stop_requested
        signal.raise_signal(number)
        assert memory_run.stop_requested
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(number) is old


def test_handlers_come_back_after_an_error():
    old = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), MemoryRun().interruptible():
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGINT) is old


def test_interruptible_does_nothing_in_another_thread():
    seen = []

    def work():
        with MemoryRun().interruptible():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_environment_describes_the_machine_once_a_start(tmp_path):
    for _ in range(2):
        open_run(tmp_path).close()
    first, second = json.loads((tmp_path / "environment.json").read_text())
    assert first["versions"]["numpy"] == np.__version__
    assert first["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert first["cores"] == os.cpu_count()
    assert first["memory_bytes"] > 2**28
    assert first["devices"]
    assert first["cpu"]
    assert first["command"] == sys.argv
    assert second["started"] >= first["started"]


def test_importing_the_module_does_not_import_jax():
    script = "import sys, irrl.run; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path):
    script = f"""
import sys
from pathlib import Path
import numpy as np
from irrl import run
run.environment = dict
with run.DiskRun.open(Path({str(tmp_path / "killed")!r}), run.Plan("digits", {CONFIG!r})) as disk_run:
    found = disk_run.restore()
    for step in range(found.state["step"] + 1 if found else 1, 401):
        disk_run.log({{"step": step, "epoch": step // 10, "loss": 1 / step}})
        if step % 10 == 0:
            disk_run.save({{"x": np.array(step)}}, {{"step": step, "epoch": step // 10}}, best=step == 20, keep=False)
        print(step, flush=True)
"""
    deaths = 0
    for lines in (3, 57, 110, 1000):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
            for _ in range(lines):
                if not process.stdout.readline():
                    break
            time.sleep(0.001)
            process.kill()
        deaths += process.returncode == -signal.SIGKILL
    assert deaths == 3
    start_and_train(tmp_path / "whole", 400, keep_every=1000)
    whole, killed = contents(tmp_path / "whole"), contents(tmp_path / "killed")
    for name in ("metrics.jsonl", "last.safetensors", "previous.safetensors", "best.safetensors"):
        assert killed[name] == whole[name]
