"""A batch split over devices trains like a whole one. Each number of devices needs a process of its own."""

import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from irrl.devices import summed_over_parts
from tiny import SETTINGS, write_mnist

TRAIN = """
import json, os, sys
from irrl.devices import mesh, use_cores
use_cores(int(sys.argv[1]))
import jax
from irrl.digits.config import Config
from irrl.digits.source import canvases_for_testing
from irrl.digits.training import train
config = Config(**json.loads(sys.argv[2]))
agent = train(config)
predictions = agent.predict(canvases_for_testing(config).images)
tasks = '/proc/self/task'  # on Linux
names = [open(f'{tasks}/{task}/comm').read() for task in (os.listdir(tasks) if os.path.exists(tasks) else [])]
print(json.dumps({
    "devices": len(jax.devices()), "used": mesh(config.batch).size,
    "threads": sum("XLAEigen" in name for name in names),
    "weights": [leaf.tolist() for leaf in jax.tree.leaves(agent.params)], "log_probs": predictions.log_probs.tolist(),
}))
"""


def trained_on(devices, settings):
    words = [sys.executable, "-c", TRAIN, str(devices), json.dumps(settings)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    # 150 training canvases in batches of 64: the last batch has rows without weight, all on the second device.
    small = {"mnist": str(write_mnist(tmp_path_factory.mktemp("mnist"))), "train_size": 165, "batch": 64, "epochs": 2}
    return SETTINGS | small


@pytest.fixture(scope="module")
def one(settings):
    return trained_on(1, settings)


@pytest.mark.parametrize("part", [0, 8])
def test_two_devices_train_and_answer_as_one_does(settings, one, part):
    two = trained_on(2, settings | {"part": part})
    assert (one["devices"], one["used"]) == (1, 1)
    assert (two["devices"], two["used"]) == (2, 2)
    assert one["threads"] == 1 or not os.path.exists("/proc/self/task")
    for ours, theirs in zip(one["weights"], two["weights"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    np.testing.assert_allclose(one["log_probs"], two["log_probs"], atol=1e-3)


def test_parts_are_taken_one_after_the_other_and_summed():
    rows = jnp.arange(12.0).reshape(6, 2), jnp.arange(6)
    sizes = []

    def total(values, index):
        sizes.append(len(index))
        return {"values": values.sum(0), "index": index.sum()}

    for size, largest in ((2, 2), (0, 6), (6, 6), (4, 6)):
        sizes.clear()
        summed = summed_over_parts(total, rows, size)
        assert max(sizes) == largest
        assert summed["values"].tolist() == [30, 36]
        assert summed["index"] == 15


def test_shares_are_equal_and_not_too_small():
    code = (
        "from irrl.devices import mesh, use_cores; use_cores(6)\n"
        "print([mesh(batch).size for batch in (1, 31, 63, 64, 100, 96, 256, 254, 251)])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(output) == [1, 1, 1, 2, 2, 3, 4, 2, 1]


def test_cores_cannot_be_chosen_once_jax_computes():
    code = (
        "import jax; jax.numpy.ones(3)\n"
        "from irrl import UserError\n"
        "from irrl.devices import use_cores\n"
        "try: use_cores(2)\n"
        "except UserError as error: print(error)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "too late" in output


def test_a_process_forked_after_jax_was_used_says_so():
    """Its threads are gone: an agent loaded or asked there would wait for ever."""
    code = (
        "import os, jax; jax.numpy.ones(3)\n"
        "import irrl\n"
        "if os.fork(): os.wait()\n"
        "else:\n"
        "    try: irrl.load('digits-fast')\n"
        "    except irrl.UserError as error: print(error)"
    )
    if not hasattr(os, "fork"):
        pytest.skip("nothing forks here")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert "forked after JAX had been used" in done.stdout
