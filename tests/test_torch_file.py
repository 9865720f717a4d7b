"""PyTorch's tensor files: what is in them, and that nothing that they ask for is run."""

import contextlib
import os
import pickle
import struct
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from irrl.errors import UserError
from irrl.torch_file import read_torch_file
from torch_writer import Call, Tensor, code, name, tensor, write, write_legacy, write_pickle

NUMBERS = np.arange(12, dtype=np.float32)


@pytest.fixture(params=[write, write_legacy], ids=["zip", "legacy"])
def save(request):
    return request.param


def test_tensors_in_plain_containers(tmp_path, save):
    whole = NUMBERS.reshape(3, 4)
    value = {
        "epoch": 7,
        "model_state": {"a": tensor(whole, "0"), "b": tensor(np.array([True, False]), "1")},
        "scalar": Tensor(NUMBERS, "2", 5, (), ()),
        "empty": Tensor(NUMBERS, "2", 0, (0, 3), (3, 1)),
        "best": 90.5,
    }
    read = read_torch_file(save(tmp_path / "file.pth", value))
    assert (read["epoch"], read["best"]) == (7, 90.5)
    np.testing.assert_array_equal(read["model_state"]["a"], whole)
    assert read["model_state"]["a"].dtype == np.float32
    assert read["model_state"]["b"].tolist() == [True, False]
    assert read["scalar"].shape == () and read["scalar"] == 5
    assert read["empty"].shape == (0, 3)
    assert not read["model_state"]["a"].flags.writeable


def test_offset_and_strides_pick_numbers_of_a_shared_storage(tmp_path, save):
    # The second and third rows of the transpose of [[0, 1, 2, 3], [4, ...], [8, ...]].
    view = Tensor(NUMBERS, "0", 1, (2, 3), (1, 4))
    assert read_torch_file(save(tmp_path / "file.pth", {"view": view}))["view"].tolist() == [[1, 5, 9], [2, 6, 10]]


def test_a_tensor_may_repeat_its_storage(tmp_path, save):
    """What PyTorch's `expand` makes: NUMBERS[1:4] as a column, five times side by side."""
    column = Tensor(NUMBERS, "0", 1, (3, 5), (1, 0))
    assert read_torch_file(save(tmp_path / "file.pth", {"x": column}))["x"].tolist() == [[1] * 5, [2] * 5, [3] * 5]


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float64])
def test_types_of_numbers(tmp_path, save, dtype):
    numbers = np.array([0.5, -1.25, 1024], dtype)
    read = read_torch_file(save(tmp_path / "file.pth", {"x": tensor(numbers, "0")}))["x"]
    assert read.dtype == numbers.dtype and read.tolist() == [0.5, -1.25, 1024]


def test_a_parameter_is_its_tensor(tmp_path, save):
    parameter = Call("torch._utils._rebuild_parameter", (tensor(NUMBERS, "0"), True, {}))
    assert read_torch_file(save(tmp_path / "file.pth", {"x": parameter}))["x"].tolist() == NUMBERS.tolist()


def test_an_ordered_dictionary_of_python_2(tmp_path):
    """There it was pickled as a list of pairs, and text as bytes."""
    pairs = b"](](U\x01aK\x01e](U\x01bK\x02ee"
    content = b"\x80\x02" + name("collections.OrderedDict") + pairs + b"\x85R."
    assert read_torch_file(write_pickle(tmp_path / "file.pth", content)) == {"a": 1, "b": 2}


