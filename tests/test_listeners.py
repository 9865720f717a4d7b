"""What listens to a run: TensorBoard, Weights & Biases."""

import errno
import importlib.util
import io
import os
import sys

import pytest

from irrl import run
from irrl.errors import UserError
from irrl.listeners import Listener, TensorBoardListener, WandbListener
from irrl.run import MemoryRun
from upward_runs import CONFIG, open_run


@pytest.fixture(autouse=True)
def _short_environment(request, monkeypatch):
    if "environment" not in request.node.name:
        monkeypatch.setattr(run, "environment", lambda: {"started": "now"})


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


class FakeWandb:
    """As much of the package as a training needs; `init` fails while `mode` is one of `failing`."""

    Settings = dict

    def __init__(self, logged_in=False, failing=(), broken=False):
        self.calls, self.rows, self._logged_in, self._failing, self._broken = [], [], logged_in, failing, broken

    def login(self, **_):
        return self._logged_in

    def init(self, **options):
        self.calls.append(options)
        if options["mode"] in self._failing:
            raise RuntimeError("Failed to get resume status:\ncontext deadline exceeded.")
        return self

    def teardown(self):
        self.calls.append("teardown")

    def log(self, row, step):
        if self._broken:
            raise BrokenPipeError(32, "Broken pipe")
        self.rows.append((step, row["loss"]))

    def finish(self):
        self.rows.append("finished")


def use(monkeypatch, fake, variable=None):
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    return fake


@pytest.mark.parametrize(
    ("variable", "logged_in", "mode"), [(None, False, "offline"), (None, True, None), ("online", False, None)]
)
def test_wandb_goes_on_in_the_same_run_and_is_offline_unless_logged_in(
    tmp_path, monkeypatch, variable, logged_in, mode
):
    fake = use(monkeypatch, FakeWandb(logged_in), variable)
    for step in (1, 2):
        listener = WandbListener(tmp_path, CONFIG)
        listener.log({"step": step, "epoch": 0, "loss": 0.5})
        listener.close()
    assert fake.rows == [(1, 0.5), "finished", (2, 0.5), "finished"]
    assert fake.calls[0] == fake.calls[1]
    assert len(fake.calls[0].pop("id")) == 8
    assert fake.calls[0].pop("settings") == {"init_timeout": 20, "login_timeout": 20, "finish_timeout": 20}
    assert fake.calls[0] == {
        "project": "irrl",
        "dir": str(tmp_path),
        "resume": "allow",
        "config": CONFIG,
        "mode": mode,
    }


def test_without_a_network_wandb_keeps_the_run_offline(tmp_path, monkeypatch, capsys):
    fake = use(monkeypatch, FakeWandb(logged_in=True, failing=(None,)))
    with MemoryRun() as one:
        one.listeners.append(WandbListener(tmp_path, CONFIG))
        one.log({"step": 1, "epoch": 0, "loss": 0.5})
    online, ended, offline = fake.calls
    assert (online.pop("mode"), ended, offline.pop("mode")) == (None, "teardown", "offline")
    assert online == offline
    assert fake.rows == [(1, 0.5), "finished"]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "resume status: context deadline exceeded; the run is kept offline" in said


@pytest.mark.parametrize("fake", [FakeWandb(failing=(None, "offline")), FakeWandb(broken=True)])
def test_a_training_goes_on_without_a_logger_that_fails(tmp_path, monkeypatch, capsys, fake):
    use(monkeypatch, fake)
    recorder = Recorder()
    with MemoryRun() as one:
        one.listeners += [WandbListener(tmp_path, CONFIG), recorder]
        for step in (1, 2):
            one.log({"step": step, "epoch": 0, "loss": 0.5})
    assert [row["step"] for row in recorder.heard[:2]] == [1, 2]
    assert fake.rows == []
    assert capsys.readouterr().err.count("training goes on without it\n") == 1


class FullDisk(io.BytesIO):
    """A file on a disk that fills up: what it is given stays in memory until it is flushed."""

    def flush(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.skipif(importlib.util.find_spec("tensorboardX") is None, reason="needs the extra tensorboard")
@pytest.mark.parametrize("trouble", ["full disk", "no folder"])
def test_tensorboard_that_cannot_write_stops_no_training(tmp_path, monkeypatch, capsys, trouble):
    import tensorboardX.record_writer

    if trouble == "full disk":
        monkeypatch.setattr(tensorboardX.record_writer, "open_file", lambda path: FullDisk())
    else:
        (tmp_path / "tensorboard").touch()
    with MemoryRun() as one:
        one.listeners.append(TensorBoardListener(tmp_path))
        for step in range(20):  # more than the package's own queue has room for
            one.log({"step": step, "epoch": 0, "loss": 0.5})
    assert len(one.history) == 20
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "TensorBoard" in said and ("No space left" in said or "File exists" in said)
