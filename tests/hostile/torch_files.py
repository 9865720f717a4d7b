"""Files of `torch.save`, damaged or crafted, for `irrl digits import`."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hostile.folders import make
from hostile.runner import Case
from torch_writer import Call, code, tensor, write, write_pickle

CALLS = ("os.system", "builtins.eval", "builtins.exec", "evil.R", "antigravity.fly", "posix.system", "subprocess.Popen",
         "torch.load", "numpy.load", "builtins.getattr", "io.open", "pickle.loads", "webbrowser.open")  # fmt: skip

BOMBS = {
    "deep tuples": lambda: b"\x80\x02" + b"(" * 1_000_000 + b"t" * 1_000_000 + b".",
    "deep lists": lambda: b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".",
    "doubled": lambda: b"\x80\x02" + b"(K\x01t" + b"2\x86" * 5_000 + b".",
    "deep dictionaries": lambda: b"\x80\x02" + b"}K\x01" * 200_000 + b"N" + b"s" * 200_000 + b".",
    "memo far away": lambda: b"\x80\x02Nr\xff\xff\xff\x7f.",
    "endless memo": lambda: b"\x80\x02](" + b"h\x00" * 500_000 + b"e.",
    "itself": lambda: b"\x80\x02]q\x00h\x00a.",
    "a long number": lambda: b"\x80\x02\x8b\xff\xff\xff\x7f" + b"\xff" * 1_000_000 + b".",
    "a long text": lambda: b"\x80\x02X\xff\xff\xff\x7fabc.",
    "a frame": lambda: b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
    "many marks": lambda: b"\x80\x02" + b"(" * 3_000_000 + b".",
}
OPCODES = bytes(range(256))


def cases(rng: np.random.Generator, folder: Path) -> Iterator[Case]:
    """Files and the command that reads them, without end."""
    good = write(folder / "good.pth.tar", {"epoch": 1, "best_valid_acc": 10.0, "model_state": _state()}).read_bytes()
    number = 0
    while True:
        number += 1
        path = folder / f"{number}.pth.tar"
        kind = str(
            rng.choice(
                ["call", "bomb", "bytes", "opcodes", "zip", "kind", "legacy"],
                p=[0.2, 0.05, 0.35, 0.25, 0.05, 0.02, 0.08],
            )
        )
        if kind == "call":
            name = str(rng.choice(CALLS))
            arguments = [("touch stolen",), (), (b"import evil",), ({},), ((1, 2), "x")][int(rng.integers(5))]
            write(
                path, {"epoch": 1, "model_state": Call(name, arguments, state={"a": 1} if rng.random() < 0.3 else None)}
            )
            kind += f" {name}"
        elif kind == "bomb":
            name = str(rng.choice(sorted(BOMBS)))
            write_pickle(path, BOMBS[name]())
            kind += f" {name}"
        elif kind == "bytes":
            content = bytearray(good)
            for place in rng.integers(len(content), size=int(rng.integers(1, 6))):
                content[place] = int(rng.integers(256))
            if rng.random() < 0.3:
                del content[int(rng.integers(len(content))) :]
            path.write_bytes(content)
        elif kind == "opcodes":
            body = b"".join(OPCODES[at : at + 1] for at in rng.integers(256, size=int(rng.integers(1, 60))))
            write_pickle(path, b"\x80\x02" + body + b".")
        elif kind == "zip":
            _squeezed(path, int(rng.integers(2)))
        elif kind == "kind":
            make(path, str(rng.choice(["folder", "pipe", "zero", "loop", "dangling", "sparse"])))
        else:
            path.write_bytes(code(0x1950A86A20F9469CFC6C) + rng.bytes(int(rng.integers(200))))
        yield Case(f"torch file: {kind}", ["digits", "import", path, "--out", folder / f"out-{number}"])


def _state() -> dict:
    return {f"layer{at}.weight": tensor(np.ones((2, 3), np.float32), str(at)) for at in range(4)}


def _squeezed(path: Path, how: int) -> None:
    """An archive that unpacks to far more than it is; or one with very many entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        if how:
            archive.writestr("archive/data.pkl", bytes(200_000_000))
        for entry in range(0 if how else 30_000):
            archive.writestr(f"archive/data/{entry}", b"")
    path.write_bytes(buffer.getvalue())