def test_attributes_of_an_ordered_dictionary_are_dropped(tmp_path):
    """PyTorch hangs version numbers on a model's state."""
    content = code(Call("collections.OrderedDict", (), {"_metadata": {"version": 1}}))
    state = read_torch_file(write_pickle(tmp_path / "file.pth", b"\x80\x02" + content + b"."))
    assert state == {}
    assert not hasattr(state, "_metadata")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_pytorch_itself(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(3)).sum().backward()
    optimizer.step()
    weight = layer.weight.detach()
    tensors = {"view": weight.T[1:], "expanded": weight[:, :1].expand(2, 7), "empty": weight[:0]}
    tensors |= {kind: weight.to(getattr(torch, kind)) for kind in ("half", "double", "int64", "bool", "complex64")}
    tensors["uint16"] = torch.arange(5).to(torch.uint16)  # kept in a storage without a type
    content = {"state": layer.state_dict(), "optimizer": optimizer.state_dict(), "parameters": list(layer.parameters())}
    content |= {"tensors": tensors, "bfloat16": weight.bfloat16(), "shape": weight.shape, "epoch": 3}
    content["untyped"] = torch.arange(2).to(torch.uint8).untyped_storage()
    torch.save(content, tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
    read = read_torch_file(tmp_path / "file.pth")
    np.testing.assert_array_equal(read["state"]["weight"], weight.numpy())
    np.testing.assert_array_equal(read["parameters"][0], weight.numpy())
    np.testing.assert_array_equal(read["bfloat16"].astype(np.float32), weight.bfloat16().float().numpy())
    for kind, array in read["tensors"].items():
        np.testing.assert_array_equal(array, tensors[kind].numpy())
        assert array.dtype == tensors[kind].numpy().dtype
    moment = optimizer.state_dict()["state"][0]["exp_avg"]
    np.testing.assert_array_equal(read["optimizer"]["state"][0]["exp_avg"], moment.numpy())
    assert (read["shape"], read["epoch"], read["untyped"].tolist()) == ((2, 3), 3, [0, 1])


class Hostile:
    """Has `function` called by whoever unpickles it."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [1, 2, 4])
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
    for content, wanted in (
        (by_opcode + b")R", repr(forbidden)),
        (on_stack + b")R", repr(forbidden)),
        (instance, "INST"),
    ):
        refused(write_pickle(tmp_path / "file.pth", b"\x80\x04" + content + b"."), wanted)


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


PAIRS = b"](" + b"".join(code([f"{number}", 0]) for number in range(2000)) + b"e\x85q\x07"  # a tuple of a list
DEEP = 20_000


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"]" * DEEP + b"a" * (DEEP - 1), "deep"),
        (b"N" + b"\x85" * DEEP, "deep"),
        ((b"}" + code("x")) * DEEP + b"N" + b"s" * DEEP, "deep"),
        (b"]q\x00h\x00a", "deep"),  # a list in itself
        (b"]q\x07h\x07a}" + code("x") + b"h\x07s", "deep"),
        (b"}" + b"N" + b"\x85" * DEEP + b"Ns", "key is a tuple"),  # whose hash is deep
        (b"}(" + code(2**61 - 1) + b"N" + code(2**62 - 2) + b"Nu", "key is a int"),  # of one hash, as a million more
        (b"Nq\x00" + b"h\x00h\x00\x86q\x00" * 30, "items"),  # pairs of pairs: 2**30 of them
        (name("collections.OrderedDict") + b"q\x08" + PAIRS + b"R" + b"h\x08h\x07R" * 150, "items"),
        (REBUILD + b"(" + b"N" * 50 + b"tR", "50 arguments"),
        (name("torch.Size") + code("text") + b"\x85R", "str in the place of tuple"),
        (name("collections.OrderedDict") + code({"ab": 1}) + b"\x85R", "dict in the place of list"),
        (b"N" * 2**18, "more than 262,144 bytes"),
        (code("x" * 2**19), "more than 262,144 bytes"),
        (b"\x8b" + struct.pack("<I", 2**31 - 1), ""),  # a number of that length
    ],
)
def test_a_bomb_is_one_error(tmp_path, content, wanted):
    """What has Python's own unpickler crash, fill the memory or take for ever."""
    refused(write_pickle(tmp_path / "file.pth", b"\x80\x02" + content + b"."), wanted)


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
        (0, (2**20, 2**20), (0, 0)),
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
    whole = write_legacy(tmp_path / "legacy.pth", {"x": tensor(NUMBERS, "0")}).read_bytes()
    count = len(whole) - NUMBERS.nbytes - 8
    (tmp_path / "legacy.pth").write_bytes(whole[:count] + b"\x0b" + whole[count + 1 :])
    refused(tmp_path / "legacy.pth", "storage '0'")


def test_a_storage_said_to_be_of_two_kinds(tmp_path, save):
    two = {"x": tensor(NUMBERS, "0"), "y": tensor(NUMBERS.view(np.int64), "0")}
    refused(save(tmp_path / "file.pth", two), "two kinds")


def test_numbers_of_another_machine(tmp_path):
    path = write_legacy(tmp_path / "file.pth", {"x": tensor(NUMBERS, "0")}, little_endian=False)
    refused(path, "little-endian")


def test_storages_that_a_legacy_file_has_no_room_for(tmp_path):
    many = {str(key): tensor(np.zeros(2**20, np.float32)[:0], str(key)) for key in range(3)}
    content = code(many, legacy=True).replace(code(0) + code(None), code(2**24) + code(None))
    start = write_legacy(tmp_path / "file.pth", {}).read_bytes()[: -len(code({})) - 1 - len(pickle.dumps([], 2))]
    (tmp_path / "file.pth").write_bytes(start + content + b".")
    refused(tmp_path / "file.pth", "ends before its storages")


def test_truncated_anywhere(tmp_path, save):
    whole = save(tmp_path / "whole.pth", {"x": tensor(NUMBERS, "0"), "epoch": 3}).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "part.pth").write_bytes(whole[:length])
        refused(tmp_path / "part.pth", "damaged")


