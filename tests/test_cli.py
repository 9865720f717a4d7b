"""The command line end to end on a tiny training, and what it says to bad input."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import irrl
from irrl.checkpoint import load
from irrl.cli import main
from kill_and_resume import kill_and_resume
from tiny import FLAGS, write_mnist


@pytest.fixture(scope="session")
def mnist(tmp_path_factory):
    return write_mnist(tmp_path_factory.mktemp("mnist"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, mnist):
    """A run folder after 4 epochs."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    assert run("digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 4, "--keep-every", 2, "--out", out) == 0
    return out


def run(*words) -> int:
    """The exit status of a command line, in this process."""
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return exit.value.code


def start(*words, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "irrl", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def learned(folder):
    """What a run learned, without what depends on the clock."""
    return [{k: v for k, v in row.items() if "second" not in k and "validation" not in k} for row in rows_of(folder)]


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


def test_same_seed_same_numbers_whatever_the_intervals(trained, tmp_path, mnist):
    flags = ["--evaluate-every", 3, "--checkpoint-every", 4, "--epochs", 4]
    assert run("digits", "train", *FLAGS, "--mnist", mnist, *flags, "--out", tmp_path / "rarely") == 0
    assert learned(tmp_path / "rarely") == learned(trained)
    assert weights(tmp_path / "rarely") == weights(trained)


def test_another_seed_gives_other_numbers(trained, tmp_path, mnist):
    flags = [*FLAGS[:-1], "2"]
    assert run("digits", "train", *flags, "--mnist", mnist, "--epochs", 1, "--out", tmp_path / "two") == 0
    assert learned(tmp_path / "two")[0] != learned(trained)[0]


def weights(folder):
    arrays = irrl.checkpoint.load(folder / "last.safetensors").arrays
    return {name: array.tobytes() for name, array in arrays.items()}


def test_a_run_can_be_extended_to_the_same_end(trained, tmp_path, mnist):
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--out", tmp_path / "extended"]
    assert run(*words, "--epochs", 2) == 0
    assert run(*words, "--epochs", 4) == 0
    assert learned(tmp_path / "extended") == learned(trained)
    assert weights(tmp_path / "extended") == weights(trained)


def test_resume_from_a_kept_checkpoint_into_another_folder(trained, tmp_path, mnist):
    kept = trained / "epoch-000002.safetensors"
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 4, "--out", tmp_path / "branch"]
    assert run(*words, "--resume", kept) == 0
    assert learned(tmp_path / "branch") == learned(trained)
    assert weights(tmp_path / "branch") == weights(trained)


def test_sigterm_saves_and_the_same_command_goes_on_to_the_same_end(trained, tmp_path, mnist):
    out = tmp_path / "stopped"
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 4, "--out", out]
    process = start(*words)
    metrics = out / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size) and process.poll() is None:  # an epoch is done
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate()[1]
    if process.returncode == 130:  # 0 only if it was over before the signal came
        assert "stopped and saved" in errors
    assert (out / "last.safetensors").exists()
    assert run(*words) == 0
    assert weights(out) == weights(trained)


def test_three_kills_lose_nothing(tmp_path):
    whole, killed = kill_and_resume("digits", tmp_path, kills=3, rows=12)
    assert whole.state == killed.state
    assert {n: a.tobytes() for n, a in whole.arrays.items()} == {n: a.tobytes() for n, a in killed.arrays.items()}


def test_a_damaged_last_checkpoint_falls_back_and_says_so(trained, tmp_path, mnist, capsys):
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--out", tmp_path / "damaged"]
    assert run(*words, "--epochs", 3) == 0
    last = tmp_path / "damaged" / "last.safetensors"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    capsys.readouterr()
    assert run("digits", "test", last) == 2
    assert one_line(capsys.readouterr().err).startswith(f"irrl: {last}: ")
    assert run(*words, "--epochs", 4) == 0
    assert "going on from previous.safetensors" in capsys.readouterr().err
    assert weights(tmp_path / "damaged") == weights(trained)


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


