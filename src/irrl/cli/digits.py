"""`irrl digits ...`: hard visual attention on Cluttered MNIST."""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from irrl.cli.settings import Whole, settings_of
from irrl.cli.training import TrainFlags, Trainings
from irrl.digits.config import FREE, PRESETS, Config, idle, preset
from irrl.errors import UserError, say
from irrl.files import check_folder

app = App(name="digits", help="Hard visual attention on Cluttered MNIST.")

PRESET = Parameter(
    name="--preset", help=f"a full set of settings, which the flags below override: {', '.join(PRESETS)}"
)


@app.command(name="train")
@settings_of(Config)
def train_command(*, flags: TrainFlags, preset_name: Annotated[str, PRESET] = "paper", **settings: Any) -> int:
    """Train an agent, seed after seed. Stopped or killed, the same command goes on where it was."""
    for name in ("mnist", "oracle"):  # a run must be testable, and go on, from another directory
        if settings.get(name) and Path(settings[name]).exists():
            settings[name] = str(Path(settings[name]).resolve())
    first = preset(preset_name, **settings)
    for name in idle(vars(first)) & settings.keys():
        raise UserError(f"--{name} {settings[name]} does nothing without --model dt-ram")
    trainings = Trainings(flags, first, "digits", FREE | idle(vars(first)), "epoch")
    from irrl.devices import mesh, use_cores

    use_cores(flags.threads)
    trainings.threads = mesh(first.batch).size
    from irrl.digits.train import check_reward, oracle_of

    # Before the first training: their complaints leave nothing behind.
    check_reward(first)
    oracle_of(first)
    trainings.check()
    for flag, last in (("--decay-epochs", first.decay_epochs), ("--spread-epochs", first.spread_epochs)):
        if last > first.epochs:
            print(f"note: training ends at epoch {first.epochs}, before {flag} {last}", file=sys.stderr)
    return trainings.in_turn(partial(_train_run, trainings), lambda epoch: f"epoch {epoch}")


def _train_run(trainings: Trainings, folder: Path) -> bool:
    """Train in one folder; True if the user asked to stop."""
    from irrl.cli.progress import ProgressLines
    from irrl.digits.source import Source
    from irrl.digits.train import train

    config = trainings.configs[folder]
    source = Source(config)  # its complaints, too, leave nothing behind
    line = ProgressLines().line(partial(_describe, epochs=config.epochs))
    with trainings.open(folder, line) as run, run.interruptible():
        train(config, run, source)
        return run.stop_requested


def _describe(row: dict[str, Any], *, epochs: int) -> str:
    text = f"epoch {row['epoch']}/{epochs}  accuracy {row['accuracy']:.1%}"
    if "validation_accuracy" in row:
        text += f"  validation {row['validation_accuracy']:.1%}"
    return f"{text}  reward {row['reward']:.3f}  {row['images_per_second']:,.0f} images/s"


@app.command(name="test")
def test_command(
    model: Path,
    *,
    split: Literal["test", "validation"] = "test",
    mnist: Path | None = None,
    seed: Whole = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    threads: Whole | None = None,
) -> None:
    """Measure the accuracy of a trained agent, and how many glimpses it takes.

    Args:
        model: a run's folder (its best checkpoint), a checkpoint file, or the name of a packaged agent.
        split: which canvases: test, or the training canvases held out for validation.
        mnist: folder of idx files, as for train; by default the digits that the agent was trained on.
        seed: draws the first glimpses.
        as_json: print JSON.
        threads: processor cores to use; all by default.
    """
    from irrl.devices import use_cores
    from irrl.digits.evaluate import load_agent
    from irrl.digits.source import canvases_for

    use_cores(threads)
    agent = load_agent(model)
    canvases = canvases_for(agent, split, mnist)
    predictions = agent.predict(canvases.images, seed=seed)
    accuracy = float((predictions.answers == canvases.labels).mean())
    result = {"accuracy": accuracy, "glimpses": float(predictions.glimpses.mean())}
    result |= {"n": len(canvases.labels), "split": split, "seed": seed}
    if as_json:
        say(json.dumps(result))
    else:
        asked = f"{result['n']} {split} canvases (seed {seed})"
        say(f"accuracy {accuracy:.2%} on {asked}, {result['glimpses']:.2f} glimpses a canvas")


@app.command(name="draw")
def draw_command(
    model: Path, *, out: Path | None = None, mnist: Path | None = None, cases: Whole = 12, seed: Whole = 0
) -> None:
    """Draw where a trained agent looks: a figure and a film of sample cases, and the learning curve.

    Args:
        model: a run's folder (its best checkpoint), a checkpoint file, or the name of a packaged agent.
        out: folder for the pictures; by default `figures` in the run's folder, or `NAME-figures` here for a packaged
            agent.
        mnist: folder of idx files, as for train; by default the digits that the agent was trained on.
        cases: how many test canvases to draw.
        seed: picks the canvases and draws the first glimpses.
    """
    from irrl.digits.draw import draw

    for path in draw(model, out, cases=cases, seed=seed, mnist=mnist):
        say(path)


@app.command(name="import")
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


@app.command(name="predict")
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


@app.command(name="noise")
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


@app.command(name="data")
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


@app.command(name="compare")
def compare_command(
    runs: list[Path],
    /,
    *,
    epoch: Whole | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Compare runs over their seeds: a table of rewards, or whatever else the runs differ in.

    Args:
        runs: folders of runs, or of several seeds; runs that differ only in seed and budget are one row.
        epoch: compare at this epoch; by default at the last one that all of them have reached.
        as_json: print JSON.
    """
    from irrl.cli.comparing import show_comparison
    from irrl.digits.comparison import STUDY

    show_comparison(STUDY, runs, epoch, as_json=as_json)


figure = App(name="figure", help="Draw a figure of the paper from runs.")
app.command(figure)


@figure.default
def figure_command(name: Literal["ram", "dt-ram", "hacking"], runs: list[Path], /, *, out: Path) -> None:
    """Draw validation accuracy against epochs, mean and interval over seeds, the published curves dashed behind.

    Args:
        name: the published curves: the recurrent attention model, the one that decides when to stop, or rewards from a
            converged discriminator.
        runs: folders of runs, or of several seeds; runs that differ only in seed and budget are one curve.
        out: the picture: a png, pdf or svg file.
    """
    from irrl.cli.comparing import draw_comparison
    from irrl.digits.comparison import STUDY, published_of

    draw_comparison(STUDY, runs, partial(published_of, name), out)


@figure.command(name="noise")
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
