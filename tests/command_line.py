"""What tests of the command line share."""

import json
import subprocess
import sys

import pytest

import irrl
from irrl.cli import main


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


def weights(folder):
    arrays = irrl.checkpoint.load(folder / "last.safetensors").arrays
    return {name: array.tobytes() for name, array in arrays.items()}


def one_line(errors: str) -> str:
    (line,) = errors.strip().splitlines()
    assert "Traceback" not in line
    return line