def one_line(errors: str) -> str:
    (line,) = errors.strip().splitlines()
    assert "Traceback" not in line
    return line


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--reward", "clipped-liner"], "clipped-linear"),
        (["--preset", "papers"], "paper"),
        (["--model", "ran"], "ram"),
        (["--patch", "17"], "canvas"),
        (["--patch", "8", "--scales", "3"], "canvas"),
        (["--patch", "0"], "--patch"),
        (["--glimpses", "-3"], "--glimpses"),
        (["--glimpses", "3.5"], "--glimpses"),
        (["--scales", "20000"], "--scales"),
        (["--seed", "99999999999999999999"], "--seed"),
        (["--seed", "-1"], "--seed"),
        (["--batch", "many"], "--batch"),
        (["--learning-rate", "nan"], "--learning-rate"),
        (["--train-size", "3"], "--train-size"),
        (["--stop", "threshold"], "does nothing without --model dt-ram"),
        (["--latency", "none"], "does nothing without --model dt-ram"),
        (["--agent", "fast", "--model", "dt-ram"], "--agent ram"),
        (["--data", "fixed"], "published-fresh"),
        (["--oracle", "nowhere"], "nowhere"),
        (["--part", "7"], "does not divide --batch"),
        (["--part", "1", "--model", "dt-ram", "--latency", "weighted"], "--latency weighted"),
        (["--distractor-size", "9"], "distractor_size"),
        (["--mnist", "nowhere"], "nowhere"),
        (["--threads", "0"], "--threads"),
        (["--data", "published"], "published"),
        (["--bogus", "1"], "--bogus"),
    ],
)
def test_bad_settings_are_one_line_and_leave_nothing(tmp_path, mnist, capsys, flags, wanted):
    words = [*FLAGS, "--mnist", str(mnist), "--epochs", "1", "--out", str(tmp_path / "run")]
    for name, value in zip(flags[::2], flags[1::2], strict=True):
        if name in words:
            at = words.index(name)
            words[at + 1] = value
        else:
            words += [name, value]
    assert run("digits", "train", *words) == 2
    assert wanted in one_line(capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def test_a_config_that_changed_is_refused_with_the_difference(trained, mnist, capsys):
    flags = [*FLAGS[:-1], "5"]
    before = weights(trained)
    assert run("digits", "train", *flags, "--mnist", mnist, "--epochs", 9, "--out", trained) == 2
    assert "seed: 1 -> 5" in one_line(capsys.readouterr().err)
    assert weights(trained) == before


def test_resume_never_refuses_a_folder_in_use(trained, mnist, capsys):
    words = ["--mnist", mnist, "--epochs", 4, "--out", trained, "--resume", "never"]
    assert run("digits", "train", *FLAGS, *words) == 2
    assert str(trained) in one_line(capsys.readouterr().err)


def test_a_run_does_not_go_on_with_another_oracle(trained, tmp_path, mnist, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("oracle.safetensors").write_bytes((trained / "epoch-000002.safetensors").read_bytes())
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--oracle", "oracle.safetensors", "--out", "run"]
    assert run(*words, "--epochs", 1) == 0
    monkeypatch.chdir("run")  # the path is recorded in full
    words[-3:] = ["../oracle.safetensors", "--out", "."]
    assert run(*words, "--epochs", 2) == 0
    before = weights(Path())
    Path("../oracle.safetensors").write_bytes((trained / "epoch-000004.safetensors").read_bytes())
    capsys.readouterr()
    assert run(*words, "--epochs", 3) == 2
    assert "its weights are not those with which this run began" in one_line(capsys.readouterr().err)
    assert weights(Path()) == before


def test_a_device_without_memory_is_one_line(trained, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.")

    monkeypatch.setattr("irrl.digits.evaluate._predict_batch", refuse)
    assert run("digits", "test", trained) == 2
    assert "--batch" in one_line(capsys.readouterr().err)


def test_corrupt_mnist_is_named(tmp_path, capsys):
    folder = write_mnist(tmp_path / "mnist")
    file = folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-40])
    assert run("digits", "train", *FLAGS, "--mnist", folder, "--epochs", 1, "--out", tmp_path / "run") == 2
    assert "train-images-idx3-ubyte.gz" in one_line(capsys.readouterr().err)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path, mnist, capsys):
    out = tmp_path / "run"
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--out", out]
    assert run(*words, "--epochs", 2) == 0
    # A weight this large passes for good, and overflows in the next epoch's first step.
    saved = irrl.checkpoint.load(out / "last.safetensors")
    saved.arrays["params.classifier.weight"] = saved.arrays["params.classifier.weight"] * np.float32(1e38)
    irrl.checkpoint.save(out / "last.safetensors", saved.arrays, saved.state)
    kept = weights(out)
    capsys.readouterr()
    assert run(*words, "--epochs", 5) == 2
    assert "in epoch 3" in one_line(capsys.readouterr().err)
    assert weights(out) == kept
    assert [row["epoch"] for row in rows_of(out)] == [1, 2]


