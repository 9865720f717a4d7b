"""What the code learned, answered and read at one commit, it learns, answers and reads still: see `guard_numbers`."""

import json
from pathlib import Path

import numpy as np
import pytest

import guard_numbers
from tiny import write_mnist

KNOWN = json.loads(Path(guard_numbers.__file__).with_suffix(".json").read_text())


@pytest.mark.parametrize("name", KNOWN["trainings"])
def test_a_tiny_training_ends_with_the_same_weights(tmp_path, name):
    """To the last bit where they were made; elsewhere rounding has grown for a few steps."""
    known = KNOWN["trainings"][name]
    found = guard_numbers.trained(*guard_numbers.trainings(write_mnist(tmp_path))[name])
    if guard_numbers.machine() == KNOWN["machine"]:
        assert found["digest"] == known["digest"]
    assert found["norm_and_sum"].keys() == known["norm_and_sum"].keys()
    for array, (norm, total) in known["norm_and_sum"].items():
        assert found["norm_and_sum"][array] == pytest.approx([norm, total], rel=0.01, abs=0.01 * norm), array


@pytest.mark.parametrize("name", KNOWN["answers"])
def test_a_packaged_agent_answers_as_it_did(name):
    known, found = KNOWN["answers"][name], guard_numbers.answers(name)
    if guard_numbers.machine() == KNOWN["machine"]:
        assert found == known
    assert len(found) == len(known)
    assert np.mean([ours == theirs for ours, theirs in zip(found, known, strict=True)]) >= 0.99


def test_every_committed_run_is_compared_as_it_was():
    assert json.loads(json.dumps(guard_numbers.committed_runs())) == KNOWN["committed_runs"]
