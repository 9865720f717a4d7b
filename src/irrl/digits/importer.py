"""The authors' released checkpoints of the recurrent attention model, turned into ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from irrl import checkpoint, files
from irrl.digits.config import Config, preset
from irrl.digits.ram import Params, initial_params
from irrl.errors import UserError, warn
from irrl.recurrent import Linear
from irrl.run import DiskRun, Plan
from irrl.settings import recorded
from irrl.torch_file import read_torch_file

LAYERS = {
    "sensor_patch": "sensor.fc1",
    "sensor_location": "sensor.fc2",
    "encoder_patch": "sensor.fc3",
    "encoder_location": "sensor.fc4",
    "core_input": "rnn.i2h",
    "core_hidden": "rnn.h2h",
    "locator_hidden": "locator.fc",
    "locator_mean": "locator.fc_lt",
    "baseline": "baseliner.fc",
    "classifier": "classifier.fc",
}
"""Our name of each layer, and the authors'."""
PARALLEL = "module."
"""Before every name, if the model was saved inside PyTorch's DataParallel."""


def import_checkpoint(file: Path, out: Path) -> dict[str, Any]:
    """Convert a released checkpoint into a folder that `irrl.load`, `irrl digits test` and `draw` take.

    Its settings are those of the preset `paper`. The optimiser's state stays behind: the agent can be used, but not
    trained on.

    Args:
        file: the authors' file: a dictionary of `epoch`, `best_valid_acc` (in per cent), `model_state` and more.
        out: the folder to make.

    Returns:
        The checkpoint's state: `epoch` and `best_valid_acc` as in the file, `step` and `best` as in every run.

    Raises:
        UserError: the file is not such a checkpoint (the message names the first layer that is missing or of another
            shape), or `out` exists and is not an empty folder, or it cannot be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out}: already exists, and nothing there is overwritten; choose another folder")
    files.check_folder(out.parent)
    config = preset("paper")
    saved = read_torch_file(file)
    try:
        epoch, best = _progress(saved)
        params = params_of(saved["model_state"], config)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    steps = epoch * -(-(config.train_size - config.held_out) // config.batch)
    state = {"step": steps, "epoch": epoch, "best": best / 100, "best_valid_acc": best}
    arrays = {f"params.{name}": array for name, array in checkpoint.flatten(params).items()}

    def write(folder: Path) -> None:
        with DiskRun.open(folder, Plan("digits", recorded(config)), resume="never") as run:
            run.save(arrays, state, best=True, keep=False)

    out.parent.mkdir(parents=True, exist_ok=True)
    files.replace_by(out, write)
    return state


def params_of(model_state: Mapping[str, Any], config: Config) -> Params:
    """The authors' weights, outputs x inputs there, as ours, inputs x outputs.

    Other floating-point types than float32 are converted, which one line on stderr says.

    Raises:
        UserError: an array is missing, superfluous, of another shape or type, or holds NaN or infinity.
    """
    if all(str(name).startswith(PARALLEL) for name in model_state):
        model_state = {str(name).removeprefix(PARALLEL): array for name, array in model_state.items()}
    names = {f"{theirs}.{kind}" for theirs in LAYERS.values() for kind in ("weight", "bias")}
    for name in sorted(set(map(str, model_state)) - names):
        raise UserError(f"model_state has {name[:60]!r}, which the recurrent attention model has not")
    wanted = jax.eval_shape(lambda: initial_params(config, key=jax.random.key(0)))
    layers = {}
    for ours, theirs in LAYERS.items():
        inputs, outputs = getattr(wanted, ours).weight.shape
        weight = _array(model_state, f"{theirs}.weight", (outputs, inputs))
        bias = _array(model_state, f"{theirs}.bias", (outputs,))
        layers[ours] = Linear(jnp.asarray(weight.T), jnp.asarray(bias))
    others = sorted({array.dtype.name for array in model_state.values()} - {"float32"})
    if others:
        warn(f"the weights are {', '.join(others)}; converted to float32")
    return Params(**layers)


def _progress(saved: Any) -> tuple[int, float]:
    """`epoch` and `best_valid_acc`, once it is clear that `saved` has them and a `model_state`."""
    if not isinstance(saved, dict):
        raise UserError("does not hold a dictionary; a released checkpoint has epoch, best_valid_acc and model_state")
    kinds = {"epoch": int, "best_valid_acc": int | float, "model_state": dict}
    for name, kind in kinds.items():
        if not isinstance(_plain(saved.get(name)), kind):
            meant = "dictionary" if kind is dict else "number"
            raise UserError(f"has no {name}, or it is no {meant}; a released checkpoint has {', '.join(kinds)}")
    epoch, best = _plain(saved["epoch"]), _plain(saved["best_valid_acc"])
    if not (0 <= epoch < 2**31 and 0 <= best <= 100):
        raise UserError("records an epoch or a best_valid_acc that cannot be; they must be a count and per cent")
    return epoch, float(best)


def _plain(value: Any) -> Any:
    """A tensor of one number as that number."""
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _array(model_state: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    array = model_state.get(name)
    if not isinstance(array, np.ndarray):
        raise UserError(f"model_state has no tensor {name!r}")
    if array.shape != shape:
        raise UserError(
            f"{name!r} has the shape {list(array.shape)}, in the paper's model {list(shape)}: only RAM with one 4x4 "
            "patch can be imported"
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise UserError(f"{name!r} is {array.dtype}; weights are floating-point numbers")
    with np.errstate(over="ignore"):  # of a double too large for float32, which is then infinite
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{name!r} holds NaN or infinite numbers, or some too large for float32")
    return array
