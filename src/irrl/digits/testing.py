"""How often a trained agent is right, and how many glimpses it takes."""

from pathlib import Path

from irrl.digits.evaluate import load_agent
from irrl.digits.source import Split, canvases_for
from irrl.task import Report


def test(path: Path, *, seed: int = 0, split: Split = "test", mnist: Path | None = None) -> Report:
    """Let a trained agent answer.

    Args:
        path: a run's folder (its best checkpoint), a checkpoint file, or the name of a packaged agent.
        seed: draws the first glimpses.
        split: which canvases: test, or the training canvases held out for validation.
        mnist: folder of other digits than the agent's own.

    Raises:
        UserError: there is no good checkpoint, or no such digits.
    """
    agent = load_agent(path)
    canvases = canvases_for(agent, split, mnist)
    predictions = agent.predict(canvases.images, seed=seed)
    accuracy, glimpses = float((predictions.answers == canvases.labels).mean()), float(predictions.glimpses.mean())
    asked = {"n": len(canvases.labels), "split": split, "seed": seed}
    shown = f"{asked['n']} {split} canvases (seed {seed}), {glimpses:.2f} glimpses a canvas"
    return Report({"accuracy": accuracy, "glimpses": glimpses} | asked, [f"accuracy {accuracy:.2%} on {shown}"])
