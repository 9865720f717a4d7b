import jax

from irrl.counting.config import Config
from irrl.counting.evaluate import Agent
from irrl.counting.network import initial_params
from irrl.counting.sample import sample
from tiny import COUNTING


def test_walks_are_seen_from_above_without_mujoco(tmp_path):
    config = Config(**COUNTING)
    Agent(config, initial_params(config, key=jax.random.key(0))).save(tmp_path / "agent.safetensors")
    picture = sample(tmp_path / "agent.safetensors")
    assert picture.webp[:4] == b"RIFF" and len(picture.webp) <= 14_000
    assert picture.text.count(" moves") == 4
    assert sample(tmp_path / "agent.safetensors") == picture
