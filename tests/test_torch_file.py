"""PyTorch's tensor files: what is in them, and that nothing that they ask for is run."""

import contextlib
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from irrl.errors import UserError
from irrl.torch_file import read_torch_file
from torch_writer import Call, Tensor, code, name, tensor, write, write_pickle

NUMBERS = np.arange(12, dtype=np.float32)


def test_tensors_in_plain_containers(tmp_path):
    whole = NUMBERS.reshape(3, 4)
    value = {
        "epoch": 7,
        "model_state": {"a": tensor(whole, "0"), "b": tensor(np.array([True, False]), "1")},
        "scalar": Tensor(NUMBERS, "2", 5, (), ()),
        "empty": Tensor(NUMBERS, "2", 0, (0, 3), (3, 1)),
        "best": 90.5,
    }
    read = read_torch_file(write(tmp_path / "file.pth", value))
    assert (read["epoch"], read["best"]) == (7, 90.5)
    np.testing.assert_array_equal(read["model_state"]["a"], whole)
    assert read["model_state"]["a"].dtype == np.float32
    assert read["model_state"]["b"].tolist() == [True, False]
    assert read["scalar"].shape == () and read["scalar"] == 5
    assert read["empty"].shape == (0, 3)


def test_offset_and_strides_pick_numbers_of_a_shared_storage(tmp_path):
    # The second and third rows of the transpose of [[0, 1, 2, 3], [4, ...], [8, ...]].
    view = Tensor(NUMBERS, "0", 1, (2, 3), (1, 4))
    assert read_torch_file(write(tmp_path / "file.pth", {"view": view}))["view"].tolist() == [[1, 5, 9], [2, 6, 10]]


def test_attributes_of_an_ordered_dictionary_are_dropped(tmp_path):
    """PyTorch hangs version numbers on a model's state."""
    content = code(Call("collections.OrderedDict", (), {"_metadata": {"version": 1}}))
    state = read_torch_file(write_pickle(tmp_path / "file.pth", b"\x80\x02" + content + b"."))
    assert state == {}
    assert not hasattr(state, "_metadata")


def test_a_file_of_pytorch_itself(tmp_path):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    weight = layer.weight.detach()
    content = {"state": layer.state_dict(), "optimizer": optimizer.state_dict(), "view": weight.T[1:], "epoch": 3}
    torch.save(content, tmp_path / "file.pth")
    read = read_torch_file(tmp_path / "file.pth")
    np.testing.assert_array_equal(read["state"]["weight"], weight.numpy())
    np.testing.assert_array_equal(read["view"], weight.numpy().T[1:])
    assert read["epoch"] == 3