def test_a_flipped_byte_is_noticed_or_harmless(tmp_path, save):
    """A legacy file has no checksums: what is read may be other numbers, but nothing worse."""
    whole = save(tmp_path / "whole.pth", {"x": tensor(NUMBERS, "0"), "epoch": 3}).read_bytes()
    for place in range(0, len(whole), 3):
        (tmp_path / "flipped.pth").write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(UserError):
            read = read_torch_file(tmp_path / "flipped.pth")
            assert save is write_legacy or read["x"].tolist() == NUMBERS.tolist()


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x02}.", bytes(range(256)) * 40])
def test_not_a_zip_archive(tmp_path, content):
    (tmp_path / "file.pth").write_bytes(content)
    refused(tmp_path / "file.pth", "not a file of torch.save")


def test_other_zip_archives(tmp_path):
    refused(write(tmp_path / "file.pth", {"epoch": 3}, compression=zipfile.ZIP_DEFLATED), "compressed")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(tmp_path / "other.zip", "data.pkl")


def test_an_archive_of_very_many_entries(tmp_path):
    """Each takes 46 bytes here and a kilobyte in memory."""
    entry = b"PK\x01\x02" + bytes(42)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 2**16 - 1, 2**16 - 1, 46 * 30_000, 4, 0)
    (tmp_path / "file.pth").write_bytes(b"PK\x03\x04" + entry * 30_000 + end)
    refused(tmp_path / "file.pth", "lists more than 20,000 entries")


def test_missing_a_folder_a_pipe_a_device_and_a_large_file(tmp_path):
    refused(tmp_path / "missing.pth", "No such file")
    refused(tmp_path, "directory")
    os.mkfifo(tmp_path / "pipe.pth")
    refused(tmp_path / "pipe.pth", "a pipe or a device")
    refused(Path("/dev/zero"), "a pipe or a device")
    with (tmp_path / "large.pth").open("wb") as file:
        file.truncate(2**30)
    refused(tmp_path / "large.pth", "at most")


def refused(path, wanted: str) -> None:
    with pytest.raises(UserError) as error:
        read_torch_file(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and wanted in message
    assert len(message) < len(str(path)) + 400
