"""What listens to a run: TensorBoard, Weights & Biases."""

import importlib.util
import sys
import types

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