class Hostile:
    """Has `function` called by whoever unpickles it."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_a_payload_is_named_and_not_run(tmp_path, protocol):
    sentinel = tmp_path / "sentinel"
    for function, argument, wanted in (
        (os.system, f"touch {sentinel}", f"{os.system.__module__}.system"),
        (eval, f"open({str(sentinel)!r}, 'w')", "eval"),
        (exec, f"open({str(sentinel)!r}, 'w')", "exec"),
        (open, str(sentinel), "open"),
        (pickle.loads, pickle.dumps(Hostile(os.system, f"touch {sentinel}")), "loads"),
    ):
        content = pickle.dumps({"epoch": Hostile(function, argument)}, protocol)
        refused(write_pickle(tmp_path / "file.pth", content), wanted)
        assert not sentinel.exists()
    pickle.loads(pickle.dumps(Hostile(os.system, f"touch {sentinel}"), protocol))
    assert sentinel.exists(), "the payload works where it is run"


@pytest.mark.parametrize(
    "forbidden",
    [
        "builtins.getattr",
        "collections.OrderedDict.__init__.__globals__",
        "torch._utils.__builtins__",
        "torch.FloatStorage.__class__",
        "torch.load",
        "irrl.torch_file._tensor",
        "numpy.core.multiarray._reconstruct",
        "posix.system",
    ],
)
def test_every_other_name_is_refused(tmp_path, forbidden):
    """Dotted names too, by which a pickle reaches into what is admitted."""
    module, _, last = forbidden.partition(".") if "OrderedDict" in forbidden else forbidden.rpartition(".")
    by_opcode = f"c{module}\n{last}\n".encode()
    on_stack = code(module) + code(last) + b"\x93"
    instance = b"(" + f"i{module}\n{last}\n".encode()
    for content in (by_opcode + b")R", on_stack + b")R", instance):
        refused(write_pickle(tmp_path / "file.pth", b"\x80\x04" + content + b"."), repr(forbidden))


REBUILD, STORAGE = name("torch._utils._rebuild_tensor_v2"), name("torch.FloatStorage")


@pytest.mark.parametrize(
    "content",
    [
        REBUILD + b")R",  # no arguments
        REBUILD + code((1, 2, 3, 4)) + b"R",
        REBUILD + code((("a", "b"), 0, (2,), (1,))) + b"R",
        REBUILD + b"NR",
        STORAGE + b")R",  # a string is not callable
        STORAGE + code({"x": 1}) + b"b",
        REBUILD + code((None, {"__code__": 1})) + b"b",
        name("collections.OrderedDict") + code((None, {"items": 1})) + b"b",
        name("collections.OrderedDict") + code((5,)) + b"R",
        code(("storage", "float32", "0", "cpu", 3)) + b"Q",  # there is no such entry
        code(("storage", "object", "0", "cpu", 3)) + b"Q",
        code(("module", "float32", "0", "cpu", 3)) + b"Q",
        code("storage") + b"Q",
        b"P0\n",
        b"r" + struct.pack("<I", 2**32 - 1),  # a place in the memo that would take 32 GB
        b"Nr" + struct.pack("<I", 2**31),
        b"h\x07",
        b"0",
        b"\x8e" + struct.pack("<Q", 2**62),  # bytes of that length
        b"\x95" + struct.pack("<Q", 2**62),
        b"\x82\x01",
        b"I" + b"9" * 100_000 + b"\n",
        b"}(u]]s",
        b"\xff",
        b"",
    ],
)
def test_silly_codes_are_one_error(tmp_path, content):
    refused(write_pickle(tmp_path / "file.pth", b"\x80\x02" + content + b"."), "")


def test_what_a_pickle_changes_does_not_outlive_it(tmp_path):
    """A pickle may set attributes of whatever it gets hold of."""
    for target in (REBUILD, name("collections.OrderedDict"), STORAGE):
        for state in ({"poison": 1}, (None, {"poison": 1}), (None, {"__doc__": "poison"})):
            content = b"\x80\x02" + target + code(state) + b"b0" + code({}) + b"."
            with contextlib.suppress(UserError):
                read_torch_file(write_pickle(tmp_path / "file.pth", content))
            found = read_torch_file(write_pickle(tmp_path / "file.pth", b"\x80\x02" + target + b"."))
            assert getattr(found, "poison", None) is None
            assert found.__doc__ != "poison"


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (13,), (1,)),
        (12, (), ()),
        (1, (3, 4), (4, 1)),
        (0, (2, 2), (12, 1)),
        (-1, (2,), (1,)),
        (3, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (2**62,), (2**62,)),
        (0, (2**62,), (0,)),
        (0, (10**12,), (0,)),
        (0, (10**30,), (1,)),
        (0, (0, 2**62), (1, 1)),
        (0, (1,) * 100, (1,) * 100),
        (0, (2, 3), (1,)),
        (True, (2,), (1,)),
        (0.0, (2,), (1,)),
        (0, (2.0,), (1,)),
        (0, 12, 1),
    ],
)
def test_a_tensor_stays_within_its_storage(tmp_path, offset, size, stride):
    refused(write(tmp_path / "file.pth", {"x": Tensor(NUMBERS, "0", offset, size, stride)}), "tensor")


def test_the_last_number_of_a_storage_can_be_reached(tmp_path):
    path = write(tmp_path / "file.pth", {"x": Tensor(NUMBERS, "0", 3, (3,), (4,))})
    assert read_torch_file(path)["x"].tolist() == [3, 7, 11]


def test_a_storage_of_another_size_than_said(tmp_path):
    content = b"\x80\x02" + code({"x": tensor(NUMBERS, "0")}) + b"."
    refused(write_pickle(tmp_path / "file.pth", content, {"0": NUMBERS.tobytes()[:-4]}), "storage '0'")


def test_truncated_anywhere(tmp_path):
    whole = write(tmp_path / "whole.pth", {"x": tensor(NUMBERS, "0"), "epoch": 3}).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "part.pth").write_bytes(whole[:length])
        refused(tmp_path / "part.pth", "damaged")


def test_a_flipped_byte_is_noticed_or_harmless(tmp_path):
    whole = write(tmp_path / "whole.pth", {"x": tensor(NUMBERS, "0"), "epoch": 3}).read_bytes()
    for place in range(0, len(whole), 3):
        (tmp_path / "flipped.pth").write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(UserError):
            assert read_torch_file(tmp_path / "flipped.pth")["x"].tolist() == NUMBERS.tolist()


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x02}.", bytes(range(256)) * 40])
def test_not_a_zip_archive(tmp_path, content):
    (tmp_path / "file.pth").write_bytes(content)
    refused(tmp_path / "file.pth", "not a file of torch.save")


def test_other_zip_archives(tmp_path):
    refused(write(tmp_path / "file.pth", {"epoch": 3}, compression=zipfile.ZIP_DEFLATED), "compressed")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(tmp_path / "other.zip", "data.pkl")


def test_missing_and_a_folder(tmp_path):
    refused(tmp_path / "missing.pth", "No such file")
    refused(tmp_path, "directory")


def refused(path, wanted: str) -> None:
    with pytest.raises(UserError) as error:
        read_torch_file(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and wanted in message
    assert len(message) < len(str(path)) + 400
