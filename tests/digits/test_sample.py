import re

from irrl.digits.sample import CASES, sample


def test_every_checkpoint_of_a_run_looks_at_the_same_canvases(trained):
    first, last = (sample(trained / f"epoch-00000{epoch}.safetensors") for epoch in (0, 4))
    assert first.webp[:4] == b"RIFF" and len(first.webp) <= 14_000
    labels = [re.findall(r"(\d) as \d", picture.text) for picture in (first, last)]
    assert labels[0] == labels[1] and len(labels[0]) == CASES
    assert first.webp != last.webp
