"""Whichever engine trains a study of every task, and whatever is lost meanwhile, it ends in the same weights."""

import subprocess
import time

import pytest

from small_study import learned_of, study, study_command, surroundings, weights_of, write_tiny_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    path = write_tiny_study(folder)
    done = study(path, folder / "out", "run", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert len(weights_of(folder / "out")) == 12
    return folder


def same(local, out):
    assert weights_of(out) == weights_of(local / "out")
    assert learned_of(out) == learned_of(local / "out")
    assert study(local / "tiny.toml", out, "table").stdout == study(local / "tiny.toml", local / "out", "table").stdout


def test_slurm(local, tmp_path):
    pytest.importorskip("submitit")
    done = study(local / "tiny.toml", tmp_path, "run", "--engine", "slurm", "--slurm", "cluster=local")
    assert done.returncode == 0, done.stderr
    same(local, tmp_path)


def test_ray_that_loses_a_node(local, tmp_path):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        command = study_command(local / "tiny.toml", tmp_path, "run", "--engine", "ray", "--address", cluster.address)
        process = subprocess.Popen(command, env=surroundings(), stderr=subprocess.PIPE, text=True)
        while len(list(tmp_path.glob("*/seed-*/last.safetensors"))) < 4:
            assert process.poll() is None
            time.sleep(0.1)
        cluster.remove_node(node, allow_graceful=False)
        errors = process.communicate(timeout=400)[1]
    finally:
        cluster.shutdown()
    assert process.returncode == 0 and "tried again" in errors, errors
    same(local, tmp_path)
