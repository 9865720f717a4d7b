import errno
import hashlib
import json
import os
import pickle
import random
import stat
import struct
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from irrl.checkpoint import CheckpointError, encode, flatten, load, load_state, save, unflatten
from irrl.files import append

ARRAYS = {
    "params.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "params.bias": np.array([-1.5, np.nan], np.float16),
    "count": np.array(7, np.int32),
    "seen": np.array([True, False]),
    "empty": np.zeros((0, 4)),
}
STATE = {"step": 12, "epoch": 3, "best": {"accuracy": 0.25}, "note": "é\n", "list": [1, None, True]}
DTYPES = [np.float32, np.float64, np.float16, np.int8, np.uint32, np.int64, np.bool_, np.complex64]


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_round_trip(tmp_path):
    path = tmp_path / "a.safetensors"
    save(path, ARRAYS, STATE)
    found = load(path)
    assert_same(found.arrays, ARRAYS)
    assert found.state == STATE
    assert os.listdir(tmp_path) == ["a.safetensors"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda name: name != "__metadata__"),
        st.sampled_from(DTYPES).flatmap(lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0))),
        max_size=4,
    )
)
def test_round_trip_of_any_arrays(tmp_path, arrays):
    path = tmp_path / "a.safetensors"
    path.write_bytes(encode(arrays, {}))
    assert_same(load(path).arrays, arrays)