def test_a_finished_run_says_so(trained, mnist, capsys):
    assert run("digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 4, "--keep-every", 2, "--out", trained) == 0
    assert f"{trained}: epoch 4, best validation accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("def reward(log_probs, target, prior):\n    raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("def reward(log_probs, target, prior):\n    return log_probs", "one real number for each"),
        ("import sys\nsys.exit('bye')", "bye"),
        ("reward = 3", "not callable"),
    ],
)
def test_a_reward_that_fails_is_one_line_and_leaves_nothing(tmp_path, mnist, monkeypatch, capsys, code, wanted):
    name = f"reward_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    words = ["--mnist", mnist, "--epochs", 1, "--reward", f"{name}:reward", "--out", tmp_path / "run"]
    assert run("digits", "train", *FLAGS, *words) == 2
    assert wanted in one_line(capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def test_a_model_is_loaded_without_its_reward(tmp_path, mnist, monkeypatch):
    """Its module may be gone, and a foreign checkpoint must not name code to run."""
    (tmp_path / "gone.py").write_text("def half(log_probs, target, prior):\n    return 0 * log_probs[..., 0] + 0.5\n")
    monkeypatch.chdir(tmp_path)
    words = ["--mnist", mnist, "--epochs", 1, "--reward", "gone:half", "--out", tmp_path / "run"]
    assert run("digits", "train", *FLAGS, *words) == 0
    (tmp_path / "gone.py").unlink()
    monkeypatch.delitem(sys.modules, "gone")
    assert irrl.load(tmp_path / "run").config.reward == "gone:half"


def test_a_schedule_that_training_does_not_reach_is_said(mnist, tmp_path, capsys):
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 1, "--out", tmp_path / "run"]
    assert run(*words, "--decay-epochs", 9) == 0
    assert "note: training ends at epoch 1, before --decay-epochs 9\n" in capsys.readouterr().err
    assert run(*words[:-1], tmp_path / "other", "--decay-epochs", 1) == 0
    assert "note" not in capsys.readouterr().err


def test_the_threads_flag_reaches_jax(mnist, tmp_path):
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--epochs", "1", "--threads", "3", "--out", tmp_path / "run"]
    code = f"from irrl.cli import main\ntry: main({list(map(str, words))})\nexcept SystemExit: pass\n"
    code += "import jax; print('devices', jax.device_count())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "devices 3" in output


def test_readmes_python_example_runs(tmp_path, monkeypatch, capsys):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(code.strip().splitlines()) <= 20
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert "(500, 8, 2)" in capsys.readouterr().out
    assert not list(tmp_path.iterdir()), "metrics come back without touching the disk"


@pytest.mark.parametrize("words", [["test", "--seed", "-1"], ["draw", "--seed", "-1"], ["draw", "--cases", "0"]])
def test_bad_flags_of_other_commands(trained, capsys, words):
    assert run("digits", words[0], trained, *words[1:]) == 2
    assert words[1] in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "flags", [["--train", "0"], ["--seed", "-1"], ["--canvas", "5"], ["--variant", "paper", "--canvas", "60"]]
)
def test_bad_flags_of_data_leave_nothing(tmp_path, mnist, capsys, flags):
    assert run("digits", "data", "--mnist", mnist, "--out", tmp_path / "set.npz", *flags) == 2
    assert flags[-2].lstrip("-") in one_line(capsys.readouterr().err)
    assert not (tmp_path / "set.npz").exists()


@pytest.mark.parametrize("path", ["missing", "missing.safetensors"])
def test_no_such_model(tmp_path, capsys, path):
    assert run("digits", "test", tmp_path / path) == 2
    assert path in one_line(capsys.readouterr().err)


def test_a_foreign_checkpoint(tmp_path, capsys):
    (tmp_path / "other.safetensors").write_bytes(b"\x80\x04this is a pickle, or was one")
    assert run("digits", "draw", tmp_path / "other.safetensors") == 2
    assert "other.safetensors" in one_line(capsys.readouterr().err)


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="needs a folder that not even root can write")
def test_an_unwritable_folder(mnist, capsys):
    assert run("digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 1, "--out", "/proc/self/run") == 2
    assert "/proc/self/run" in one_line(capsys.readouterr().err)


def test_a_full_disk_stops_in_one_line(tmp_path, mnist):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    limit += "; from irrl.cli import main; main()"
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 2, "--out", tmp_path / "run"]
    command = [sys.executable, "-c", limit, *map(str, words)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert "File too large" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
    assert not list((tmp_path / "run").glob("*.safetensors")) and not list((tmp_path / "run").glob(".*tmp"))
