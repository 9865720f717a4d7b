"""Two processes train one run: as one process with their devices does, to the last bit; and they end together."""

import json
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from irrl import UserError, checkpoint, distributed
from irrl.distributed import Launch, launch_of
from irrl.run import MemoryRun
from kill_and_resume import command, rows_logged
from tiny import FASTER, SETTINGS, flags_of, write_mnist

SLURM = {
    "SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "node[3-4]", "SLURM_NTASKS": "4", "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
}  # fmt: skip
ROWS = 120
"""Of trainings that are stopped or killed on their way."""

OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "1"}


def test_launchers_say_which_process_this_is():
    assert launch_of(None, None, None, SLURM) == Launch(None, 4, 2)
    assert launch_of("head:1234", None, None, SLURM) == Launch("head:1234", 4, 2)
    older = OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911"}
    assert launch_of(None, None, None, older) == Launch(None, 3, 1)
    assert launch_of("head:1234", None, None, OPEN_MPI) == Launch("head:1234", 3, 1)


def test_what_the_user_says_counts_before_launchers():
    assert launch_of("[::1]:1234", 2, 0, SLURM | OPEN_MPI) == Launch("[::1]:1234", 2, 0)


@pytest.mark.parametrize(
    ("given", "environ", "message"),
    [
        ((None, None, None), {}, "neither Slurm nor Open MPI"),
        (("head:1234", None, None), {}, "neither Slurm nor Open MPI"),
        ((None, None, None), OPEN_MPI, "does not say where process 0 is"),
        ((None, None, None), SLURM | {"SLURM_PROCID": "x"}, "SLURM_PROCID are no numbers"),
        ((None, 2, 0), {}, "`processes` needs `coordinator`"),
        (("head:1234", 2, None), {}, "go together"),
        (("head:1234", None, 0), SLURM, "go together"),
        (("head", 2, 0), {}, "expected HOST:PORT"),
        (("head:", 2, 0), {}, "expected HOST:PORT"),
        (("a b:1", 2, 0), {}, "expected HOST:PORT"),
        (("head:1234", 2, 2), {}, "must be from 0 to 1"),
        (("head:1234", 2, -1), {}, "must be from 0 to 1"),
        (("head:1234", 0, 0), {}, "from 1 to 65535"),
    ],
)
def test_what_cannot_be_is_refused(given: Any, environ: dict[str, str], message: str):
    with pytest.raises(UserError, match=message):
        launch_of(given[0], given[1], given[2], environ)


