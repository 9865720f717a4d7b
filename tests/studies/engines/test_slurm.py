"""Runs as jobs of Slurm: of submitit's local executor, and of a Slurm that records what it is asked."""

import os
import re
import signal
import subprocess
import time

import pytest

from irrl.locks import owner_of
from small_study import metrics_of, study, study_command, surroundings, weights_of, write_study
from studies.engines import fake_slurm

pytest.importorskip("submitit")

LOCAL = ("--engine", "slurm", "--slurm", "cluster=local")


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    write_study(folder, pulls=40_000, every=500)
    done = study(folder / "arms.toml", folder / "out", "run")
    assert done.returncode == 0, done.stderr
    return folder


def wait_for(until, process, seconds=60):
    end = time.monotonic() + seconds
    while not (found := until()):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    return found


def interrupt(out, number, process):
    """Send the signal to a run that is at work and has saved something."""

    def busy():
        folders = [path.parent for path in out.glob("*/seed-*/last.safetensors")]
        return next(filter(None, map(owner_of, folders)), None)

    os.kill(wait_for(busy, process).process, number)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_warning_saves_and_queues_again(local, tmp_path, number):
    command = study_command(local / "arms.toml", tmp_path, "run", *LOCAL)
    process = subprocess.Popen(command, env=surroundings(), stderr=subprocess.PIPE, text=True)
    interrupt(tmp_path, number, process)
    errors = process.communicate(timeout=200)[1]
    assert process.returncode == 0 and "tried again" not in errors, errors
    said = "".join(path.read_text() for path in (tmp_path / "logs" / "slurm").glob("*_log.err"))
    said += "".join(path.read_text() for path in (tmp_path / "logs" / "slurm").glob("*_log.out"))
    assert len(re.findall("Requeued job", said)) == 1
    assert "stopped and saved" in "".join(path.read_text() for path in (tmp_path / "logs").glob("*.log"))
    assert weights_of(tmp_path) == weights_of(local / "out")
    assert metrics_of(tmp_path) == metrics_of(local / "out")


@pytest.mark.slow
def test_slurm_is_asked_for_an_array_and_jobs_are_found_again(local, tmp_path):
    own = surroundings() | fake_slurm.install(tmp_path)
    out = tmp_path / "out"
    words = ("--engine", "slurm", "--slurm", "slurm_partition=long", "--slurm", "timeout_min=600")
    process = subprocess.Popen(study_command(local / "arms.toml", out, "run", *words), env=own)
    interrupt(out, signal.SIGUSR2, process)
    process.send_signal(signal.SIGINT)  # the jobs stay
    process.wait(60)
    assert process.returncode == 130
    again = study_command(local / "arms.toml", out, "run", *words)
    done = subprocess.run(again, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    asked = fake_slurm.asked(tmp_path)
    assert sum(words[0] == "sbatch" for words in asked) == 1
    assert sum(words[:2] == ["scontrol", "requeue"] for words in asked) == 1
    script = (tmp_path / "script-1000").read_text()
    for line in ("--array=0-5", "--partition=long", "--time=600", "--cpus-per-task=1", "--signal=USR2@120"):
        assert f"#SBATCH {line}" in script
    assert weights_of(out) == weights_of(local / "out")
    assert metrics_of(out) == metrics_of(local / "out")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--engine", "slurm"), 'irrl: --engine slurm: RuntimeError: Could not detect "srun"'),
        (("--engine", "slurm", "--slurm", "cluster=local", "--slurm", "partion=x"), "irrl: --engine slurm: "),
        (("--engine", "slurm", "--slurm", "long"), "irrl: --slurm long: write NAME=VALUE"),
        (("--slurm", "a=b"), "irrl: --slurm is for the engine slurm"),
    ],
)
def test_what_cannot_be_asked_is_one_line(tmp_path, words, message):
    done = study(write_study(tmp_path), tmp_path / "out", "run", *words)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith(message)
    assert "Traceback" not in done.stderr
