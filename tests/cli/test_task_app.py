"""The command line end to end on a tiny training."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import irrl
from command_line import rows_of, run
from irrl.checkpoint import load
from tiny import FLAGS


def test_help_is_quick_and_does_not_import_jax():
    code = "import sys; from irrl.cli import app; app(['--help'], result_action='return_value')"
    code += "; print('jax' in sys.modules)"
    began = time.perf_counter()
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "False"
    assert "digits" in output
    assert time.perf_counter() - began < 10  # a hang, not a benchmark


def test_a_run_folder_holds_what_it_should(trained):
    names = {path.name for path in trained.iterdir()}
    wanted = {"config.json", "environment.json", "metrics.jsonl", "best.safetensors", "last.safetensors"}
    assert wanted | {f"epoch-00000{epoch}.safetensors" for epoch in (0, 2, 4)} <= names
    untrained = load(trained / "epoch-000000.safetensors")
    assert untrained.state["epoch"] == untrained.state["step"] == 0
    rows = rows_of(trained)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["step"] == 4 * -(-270 // 32)
    assert all(np.isfinite(list(row.values())).all() for row in rows)


def test_test_prints_json_with_the_best_checkpoints_accuracy(trained, capsys):
    assert run("digits", "test", trained, "--split", "validation", "--seed", 1, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result == {"accuracy": result["accuracy"], "glimpses": 3.0, "n": 30, "split": "validation", "seed": 1}
    # The same canvases and the same first glimpses as in training.
    assert result["accuracy"] == max(row["validation_accuracy"] for row in rows_of(trained))


def test_test_takes_a_checkpoint_and_another_seed(trained, capsys):
    assert run("digits", "test", trained / "epoch-000002.safetensors", "--seed", 7) == 0
    assert "on 100 test canvases (seed 7), 3.00 glimpses a canvas" in capsys.readouterr().out


def test_load_gives_the_model_back(trained):
    agent = irrl.load(trained)
    canvases = np.zeros((3, 16, 16), np.uint16)
    predictions = agent.predict(canvases, seed=0)
    assert predictions.locations.shape == (3, 3, 2)
    np.testing.assert_allclose(np.exp(predictions.log_probs).sum(-1), 1, rtol=1e-5)


def test_a_packaged_agent_goes_by_its_name_unless_a_path_is_called_so(trained, tmp_path, monkeypatch, capsys):
    packaged = tmp_path / "agents"
    packaged.mkdir()
    (packaged / "quick.safetensors").write_bytes((trained / "epoch-000002.safetensors").read_bytes())
    monkeypatch.setattr("irrl.loading.AGENTS", packaged)
    monkeypatch.chdir(tmp_path)
    assert run("digits", "test", trained / "epoch-000002.safetensors") == 0
    assert run("digits", "test", "quick") == 0
    of_path, of_name = capsys.readouterr().out.splitlines()
    assert of_name == of_path
    assert run("digits", "test", "quicker") == 2
    assert "quicker: no such file or folder" in (message := capsys.readouterr().err)
    assert "packaged agent: quick" in message
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "epoch": 1, "accuracy": 1.0}\n')  # somebody else's
    assert run("digits", "draw", "quick", "--cases", 2) == 0
    drawn = {path.name for path in (tmp_path / "quick-figures").iterdir()}
    assert drawn == {"glimpses.png", "glimpses.gif", "glimpses.mp4"}
    capsys.readouterr()
    (tmp_path / "quick").mkdir()
    assert run("digits", "test", "quick") == 2
    assert "no checkpoint in this folder" in capsys.readouterr().err


def test_data_writes_a_set(tmp_path, mnist, capsys):
    out, sheet = tmp_path / "set.npz", tmp_path / "sheet.png"
    words = ["--mnist", mnist, "--train", 50, "--test", 20, "--canvas", 16, "--distractor-size", 3, "--sheet", sheet]
    assert run("digits", "data", "--out", out, *words) == 0
    with np.load(out) as arrays:
        assert {name: (arrays[name].dtype.name, arrays[name].shape) for name in arrays} == {
            "X_train": ("float32", (50, 256)),
            "y_train": ("int32", (50, 1)),
            "X_test": ("float32", (20, 256)),
            "y_test": ("int32", (20, 1)),
        }
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_a_reward_of_ones_own(tmp_path, mnist, monkeypatch):
    (tmp_path / "half_paid.py").write_text(
        "def half(log_probs, target, prior):\n    return 0 * log_probs[..., 0] + 0.5\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ["--mnist", mnist, "--epochs", 1, "--reward", "half_paid:half", "--out", tmp_path / "run"]
    assert run("digits", "train", *FLAGS, *words) == 0
    assert rows_of(tmp_path / "run")[0]["reward"] == pytest.approx(0.5)


def test_a_model_is_loaded_without_its_reward(tmp_path, mnist, monkeypatch):
    """Its module may be gone, and a foreign checkpoint must not name code to run."""
    (tmp_path / "gone.py").write_text("def half(log_probs, target, prior):\n    return 0 * log_probs[..., 0] + 0.5\n")
    monkeypatch.chdir(tmp_path)
    words = ["--mnist", mnist, "--epochs", 1, "--reward", "gone:half", "--out", tmp_path / "run"]
    assert run("digits", "train", *FLAGS, *words) == 0
    (tmp_path / "gone.py").unlink()
    monkeypatch.delitem(sys.modules, "gone")
    assert irrl.load(tmp_path / "run").config.reward == "gone:half"


def test_the_threads_flag_reaches_jax(mnist, tmp_path):
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--epochs", "1", "--threads", "3", "--out", tmp_path / "run"]
    code = f"from irrl.cli import main\ntry: main({list(map(str, words))})\nexcept SystemExit: pass\n"
    code += "import jax; print('devices', jax.device_count())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "devices 3" in output


def test_readmes_python_example_runs(tmp_path, monkeypatch, capsys):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(code.strip().splitlines()) <= 20
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    accuracy, lines = capsys.readouterr().out.splitlines()
    assert float(accuracy) > 0.1 and "accuracy 97" in lines
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent.safetensors", "runs"]
