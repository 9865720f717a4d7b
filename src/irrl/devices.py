"""The devices that a training step runs on: each takes an equal share of the batch, and gradients are summed over them.

A processor core is a device too: small matrix products waste a third of two cores that have to share each of them,
and next to nothing when each core has its own.
"""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

from irrl import machine
from irrl.errors import UserError

AXIS = "devices"
SMALLEST_SHARE = 32
"""Rows of a batch below which another device costs more than it brings."""

Tree = TypeVar("Tree")
Arguments = ParamSpec("Arguments")


def in_32_bits(function: Callable[Arguments, Tree]) -> Callable[Arguments, Tree]:
    """`function`, computing in float32 and int32 also where JAX_ENABLE_X64 is set: to the last bit as where it is not.

    To give every array its type would not do: Optax makes its own, of JAX's default types.
    """

    @wraps(function)
    def computing(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Tree:
        with jax.enable_x64(False):
            return function(*args, **kwargs)

    return computing


def use_cores(cores: int | None = None) -> None:
    """Make each of `cores` processor cores (None: all that this process may use) a device of one thread.

    Without it JAX sees the whole processor as one device. Once JAX is in use its devices stand, so call it first.

    Raises:
        UserError: `cores` is not positive, or JAX is already in use with another number of devices.
    """
    if cores is not None and cores < 1:
        raise UserError(f"`threads` is {cores}; it must be at least 1")
    os.environ["NPROC"] = "1"  # threads of JAX's CPU client for each device
    try:
        jax.config.update("jax_num_cpu_devices", cores or machine.cores())
    except RuntimeError:
        if cores not in (None, jax.device_count()):
            raise UserError(f"`threads={cores}` comes too late: JAX already computes on {jax.device_count()}") from None


def mesh(batch: int) -> Mesh:
    """As many of JAX's devices as divide `batch` into equal shares that are not too small."""
    available = jax.devices()
    most = max(1, min(len(available), batch // SMALLEST_SHARE))
    count = next(count for count in range(most, 0, -1) if batch % count == 0)
    return Mesh(np.array(available[:count]), (AXIS,))


def shares(batch: int) -> int:
    """How many devices share a batch; where several processes train together, all of theirs must.

    Raises:
        UserError: they do not.
    """
    count = mesh(batch).size
    if jax.process_count() > 1 and count < jax.device_count():
        raise UserError(
            f"`batch={batch}` cannot be shared by the {jax.device_count()} devices of {jax.process_count()} processes: "
            f"each must have as many rows, {SMALLEST_SHARE} or more"
        )
    return count


def is_mine(mesh: Mesh) -> bool:
    """Whether this process has a device of `mesh`: one that has none takes no part in what is computed there."""
    return bool(mesh.local_devices)


def my_rows(mesh: Mesh, batch: int) -> slice | None:
    """Which rows of a batch the devices of this process take (`my_share`); None: all, for no other process has any."""
    mine = [device.process_index == jax.process_index() for device in mesh.devices.flat]
    if all(mine):
        return None
    size = batch // mesh.size
    return slice(mine.index(True) * size, (mine.index(True) + sum(mine)) * size)  # they stand process by process


def whole(array: Array) -> Shaped[np.ndarray, "..."]:
    """An array of shares, of this process's devices and of others', on the host."""
    if array.is_fully_addressable:
        return np.asarray(array)
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def on_every(mesh: Mesh, tree: Any) -> Any:
    """`tree` with each array whole on every device of `mesh`; on processor cores they share its memory."""
    sharding = NamedSharding(mesh, PartitionSpec())

    def place(array):
        if isinstance(array, jax.Array) and not array.is_fully_addressable:
            array = array.addressable_data(0)  # whole on each device of this process, as on those of the others
        copies = [jax.device_put(array, device) for device in mesh.local_devices]
        return jax.make_array_from_single_device_arrays(array.shape, sharding, copies)

    return jax.tree.map(place, tree)


def my_share(tree: Tree) -> Tree:
    """This device's rows of every array in `tree`; inside `jax.shard_map` over `mesh`."""

    def rows(array: Array) -> Array:
        size = array.shape[0] // jax.lax.axis_size(AXIS)
        return jax.lax.dynamic_slice_in_dim(jnp.asarray(array), jax.lax.axis_index(AXIS) * size, size)

    return jax.tree.map(rows, tree)


def rows_at_once(batch: int, part: int) -> int:
    """How many rows of a batch a device's gradient is taken of at a time; see `summed_over_parts`."""
    share = batch // mesh(batch).size
    return part if _in_parts(share, part) else share


def _in_parts(rows: int, size: int) -> bool:
    return 0 < size < rows and rows % size == 0 and jax.default_backend() == "cpu"


def summed_over_parts(function: Callable[..., Tree], rows: tuple[Any, ...], size: int) -> Tree:
    """The sum of `function(*part)` over parts of `size` rows of every array in `rows`, one after the other.

    What a part of a small network's batch computes stays in a processor core's cache. With `size` 0, where it does not
    divide the rows, and on accelerators, which want large batches, all are one part.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    if not _in_parts(count, size):
        return function(*rows)
    parts = jax.tree.map(lambda array: array.reshape(count // size, size, *array.shape[1:]), rows)
    shapes = jax.eval_shape(function, *jax.tree.map(lambda array: array[0], parts))
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def add(total, part):
        return jax.tree.map(jnp.add, total, function(*part)), None

    return jax.lax.scan(add, zeros, parts)[0]
