"""What stands in a run's folder, read with care, for it may be a stranger's."""

import os
import re
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from irrl.errors import UserError, printable, warn
from irrl.files import TEMPORARY_SUFFIX, parse_json, read_file
from irrl.locks import lock_folder
from irrl.seeds import check_single
from irrl.settings import MOST_ROWS, config_from, upgraded

C = TypeVar("C")

MOST_JSON_BYTES, MOST_METRICS_BYTES = 4 << 20, 64 << 20
"""Of a config or a list of starts, and of a metrics file."""

MOST_LINES = 4 * MOST_ROWS
"""Of a metrics file: after kills a row may stand there more than once."""

MOST_STEPS = 2**53
"""That a checkpoint or a row can tell of."""


def kept_checkpoints(folder: Path, unit: str) -> dict[int, Path]:
    """The checkpoints that a run kept for good, by epoch (or whatever its unit), in order."""
    found = {path.stem.removeprefix(f"{unit}-"): path for path in folder.glob(f"{unit}-*.safetensors")}
    return dict(sorted((int(number), path) for number, path in found.items() if re.fullmatch("[0-9]{1,15}", number)))


def run_checkpoints(folder: Path, unit: str) -> list[Path]:
    """The checkpoints in a run's folder: last, previous, best, and those kept for good. One may be a broken link."""
    named = (folder / f"{name}.safetensors" for name in ("last", "previous", "best"))
    return [*filter(os.path.lexists, named), *kept_checkpoints(folder, unit).values()]


def read_config(folder: Path, task: str, kind: type[C]) -> C:
    """The config of the run in `folder`.

    Args:
        kind: the task's config dataclass.

    Raises:
        UserError: there is none, or it is no config of this task.
    """
    return config_from(kind, _recorded(folder, task), folder / "config.json")


def read_settings(folder: Path, task: str, kind: type) -> dict[str, Any]:
    """The settings of the run in `folder`, to compare it with others. Those that this irrl has not are kept, as text.

    Raises:
        UserError: as for `read_config`.
    """
    recorded = upgraded(kind, _recorded(folder, task))
    names = {field.name for field in fields(kind)}
    known = {name: value for name, value in recorded.items() if name in names}
    others = {printable(name)[:60]: printable(value)[:60] for name, value in recorded.items() if name not in names}
    return asdict(config_from(kind, known, folder / "config.json")) | others


def _recorded(folder: Path, task: str) -> dict[str, Any]:
    check_single(folder)
    if folder.is_file():
        raise UserError(f"{folder}: a file; give the folder of the run")
    recorded = read_json(folder / "config.json", otherwise={})
    if not isinstance(recorded.get("config"), dict) or recorded.get("task") != task:
        raise UserError(f"{folder / 'config.json'}: missing, damaged, or not of a run of the task {task}")
    return recorded["config"]


def check_progress(path: Path, state: Mapping[str, Any], unit: str) -> None:
    """Refuse a state that does not say how far its run is."""
    for name in ("step", unit):
        if not is_count(state.get(name)):
            raise UserError(f"{path}: not the checkpoint of a run: its {name} is {str(state.get(name))[:40]}")
    best = state.get("best", 0.0)
    if not (_is_number(best) and abs(best) < float("inf")):  # nor NaN
        raise UserError(f"{path}: not the checkpoint of a run: its best is {str(best)[:40]}")


def is_count(value: object) -> bool:
    """Whether it can be how far a run is, in its unit or in steps: a stranger's row may say 1.5, or NaN."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_STEPS


def read_json(path: Path, otherwise: Any) -> Any:
    """Read a file that holds the kind of value `otherwise` is, which stands for a file that does not."""
    with suppress(OSError, ValueError):
        found = parse_json(read_file(path, MOST_JSON_BYTES))
        return found if isinstance(found, type(otherwise)) else otherwise
    return otherwise


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a metrics file: rows of numbers by name. Lines that hold none are passed over, with one warning.

    Raises:
        UserError: it is no file, or too large.
    """
    try:
        content = read_file(path, MOST_METRICS_BYTES)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path}: cannot read these metrics: {error.strerror}") from error
    if (count := content.count(b"\n")) > MOST_LINES:
        raise UserError(f"{path}: {count:,} lines; the metrics of a run have {MOST_LINES:,} at most")
    lines = content.split(b"\n")
    lines = lines[: len(lines) - (not lines[-1])]
    rows = [row for row in map(_row, lines) if row is not None]
    if len(rows) < len(lines):
        warn(f"{path}: passed over {len(lines) - len(rows)} of {len(lines)} lines that are no rows of metrics")
    return rows


def _row(line: bytes) -> dict[str, Any] | None:
    with suppress(ValueError):
        row = parse_json(line)
        if isinstance(row, dict) and is_count(row.get("step")) and all(map(_is_number, row.values())):
            return row
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def clear(folder: Path) -> None:
    """`sweep`, unless somebody is at work there, or it may not be written."""
    with suppress(UserError, OSError), lock_folder(folder):
        sweep(folder)


def sweep(folder: Path) -> None:
    """Clear away what killed processes left half-written, and folders that stand where a checkpoint belongs."""
    for stale in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        if not stale.is_dir() or stale.is_symlink():
            stale.unlink(missing_ok=True)
            continue
        try:
            lock_folder(stale).close()  # an import that is still at work holds it
        except (UserError, OSError):
            continue
        shutil.rmtree(stale, ignore_errors=True)
    for name in ("last", "previous", "best"):
        path = folder / f"{name}.safetensors"
        if path.is_dir():
            set_aside(path, "a folder, where a checkpoint belongs")


def set_aside(path: Path, why: str) -> None:
    """Give what stands in the way of a run's own file another name, and say so."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.aside")
    path.rename(aside)
    warn(f"{path}: {why}; it is now {aside.name}")
