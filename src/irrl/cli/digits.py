"""What only `irrl digits` can do: import, predict, noise and data."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from irrl.cli.helping import epilogue
from irrl.cli.settings import Whole
from irrl.errors import UserError, say
from irrl.files import check_folder


def add_commands(app: App) -> None:
    """Add them to the task's command line."""
    for command, name, example in (
        (import_command, "import", "ram_checkpoint.pth.tar --out runs/theirs"),
        (predict_command, "predict", "digits-ram8 picture.png"),
        (noise_command, "noise", "runs/demo --oracle runs/longer"),
        (data_command, "data", "--out set.npz --sheet set.png"),
    ):
        app.command(command, name=name, help_epilogue=epilogue(f"digits {name} {example}"))
    example = epilogue("digits figure noise runs/demo --oracle runs/longer --out noise.png")
    app["figure"].command(figure_noise_command, name="noise", help_epilogue=example)


def import_command(file: Path, *, out: Path) -> None:
    """Convert a released RAM checkpoint of the paper's authors (a PyTorch file) for `test`, `draw` and `predict`.

    PyTorch is not needed, and nothing that the file may ask for is run.

    Args:
        file: the authors' .pth.tar file.
        out: the folder to make.
    """
    from irrl.digits.importer import import_checkpoint

    state = import_checkpoint(file, out)
    say(f"{out}: {state['epoch']} epochs, {state['best_valid_acc']:.2f} % on validation by the authors' record")


def predict_command(
    model: Path,
    images: Annotated[list[Path], Parameter(negative="")],
    *,
    out: Path = Path(),
    seed: Whole = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say which digit is in a picture, and draw where the agent looked.

    Args:
        model: a run's folder (its best checkpoint), a checkpoint file, or the name of a packaged agent. On pictures of
            one's own, digits-ram8 is the better of the packaged ones: it sees far more in a glimpse than digits-fast.
        images: picture files (PNG, JPEG, ...), each with one digit; or canvases of the agent's own size.
        out: folder for the pictures of the glimpses, NAME-glimpses.png; the current one by default.
        seed: draws the first glimpses.
        as_json: print JSON.
    """
    from irrl.digits.predict import predict

    answers = predict(model, images, out, seed=seed)
    if as_json:
        say(json.dumps([answer.as_json() for answer in answers]))
    else:
        say("\n".join(map(str, answers)))


def noise_command(
    models: list[Path],
    /,
    *,
    oracle: Path,
    out: Path = Path("noise"),
    split: Literal["test", "validation"] = "test",
    mnist: Path | None = None,
    cases: Whole | None = None,
    seed: Whole = 0,
    reward: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    threads: Whole | None = None,
) -> None:
    """Measure how noisy discriminators and rewards are, against a converged discriminator, the oracle.

    Args:
        models: runs' folders (every checkpoint kept with --keep-every, else the best) or checkpoint files.
        oracle: a converged run's folder or checkpoint; it answers over the glimpses that each model chose.
        out: folder for delta.npz, noise.json, violins.png and rewards.png.
        split: which canvases: test, or the training canvases held out for validation.
        mnist: folder of idx files, as for train; by default the digits that the models were trained on.
        cases: how many canvases, the first ones; all by default.
        seed: draws the first glimpses.
        reward: a reward to measure beside the built-in ones; may be given several times.
        threads: processor cores to use; all by default.
    """
    from irrl.devices import use_cores

    use_cores(threads)
    from irrl.digits.noise import noise

    for path in noise(models, oracle, out, split=split, cases=cases, seed=seed, more_rewards=reward, mnist=mnist):
        say(path)


def data_command(
    *,
    out: Path,
    variant: Literal["random", "paper"] = "random",
    train: Whole | None = None,
    test: Whole | None = None,
    canvas: Whole | None = None,
    distractors: Whole | None = None,
    distractor_size: Whole | None = None,
    digits: Whole | None = None,
    seed: Whole | None = None,
    mnist: Path | None = None,
    sheet: Path | None = None,
) -> None:
    """Write a Cluttered MNIST set: X_train, y_train, X_test, y_test.

    Args:
        out: the .npz file.
        variant: random draws a set from the seed; paper reproduces the published set bit for bit, and takes none of
            the settings from --train to --seed.
        train: training canvases; 60000 by default.
        test: test canvases; 10000 by default.
        canvas: side of a canvas, pixels; 60 by default.
        distractors: pieces of other digits on a canvas, 4 by default; 0 is Translated MNIST.
        distractor_size: side of a distractor, pixels; 8 by default.
        digits: digits on a canvas, side by side, 1 by default; labels are then read from left to right.
        seed: decides everything random; 1 by default.
        mnist: folder of idx files like MNIST's, plain or gzipped; the packaged MNIST by default.
        sheet: also draw a sheet of samples into this PNG file.
    """
    for name, value in (("train", train), ("test", test)):
        if value is not None and value < 1:
            raise UserError(f"--{name} is {value}; it must be at least 1")
    for flag, path, ending in (("--out", out, ".npz"), ("--sheet", sheet, ".png")):
        if path is None:
            continue
        if path.suffix != ending:
            raise UserError(f"{flag} {path}: its name must end with {ending}")
        check_folder(path.parent)
        existing = next(parent for parent in path.absolute().parents if parent.exists())
        if path.is_dir() or not os.access(existing, os.W_OK):
            raise UserError(f"{path}: cannot write a file there")
    from irrl import keys
    from irrl.digits.data import cluttered, load_mnist, published, save_npz
    from irrl.digits.draw import sheet as draw_sheet

    clutter = {"canvas": canvas, "distractors": distractors, "distractor_size": distractor_size, "digits": digits}
    clutter: dict[str, Any] = {name: value for name, value in clutter.items() if value is not None}
    digit_images = load_mnist(mnist)
    if variant == "paper":
        given = {"train": train, "test": test, "seed": seed} | clutter
        for name, value in given.items():
            if value is not None:
                raise UserError(f"--{name.replace('_', '-')} {value}: the published set has no settings; leave it out")
        training, testing = published(digit_images)
    else:
        seed = 1 if seed is None else seed
        rng = keys.generator(seed, "canvases")
        count = 60_000 if train is None else train
        training = cluttered(digit_images.train_images, digit_images.train_labels, count, rng, **clutter)
        rng = keys.generator(seed, "test canvases")
        count = 10_000 if test is None else test
        testing = cluttered(digit_images.test_images, digit_images.test_labels, count, rng, **clutter)
    for path in filter(None, (out, sheet)):
        path.parent.mkdir(parents=True, exist_ok=True)
    save_npz(out, training, testing)
    say(f"{out}: {len(training.labels)} training and {len(testing.labels)} test canvases")
    if sheet:
        draw_sheet(training, sheet)
        say(sheet)


def figure_noise_command(
    runs: list[Path], /, *, oracle: Path, out: Path, cases: Whole | None = None, seed: Whole = 0
) -> None:
    """Draw the discriminator's noise over epochs as violins, one for each checkpoint.

    Args:
        runs: runs' folders (every checkpoint kept with --keep-every, else the best) or checkpoint files.
        oracle: a converged run's folder or checkpoint.
        out: the picture: a png, pdf or svg file.
        cases: how many test canvases, the first ones; all by default.
        seed: draws the first glimpses.
    """
    from irrl.digits.noise import draw_violins

    draw_violins(runs, oracle, out, cases=cases, seed=seed)
    say(out)
