"""A trained agent on the user's own pictures."""

from pathlib import Path
from typing import Any, NamedTuple

from irrl.digits.draw import draw_answer, look
from irrl.digits.evaluate import load_agent
from irrl.digits.picture import canvases_of
from irrl.errors import UserError
from irrl.files import check_folder


class Answer(NamedTuple):
    """What the agent says about a picture."""

    image: Path
    answer: int
    probabilities: list[float]
    """of each digit"""
    glimpses: Path
    """a picture of where it looked"""

    def __str__(self) -> str:
        chances = "  ".join(f"{digit}: {probability:.1%}" for digit, probability in enumerate(self.probabilities))
        return f"{self.image}: {self.answer}   {chances}   {self.glimpses}"

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return self._asdict() | {"image": str(self.image), "glimpses": str(self.glimpses)}


def predict(model: Path, images: list[Path], out: Path, *, seed: int) -> list[Answer]:
    """Let a trained agent look at pictures, and draw where it looked into `out`, as NAME-glimpses.png.

    Args:
        model: a run's folder (its best checkpoint) or a checkpoint file.
        images: picture files; `irrl.digits.picture.canvas_of` says how each becomes a canvas.
        out: folder for the drawings, made if need be.
        seed: draws the first glimpses, one for each place in the list.

    Raises:
        UserError: there is no good checkpoint, a picture cannot be used, or two have the same name. Nothing is written.
        OSError: a drawing cannot be written.
    """
    targets = [out / f"{image.stem}-glimpses.png" for image in images]
    for target in targets:
        if targets.count(target) > 1:
            raise UserError(
                f"two pictures would both be drawn into {target}: give them in two commands with an `out` of their own"
            )
    check_folder(out)
    agent = load_agent(model)
    canvases = canvases_of(images, agent.config.canvas)
    cases = look(agent, canvases, [None] * len(canvases), seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    for target, case in zip(targets, cases, strict=True):
        draw_answer(case, target)
    return [
        Answer(image, case.answer, case.probabilities.tolist(), target)
        for image, case, target in zip(images, cases, targets, strict=True)
    ]