def test_transposed_strided_and_big_endian_arrays_keep_their_values(tmp_path):
    path = tmp_path / "a.safetensors"
    base = np.arange(6, dtype=np.int32).reshape(2, 3)
    save(path, {"transposed": base.T, "strided": base[:, ::2], "big": base.astype(">i4")}, {})
    found = load(path).arrays
    assert found["transposed"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["strided"].tolist() == [[0, 2], [3, 5]]
    assert found["big"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_file_is_plain_safetensors_with_the_documented_metadata(tmp_path):
    path = tmp_path / "a.safetensors"
    save(path, {"x": np.array([1, 2], np.uint8)}, {"b": 1, "a": [2]})
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
        assert file.get_tensor("x").tolist() == [1, 2]
    digest = hashlib.sha256(b'["x", "uint8", [2]]\n\x01\x02{"a":[2],"b":1}').hexdigest()
    assert metadata == {"format": "irrl", "version": "1", "state": '{"a":[2],"b":1}', "checksum": digest}


def test_equal_content_gives_equal_files_in_every_process():
    script = "import numpy as np; from irrl.checkpoint import encode; import hashlib;"
    script += "print(hashlib.sha256(encode({'b': np.ones(3), 'a': np.zeros(2)}, {'x': 1, 'w': 2})).hexdigest())"
    found = {subprocess.check_output([sys.executable, "-c", script], text=True).strip() for _ in range(3)}
    assert found == {hashlib.sha256(encode({"a": np.zeros(2), "b": np.ones(3)}, {"w": 2, "x": 1})).hexdigest()}


def test_every_truncation_is_noticed(tmp_path):
    path = tmp_path / "a.safetensors"
    content = encode(ARRAYS, STATE)
    for length in [*range(0, len(content), 7), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"a\.safetensors"):
            load(path)


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    path = tmp_path / "a.safetensors"
    content = encode(ARRAYS, STATE)
    data = 8 + struct.unpack("<Q", content[:8])[0]
    rng = random.Random(0)
    messages = []
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            found = load(path)
        except CheckpointError as error:
            messages.append(str(error))
        else:
            assert place < data, "a flip in the data must always be noticed"
            assert_same(found.arrays, ARRAYS)
            assert found.state == STATE
    assert len(messages) > 0.95 * len(content)
    assert all(str(path) in message and "\n" not in message for message in messages)


def test_values_exchanged_between_arrays_are_noticed(tmp_path):
    content = encode({"first": np.array([1, 2], np.int64), "other": np.array([3, 4], np.int64)}, {})
    (tmp_path / "a").write_bytes(content.replace(b"first", b"FIRST").replace(b"other", b"first"))
    with pytest.raises(CheckpointError, match="checksum"):
        load(tmp_path / "a")


class Bomb:
    def __reduce__(self):
        return os._exit, (3,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"hello", "not a checkpoint"),
        (b"[]" + bytes(30), "not a checkpoint"),
        (pickle.dumps(Bomb()), "not a checkpoint"),
        (safetensors.numpy.save({"x": np.zeros(2)}), "not a checkpoint of irrl"),
        (safetensors.numpy.save({"x": np.zeros(2)}, {"format": "pt"}), "format 'pt'"),
        (encode({}, {}).replace(b'"version":"1"', b'"version":"2"'), "version '2'.*update irrl"),
        (struct.pack("<Q", 2) + b"[]", "not a checkpoint"),
        (struct.pack("<Q", 10**6) + b"[" * 10**6, "not a checkpoint"),
    ],
)
def test_foreign_files_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent.*No such file"):
        load(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="directory"):
        load(tmp_path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "a.safetensors"
    save(path, ARRAYS, {"step": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space"):
        save(path, ARRAYS, {"step": 2})
    assert load(path).state == {"step": 1}
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_the_content_is_on_the_disk_before_the_rename_and_the_rename_after_it(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else os.fstat(descriptor).st_size)
        fsync(descriptor)

    def watched_replace(source, target):
        done.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    save(tmp_path / "a", ARRAYS, STATE)
    assert done == [len(encode(ARRAYS, STATE)), "replace", "folder"]


def test_an_interrupt_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "a.safetensors", ARRAYS, {})
    assert os.listdir(tmp_path) == []


def test_a_file_size_limit_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save(path, ARRAYS, {"step": 1})
    script = f"""
import resource, signal, numpy as np
from pathlib import Path
from irrl.checkpoint import save
from irrl.files import append
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
append(Path({str(tmp_path / "rows")!r}), b"x" * 1990)
for write in (lambda: save(Path({str(path)!r}), {{"big": np.ones(1000)}}, {{"step": 2}}),
              lambda: append(Path({str(tmp_path / "rows")!r}), b"y" * 100)):
    try:
        write()
    except OSError as error:
        print(error.strerror)
"""
    shown = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert shown == "File too large\n" * 2
    assert load(path).state == {"step": 1}
    assert (tmp_path / "rows").read_bytes() == b"x" * 1990
    assert sorted(os.listdir(tmp_path)) == ["a.safetensors", "rows"]


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    save(tmp_path / "a", {}, {})
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([None]), np.zeros(2, np.complex128), np.zeros(2, jnp.bfloat16)]
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, array):
    with pytest.raises(TypeError, match="do not fit"):
        save(tmp_path / "a", {"x": array}, {})
    assert os.listdir(tmp_path) == []


def test_state_must_be_json(tmp_path):
    with pytest.raises(TypeError):
        save(tmp_path / "a", {}, {"x": object()})
    assert os.listdir(tmp_path) == []


def test_append_goes_to_the_end(tmp_path):
    append(tmp_path / "rows", b"a\n")
    append(tmp_path / "rows", b"b\n")
    assert (tmp_path / "rows").read_bytes() == b"a\nb\n"


class Layer(NamedTuple):
    weight: jax.Array
    bias: jax.Array


def tree(scale):
    params = {"classifier": Layer(scale * jnp.ones((2, 3)), jnp.zeros(3, jnp.float16)), "layers": [jnp.arange(2)]}
    _, opt_state = optax.adam(1e-3).update(params["classifier"], optax.adam(1e-3).init(params["classifier"]))
    return {"params": params, "opt_state": opt_state, "epoch": 4 * scale, "mean": np.float32(0.5), "host": np.ones(2)}


