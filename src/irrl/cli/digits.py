"""`irrl digits ...`: hard visual attention on Cluttered MNIST."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from irrl.cli.settings import settings_of
from irrl.digits.config import FREE, PRESETS, Config, preset

app = App(name="digits", help="Hard visual attention on Cluttered MNIST.")

PresetName = Annotated[str, Parameter(help=f"a full set of settings that flags override: {', '.join(PRESETS)}")]


@app.command(name="train")
@settings_of(Config)
def train_command(
    *,
    out: Path,
    preset_name: Annotated[str, Parameter(name="--preset")] = "paper",
    resume: str = "auto",
    threads: int | None = None,
    tensorboard: bool = False,
    wandb: bool = False,
    **settings: Any,
) -> int:
    """Train an agent. Stopped or killed, the same command goes on where it was.

    Args:
        out: the run's folder.
        preset_name: a full set of settings, which the flags below override: paper, demo.
        resume: auto goes on when the folder holds a run, never refuses to; or the path of a checkpoint to go on from.
        threads: processor cores to use; all by default.
        tensorboard: write metrics for TensorBoard into the folder too.
        wandb: send metrics to Weights & Biases too (offline unless logged in).
    """
    config = preset(preset_name, **settings)
    _use_threads(threads)
    from irrl.cli.progress import ProgressLine
    from irrl.digits.train import train
    from irrl.run import DiskRun, TensorBoardListener, WandbListener

    with DiskRun.open(out, "digits", dataclasses.asdict(config), resume=resume, free=FREE) as run, run.interruptible():
        run.listeners.append(ProgressLine(config.epochs))
        if tensorboard:
            run.listeners.append(TensorBoardListener(out))
        if wandb:
            run.listeners.append(WandbListener(out, dataclasses.asdict(config)))
        train(config, run)
        if run.stop_requested:
            print(f"stopped and saved; the same command goes on: irrl {' '.join(sys.argv[1:])}", file=sys.stderr)
            return 130
    return 0


@app.command(name="test")
def test_command(
    model: Path,
    *,
    split: Literal["test", "validation"] = "test",
    seed: int = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    threads: int | None = None,
) -> None:
    """Measure the accuracy of a trained agent.

    Args:
        model: a run's folder (its best checkpoint) or a checkpoint file.
        split: which canvases: test, or the training canvases held out for validation.
        seed: draws the first glimpses.
        as_json: print JSON.
        threads: processor cores to use; all by default.
    """
    _use_threads(threads)
    import irrl
    from irrl.digits.source import Source, test_canvases

    agent = irrl.load(model)
    canvases = test_canvases(agent.config) if split == "test" else Source(agent.config).validation
    result = {"accuracy": agent.accuracy(canvases, seed=seed), "n": len(canvases.labels), "split": split, "seed": seed}
    if as_json:
        print(json.dumps(result))
    else:
        print(f"accuracy {result['accuracy']:.2%} on {result['n']} {split} canvases (seed {seed})")


@app.command(name="draw")
def draw_command(model: Path, *, out: Path | None = None, cases: int = 12, seed: int = 0) -> None:
    """Draw where a trained agent looks: a figure and a film of sample cases, and the learning curve.

    Args:
        model: a run's folder (its best checkpoint) or a checkpoint file.
        out: folder for the pictures; `figures` in the run's folder by default.
        cases: how many test canvases to draw.
        seed: picks the canvases and draws the first glimpses.
    """
    from irrl.digits.draw import draw

    for path in draw(model, out, cases=cases, seed=seed):
        print(path)


@app.command(name="data")
def data_command(
    *,
    out: Path,
    variant: Literal["fresh", "paper"] = "fresh",
    train: int = 60_000,
    test: int = 10_000,
    canvas: int = 60,
    distractors: int = 4,
    distractor_size: int = 8,
    digits: int = 1,
    seed: int = 1,
    mnist: Path | None = None,
    sheet: Path | None = None,
) -> None:
    """Write a Cluttered MNIST set: X_train, y_train, X_test, y_test.

    Args:
        out: the .npz file.
        variant: fresh draws a set from the seed; paper reproduces the published set bit for bit.
        train: training canvases.
        test: test canvases.
        canvas: side of a canvas, pixels.
        distractors: pieces of other digits on a canvas; 0 is Translated MNIST.
        distractor_size: side of a distractor, pixels.
        digits: digits on a canvas, side by side; labels are then read from left to right.
        seed: decides everything random.
        mnist: folder of MNIST idx files, plain or gzipped; the packaged MNIST by default.
        sheet: also draw a sheet of samples into this PNG file.
    """
    from irrl.digits.data import write_set

    write_set(
        out,
        variant=variant,
        train=train,
        test=test,
        canvas=canvas,
        distractors=distractors,
        distractor_size=distractor_size,
        digits=digits,
        seed=seed,
        mnist=mnist,
        sheet=sheet,
    )


def _use_threads(threads: int | None) -> None:
    """Give JAX's CPU client this many threads. It reads the variable once, when JAX is first used."""
    if threads is not None:
        if threads < 1:
            from irrl.errors import UserError

            raise UserError(f"--threads is {threads}; it must be at least 1")
        os.environ["NPROC"] = str(threads)
