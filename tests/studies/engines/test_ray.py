"""Runs on a real Ray cluster of two nodes: one is killed in the middle, and all ends as it does on one machine."""

import subprocess
import time

import pytest

from small_study import kill_at_random, metrics_of, study, study_command, surroundings, weights_of, write_study

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.slow

PULLS, EVERY = 40_000, 500
"""A few seconds a run."""


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    write_study(folder, pulls=PULLS, every=EVERY)
    done = study(folder / "arms.toml", folder / "out", "run")
    assert done.returncode == 0, done.stderr
    return folder


def start(path, out, cluster):
    return subprocess.Popen(
        study_command(path, out, "run", "--engine", "ray", "--address", cluster.address),
        env=surroundings(),
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_rows(out, count, process):
    end = time.monotonic() + 120
    while sum(text.count("\n") for text in metrics_of(out).values()) < count:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)


def test_a_node_is_killed_and_every_run_ends(cluster, local, tmp_path):
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    process = start(local / "arms.toml", tmp_path, cluster)
    wait_for_rows(tmp_path, 60, process)
    cluster.remove_node(node, allow_graceful=False)
    errors = process.communicate(timeout=240)[1]
    assert process.returncode == 0 and "all 6 runs are over" in errors, errors
    assert "tried again" in errors
    assert weights_of(tmp_path) == weights_of(local / "out")
    assert metrics_of(tmp_path) == metrics_of(local / "out")


def test_the_driver_is_killed_and_another_goes_on(cluster, local, tmp_path):
    process = start(local / "arms.toml", tmp_path, cluster)
    wait_for_rows(tmp_path, 20, process)
    process.kill()
    process.communicate()
    process = start(local / "arms.toml", tmp_path, cluster)
    errors = process.communicate(timeout=240)[1]
    assert process.returncode == 0, errors
    assert weights_of(tmp_path) == weights_of(local / "out")
    assert metrics_of(tmp_path) == metrics_of(local / "out")


def test_after_thirty_kills_of_runs_and_of_the_driver_nothing_is_lost(cluster, local, tmp_path):
    command = study_command(local / "arms.toml", tmp_path, "run", "--engine", "ray", "--address", cluster.address)
    kill_at_random(command, tmp_path)
    assert weights_of(tmp_path) == weights_of(local / "out") and len(weights_of(tmp_path)) == 6
    assert metrics_of(tmp_path) == metrics_of(local / "out")


def test_where_there_is_no_cluster_one_line_says_so(local, tmp_path):
    done = study(local / "arms.toml", tmp_path, "run", "--engine", "ray", "--address", "127.0.0.1:1")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("irrl: no Ray cluster at --address 127.0.0.1:1")