def test_flatten_names_leaves_by_their_path():
    arrays = flatten(tree(1))
    assert sorted(arrays) == [
        "epoch",
        "host",
        "mean",
        "opt_state.0.count",
        "opt_state.0.mu.bias",
        "opt_state.0.mu.weight",
        "opt_state.0.nu.bias",
        "opt_state.0.nu.weight",
        "params.classifier.bias",
        "params.classifier.weight",
        "params.layers.0",
    ]
    assert arrays["opt_state.0.count"].dtype == np.int32
    assert arrays["params.classifier.bias"].dtype == np.float16
    assert arrays["epoch"].shape == ()


@pytest.mark.parametrize("shapes_only", [False, True])
def test_flatten_file_unflatten_gives_the_tree_back(tmp_path, shapes_only):
    original = tree(2)
    save(tmp_path / "a", flatten(original), {})
    like = tree(1)
    if shapes_only:
        like["params"], like["opt_state"] = jax.eval_shape(lambda: (tree(1)["params"], tree(1)["opt_state"]))
    found = unflatten(like, load(tmp_path / "a").arrays)
    assert jax.tree.structure(found) == jax.tree.structure(original)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(original), strict=True):
        assert type(one) is type(other)
        assert np.asarray(one).dtype == np.asarray(other).dtype
        np.testing.assert_array_equal(one, other)
    assert found["epoch"] == 8
    assert found["opt_state"][0].count == 1


def test_unflatten_gives_arrays_of_their_own():
    buffer = np.zeros(4096 + 64, np.uint8)
    # JAX may share the memory of a NumPy array that starts at a multiple of 64 bytes.
    start = -buffer.ctypes.data % 64
    arrays = {"x": buffer[start : start + 4096].view(np.float32)}
    found = unflatten({"x": jnp.zeros(1024)}, arrays)
    arrays["x"][:] = 1
    assert found["x"].sum() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("b.weight"), "no array 'b.weight'"),
        (lambda arrays: arrays.update(more=np.zeros(1)), "array 'more'"),
        (lambda arrays: arrays.update({"b.weight": np.zeros(3, np.float32)}), r"'b.weight' is float32\[3\].*\[2\]"),
        (lambda arrays: arrays.update({"b.weight": np.zeros(2, np.int32)}), r"'b.weight' is int32\[2\].*float32\[2\]"),
    ],
)
def test_unflatten_names_the_first_mismatch(change, message):
    like = {"a": jnp.zeros(2), "b": Layer(jnp.zeros(2), jnp.zeros(()))}
    arrays = flatten(like)
    change(arrays)
    with pytest.raises(CheckpointError, match=message):
        unflatten(like, arrays)


def test_two_leaves_of_one_name_are_refused():
    with pytest.raises(ValueError, match="same name"):
        flatten({"a.b": 1, "a": {"b": 2}})


def test_state_in_the_file_is_readable_without_irrl(tmp_path):
    save(tmp_path / "a", ARRAYS, STATE)
    content = (tmp_path / "a").read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    assert json.loads(header["__metadata__"]["state"]) == STATE


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused_before_use(bad):
    good = np.array([1.0, 2.0], np.float32)
    with pytest.raises(CheckpointError, match="array 'w' holds NaN or infinite"):
        unflatten({"w": good}, {"w": np.array([1.0, bad], np.float32)})


def test_the_header_alone_gives_the_state(tmp_path):
    save(tmp_path / "a", ARRAYS, {"step": 3})
    content = bytearray((tmp_path / "a").read_bytes())
    content[-1] ^= 1
    (tmp_path / "a").write_bytes(content)
    assert load_state(tmp_path / "a") == {"step": 3}
    with pytest.raises(CheckpointError, match="checksum"):
        load(tmp_path / "a")


def test_a_large_file_that_is_no_checkpoint_is_refused_unread(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="bytes; at most"):
        load(tmp_path / "sparse")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 29)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load(tmp_path / "sparse")