def test_jax_knows_where_slurms_and_open_mpis_process_0_is(monkeypatch):
    """What is left to JAX when no coordinator is given."""
    from jax._src.clusters import ClusterEnv

    def detected():
        return ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, None, 1)[:3]

    with monkeypatch.context() as patch:
        for name, value in SLURM.items():
            patch.setenv(name, value)
        assert detected() == ("node3:61447", 4, 2)
    for name, value in (OPEN_MPI | {"OMPI_MCA_orte_hnp_uri": "4096.0;tcp://10.96.0.1:34911"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_RANK", "0")
    assert detected() == ("10.96.0.1:61441", 3, 1)


def test_alone_nothing_is_shared():
    run = MemoryRun()
    assert distributed.is_first()
    assert distributed.shared(run) is run
    assert distributed.decided(lambda: True)
    assert not distributed.decided(lambda: False)
    distributed.check_same({})
    with pytest.raises(RuntimeError, match="Gloo"), distributed.together():
        raise RuntimeError("Gloo")


def test_only_tasks_whose_batches_are_shared_have_the_flags():
    for task, there in (("digits", True), ("counting", True), ("skills", False)):
        words = [sys.executable, "-m", "irrl", task, "train", "--help-all"]
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert [flag in shown for flag in ("--distributed", "--coordinator")] == [there, there]


def test_flags_that_do_nothing_are_refused():
    words = [sys.executable, "-m", "irrl", "digits", "train", "--out", "nowhere", "--process", "1"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "irrl: --process goes with --distributed\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("distributed")
    write_mnist(made / "mnist")
    return made


def training(folder, out, task="ram", rows=4):
    """A batch of 64: enough for two devices."""
    if task == "counting":
        return command(task, folder, folder / out, rows)
    settings = SETTINGS | {"batch": 64} | (FASTER if task == "fast" else {})
    words = [*flags_of(settings), "--mnist", folder / "mnist", "--epochs", rows, "--checkpoint-every", 2]
    return [str(word) for word in (sys.executable, "-m", "irrl", "digits", "train", *words, "--out", folder / out)]


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def both(words, *, of_one=(), **options):
    """Two processes of one device each; `of_one`: what the second is told besides."""
    words = [*words, "--threads", "1", "--distributed", "--coordinator", f"localhost:{free_port()}"]
    words += ["--processes", "2", "--process"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [subprocess.Popen([*words, *more], **pipes, **options) for more in (["0"], ["1", *of_one])]


def ends(processes):
    """Exit status, output and complaints of each."""
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def under_way(processes, out, rows=5):
    while rows_logged(out) < rows and all(process.poll() is None for process in processes):
        time.sleep(0.02)
    assert all(process.poll() is None for process in processes), ends(processes)


def same(one, other):
    one, other = (checkpoint.load(run / "last.safetensors") for run in (one, other))
    equal = all(one.arrays[name].tobytes() == other.arrays[name].tobytes() for name in one.arrays)
    return equal and one.arrays.keys() == other.arrays.keys() and one.state == other.state


def measured(out):
    """Rows, without how fast it went."""
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in row.items() if "second" not in name} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["ram", "fast", "counting"])
def test_two_processes_learn_as_one_with_two_devices_does(folder, task):
    one, two = folder / f"{task}-one", folder / f"{task}-two"
    subprocess.run([*training(folder, one.name, task), "--threads", "2"], check=True, capture_output=True)
    first, second = ends(both(training(folder, two.name, task)))
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert "best validation accuracy" in first[1]
    assert second[1] == second[2] == ""
    assert same(one, two)
    assert measured(one) == measured(two)


@pytest.fixture(scope="module")
def undisturbed(folder):
    """What `ROWS` rows end with, learned by one process with two devices."""
    subprocess.run([*training(folder, "whole", rows=ROWS), "--threads", "2"], check=True, capture_output=True)
    return folder / "whole"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("which", [0, 1])
def test_both_end_and_go_on_when_either_is_stopped_or_killed(folder, undisturbed, number, which):
    out = folder / f"{number.name}-{which}"
    processes = both(training(folder, out.name, rows=ROWS))
    under_way(processes, out)
    began = time.monotonic()
    processes[which].send_signal(number)
    found = ends(processes)
    assert time.monotonic() - began < 30
    if number == signal.SIGTERM:
        assert [status for status, *_ in found] == [130, 130], found
        assert "stopped and saved; go on with: irrl digits train" in found[0][2]
        assert found[1][2].startswith("stopped; go on with: irrl digits train")
    else:
        assert found[which][0] == -signal.SIGKILL
        status, output, complaints = found[1 - which]
        lines = [line for line in complaints.splitlines() if not line.startswith("epoch ")]
        assert status not in (0, 2)
        assert output == ""
        assert len(lines) == 1
        assert lines[0].startswith("irrl: another process of this training is gone; the last checkpoint stands; go on")
    assert rows_logged(out) < ROWS
    again = ends(both(training(folder, out.name, rows=ROWS)))
    assert [status for status, *_ in again] == [0, 0], again
    assert same(undisturbed, out)


@pytest.mark.slow
def test_processes_with_other_settings_are_refused_in_one_line(folder):
    found = ends(both(training(folder, "unlike"), of_one=["--reward-gradient", "stop"]))
    line = "irrl: processes 0 and 1 were started with other settings: --reward-gradient: leak and stop\n"
    assert [(status, complaint) for status, _, complaint in found] == [(2, line), (2, line)]
    assert not (folder / "unlike").exists()


@pytest.mark.slow
def test_what_only_process_0_complains_of_ends_the_other_too(folder):
    (folder / "odd").mkdir()
    (folder / "odd" / "metrics.jsonl").write_text('{"step": 1}\n')
    (first, _, complaint), (second, _, gone) = ends(both(training(folder, "odd")))
    assert (first, complaint.count("\n"), gone.count("\n")) == (2, 1, 1)
    assert "holds the metrics of a run" in complaint
    assert second != 0
    assert "another process of this training is gone" in gone


@pytest.mark.slow
def test_a_batch_that_all_devices_cannot_share_is_refused(folder):
    words = training(folder, "small")
    words[words.index("--batch") + 1] = "32"
    found = ends(both(words))
    assert [status for status, *_ in found] == [2, 2]
    assert all("--batch 32 cannot be shared by the 2 devices of 2 processes" in complaint for *_, complaint in found)


@pytest.mark.slow
def test_processes_that_count_one_another_differently_say_so():
    code = "import sys\nfrom irrl import distributed\n"
    code += "try: distributed.start(f'localhost:{sys.argv[1]}', int(sys.argv[2]), int(sys.argv[3]))\n"
    code += "except distributed.UserError as error: print(error)\n"
    port = str(free_port())
    words = [[sys.executable, "-c", code, port, count, process] for count, process in (("2", "0"), ("3", "1"))]
    started = [subprocess.Popen(each, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for each in words]
    (_, first, _), (_, second, _) = ends(started)
    assert first == "this process was started with `processes=2`, process 1 with `processes=3`\n"
    assert second == "this process was started with `processes=3`, process 0 with `processes=2`\n"


@pytest.mark.slow
def test_who_finds_nobody_says_so():
    code = "import sys\nfrom irrl import distributed\ndistributed.SECONDS_TO_MEET = 2\n"
    code += "try: distributed.start(f'localhost:{sys.argv[1]}', 3, int(sys.argv[2]))\n"
    code += "except distributed.UserError as error: print(error)\n"
    for process, said in ((0, "these did not come to localhost"), (1, "process 0 did not answer within 2 seconds")):
        words = [sys.executable, "-c", code, str(free_port()), str(process)]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
        assert said in done.stdout
