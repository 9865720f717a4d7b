import errno
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest

from irrl import checkpoint, run
from irrl.checkpoint import load
from irrl.errors import UserError
from irrl.listeners import Listener, TensorBoardListener, WandbListener
from irrl.run import DiskRun, MemoryRun

CONFIG = {"reward": "clipped-linear", "epochs": 10, "patch": [4, 4]}
FREE = frozenset({"epochs"})


@pytest.fixture(autouse=True)
def _short_environment(request, monkeypatch):
    if "environment" not in request.node.name:
        monkeypatch.setattr(run, "environment", lambda: {"started": "now"})


def open_run(folder, config=CONFIG, task="digits", **options):
    return DiskRun.open(folder, task, config, free=FREE, **options)


def train(disk_run, steps, *, keep_every=100):
    """Count upwards: the array equals the step, a row a step, a checkpoint every ten steps."""
    found = disk_run.restore()
    start = found.state["step"] if found else 0
    for step in range(start + 1, steps + 1):
        disk_run.log({"step": step, "epoch": step // 10, "loss": 1 / step})
        if step % 10 == 0:
            state = {"step": step, "epoch": step // 10}
            disk_run.save({"x": np.array(step)}, state, best=step == 20, keep=step % keep_every == 0)
    return found


def start_and_train(folder, steps, **options):
    with open_run(folder) as disk_run:
        train(disk_run, steps, **options)


def metrics_steps(folder):
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def restored_step(folder, **options):
    with open_run(folder, **options) as disk_run:
        found = disk_run.restore()
        return found and (found.state["step"], int(found.arrays["x"]))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


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


def test_best_and_kept_are_written_before_last(tmp_path, monkeypatch):
    with open_run(tmp_path) as disk_run:
        targets = []
        monkeypatch.setattr(run, "replace_file", lambda path, content: targets.append(path.name))
        disk_run.save({}, {"step": 30, "epoch": 3}, best=True, keep=True)
    assert targets == ["best.safetensors", "epoch-000003.safetensors", "last.safetensors"]


def test_metrics_are_on_the_disk_before_the_checkpoint(tmp_path, monkeypatch):
    with open_run(tmp_path) as disk_run:
        disk_run.log({"step": 1, "epoch": 0})
        done = []
        monkeypatch.setattr(run, "sync", lambda path: done.append(path.name))
        monkeypatch.setattr(run, "replace_file", lambda path, content: done.append(path.name))
        disk_run.save({}, {"step": 1, "epoch": 0}, best=False, keep=False)
    assert done == ["metrics.jsonl", "last.safetensors"]


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
            patch.setattr(checkpoint.shutil, "copyfile", full)
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
    with pytest.raises(UserError, match="leave out --resume"):
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
    checkpoint.save(tmp_path / "lone" / "model.safetensors", {}, {})
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
opened = run.DiskRun.open(Path({str(tmp_path)!r}), "digits", {CONFIG!r})
print("open", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(UserError, match="another training"):
            open_run(tmp_path)
        process.kill()
    open_run(tmp_path).close()


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


class Recorder(Listener):
    def __init__(self):
        self.heard = []

    def log(self, row):
        self.heard.append(row)

    def progress(self, step, steps):
        self.heard.append((step, steps))

    def close(self):
        self.heard.append("close")


def test_listeners_hear_rows_progress_and_the_end(tmp_path):
    for one in (MemoryRun(), open_run(tmp_path)):
        recorder = Recorder()
        one.listeners.append(recorder)
        with one:
            one.log({"step": 1, "epoch": 0})
            one.progress(1, 5)
        assert recorder.heard == [{"step": 1, "epoch": 0}, (1, 5), "close"]


@pytest.mark.parametrize("listener", [TensorBoardListener, lambda path: WandbListener(path, {})])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, listener):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"pip install 'irrl\[(tensorboard|wandb)\]'"):
        listener(tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("tensorboardX") is None, reason="needs the extra tensorboard")
def test_tensorboard_hides_what_a_killed_training_wrote(tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    for step in (1, 5):
        listener = TensorBoardListener(tmp_path)
        listener.log({"step": step, "epoch": 0, "loss": 0.5, "note": "text"})
        listener.log({"step": step + 1, "epoch": 0, "loss": 0.25, "note": "text"})
        listener.close()
    scalars, purged = set(), set()
    for path in (tmp_path / "tensorboard").iterdir():
        content = path.read_bytes()
        while content:  # a record: length, its CRC, the event, its CRC
            end = 12 + int.from_bytes(content[:8], "little")
            event, content = Event.FromString(content[12:end]), content[end + 4 :]
            scalars |= {(value.tag, event.step, value.simple_value) for value in event.summary.value}
            purged |= {event.step} if event.HasField("session_log") else set()
    assert {value for value in scalars if value[0] != "epoch"} == {
        ("loss", 1, 0.5),
        ("loss", 2, 0.25),
        ("loss", 5, 0.5),
        ("loss", 6, 0.25),
    }
    assert purged == {1, 5}


@pytest.mark.parametrize(
    ("variable", "logged_in", "mode"), [(None, False, "offline"), (None, True, None), ("online", False, None)]
)
def test_wandb_goes_on_in_the_same_run_and_is_offline_unless_logged_in(
    tmp_path, monkeypatch, variable, logged_in, mode
):
    calls, rows = [], []

    class FakeRun:
        def log(self, row, step):
            rows.append((step, row["loss"]))

        def finish(self):
            rows.append("finished")

    def init(**options):
        calls.append(options)
        return FakeRun()

    fake = types.SimpleNamespace(init=init, login=lambda **_: logged_in)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    for step in (1, 2):
        listener = WandbListener(tmp_path, CONFIG)
        listener.log({"step": step, "epoch": 0, "loss": 0.5})
        listener.close()
    assert rows == [(1, 0.5), "finished", (2, 0.5), "finished"]
    assert calls[0] == calls[1]
    assert len(calls[0].pop("id")) == 8
    assert calls[0] == {
        "project": "irrl",
        "dir": str(tmp_path),
        "resume": "allow",
        "config": CONFIG,
        "mode": mode,
    }


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


def test_environment_names_the_commit_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert run.environment()["git_commit"] is None
    commit = "git init -q . && touch a && git add a && git -c user.name=n -c user.email=e commit -qm m"
    subprocess.run(commit, shell=True, check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    assert run.environment()["git_commit"] == head
    (tmp_path / "a").write_text("changed")
    assert run.environment()["git_commit"] == head + "-dirty"


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
with run.DiskRun.open(Path({str(tmp_path / "killed")!r}), "digits", {CONFIG!r}) as disk_run:
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
