"""The benchmark prints what it promises."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import digits as bench
from irrl.digits.config import preset


def test_the_papers_agent_needs_23_8_mflop_an_image():
    assert bench.useful_flops(preset("paper")) == 23_820_288


@pytest.mark.slow
def test_json_has_the_promised_figures(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import digits; digits.STEPS = 2; digits.MATRIX = 64;"
        "from irrl.digits.config import Config; import json;"
        "print(json.dumps(digits.measure(Config(train_size=200, batch=16, glimpses=2, epochs=3), 2)))"
    )
    folder = Path(__file__).parents[2] / "bench"
    output = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    figures = json.loads(output.stdout)
    promised = ["images_per_second", "epoch_images_per_second", "useful_gflops", "matmul_gflops", "fraction_of_matmul"]
    assert all(figures[name] > 0 for name in promised)


def test_the_skills_benchmark_too():
    import skills as bench

    figures = bench.measure(200, 1)
    assert set(figures["share"]) == {"rollout", "softmax", "rewards", "updates"}
    for name in ("microseconds_per_iteration", "runs_in_parallel_speedup", "microseconds_per_iteration_disdain"):
        assert figures[name] > 0


@pytest.mark.slow
def test_the_counting_benchmark_too():
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; import counting; from tiny import COUNTING;"
        "from irrl.counting.config import Config; import json; counting.MATRIX = 64;"
        "print(json.dumps(counting.measure(Config(**COUNTING), 16, 1, 1)))"
    )
    folder = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(folder / "bench"), str(folder / "tests")]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for name in ("render_fps", "mujoco_fps", "train_frames_per_second", "useful_gflops", "matmul_gflops"):
        assert figures[name] > 0
    assert sum(figures["share_of_time"].values()) == pytest.approx(1)
