import irrl
from irrl.skills.noise import overview
from irrl.skills.occupancy import sample


def test_where_skills_end_and_what_is_visited_in_a_small_picture(tmp_path):
    config = irrl.skills.preset("demo", iterations=2_000, log_every=1_000, keep_every=1_000)
    irrl.train("skills", config, out=tmp_path)
    first, last = (sample(tmp_path / f"iteration-{number:06}.safetensors") for number in (1_000, 2_000))
    assert first.webp[:4] == b"RIFF" and len(first.webp) <= 14_000
    assert first.text.startswith("After 1,000 iterations: ") and "effective skills" in last.text
    assert first.webp != last.webp
    noise = overview([tmp_path])
    assert noise is not None and len(noise.webp) <= 60_000


def test_runs_without_noise_have_no_overview(tmp_path):
    config = irrl.skills.preset("demo", iterations=1_000, log_every=1_000)
    irrl.train("skills", config, out=tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "iteration": 1, "effective_skills": 1.0}\n')
    assert overview([tmp_path]) is None
