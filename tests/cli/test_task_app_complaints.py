"""What the command line says to bad input: one line, and nothing is left behind."""

import os
import subprocess
import sys

import pytest

from command_line import one_line, run
from tiny import FLAGS, write_mnist


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


def test_a_device_without_memory_is_one_line(trained, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.")

    monkeypatch.setattr("irrl.digits.evaluate._predict_batch", refuse)
    assert run("digits", "test", trained) == 2
    assert "not enough memory" in (said := one_line(capsys.readouterr().err))
    assert "--" not in said, "a flag that other tasks have not"


def test_corrupt_mnist_is_named(tmp_path, capsys):
    folder = write_mnist(tmp_path / "mnist")
    file = folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-40])
    assert run("digits", "train", *FLAGS, "--mnist", folder, "--epochs", 1, "--out", tmp_path / "run") == 2
    assert "train-images-idx3-ubyte.gz" in one_line(capsys.readouterr().err)


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


def test_a_schedule_that_training_does_not_reach_is_said(mnist, tmp_path, capsys):
    words = ["digits", "train", *FLAGS, "--mnist", mnist, "--epochs", 1, "--out", tmp_path / "run"]
    assert run(*words, "--decay-epochs", 9) == 0
    assert "note: training ends at epoch 1, before --decay-epochs 9\n" in capsys.readouterr().err
    assert run(*words[:-1], tmp_path / "other", "--decay-epochs", 1) == 0
    assert "note" not in capsys.readouterr().err


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
