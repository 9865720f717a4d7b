"""A small picture of where a checkpoint's agent looks, for reports."""

from functools import lru_cache
from pathlib import Path

from irrl.digits.config import CanvasConfig
from irrl.digits.data import Canvases
from irrl.digits.draw import gaze_figure, look
from irrl.digits.evaluate import load_agent
from irrl.digits.source import like_test_canvases
from irrl.figures import Picture, small_picture
from irrl.settings import part

CASES = 4


def sample(path: Path) -> Picture:
    """Where the agent in a checkpoint file looks on a few canvases, the same for every checkpoint of a run.

    Raises:
        UserError: it is no good checkpoint of this task, or its digits are gone.
    """
    agent = load_agent(path)
    canvases = _canvases(part(CanvasConfig, agent.config))
    cases = look(agent, canvases.images, canvases.labels.tolist(), seed=0)
    answers = ", ".join(f"{case.label} as {case.answer} at {case.probabilities.max():.0%}" for case in cases)
    return small_picture(gaze_figure(cases), f"Where the agent looks on {CASES} canvases. It reads {answers}.")


@lru_cache(maxsize=2)
def _canvases(config: CanvasConfig) -> Canvases:
    return like_test_canvases(config, CASES)
