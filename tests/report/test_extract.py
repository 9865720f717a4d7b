import json
import sys

import pytest

from irrl.errors import UserError
from irrl.report.extract import END, FORMAT, START, VERSION, extract
from irrl.report.page import json_text


def page(numbers: bytes) -> bytes:
    return b"<html>" + START + numbers + END + b"</html>"


def test_what_was_embedded_comes_back(tmp_path):
    numbers = {"format": FORMAT, "version": VERSION, "title": "</script> & \u2028 <b>", "x": [1, 0.1]}
    path = tmp_path / "report.html"
    path.write_bytes(page(json_text(numbers).encode()))
    assert extract(path) == numbers


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "no report of irrl"),
        (b"<html></html>", "no report of irrl"),
        (START + b"{}", "no report of irrl"),
        (page(b"{"), "damaged"),
        (page(b"\xff\xfe"), "damaged"),
        (page(b"[" * 100_000), "damaged"),
        (page(b"1" * 100), "damaged"),
        (page(b"[]"), "of another kind"),
        (page(b"{}"), "of another kind"),
        (page(json.dumps({"format": FORMAT, "version": 99}).encode()), "version '99'"),
    ],
)
def test_a_strangers_file_is_one_line(tmp_path, content, wanted):
    path = tmp_path / "report.html"
    path.write_bytes(content)
    with pytest.raises(UserError, match=wanted) as error:
        extract(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_what_is_missing_a_folder_or_too_large(tmp_path, monkeypatch):
    for path in (tmp_path, tmp_path / "none.html"):
        with pytest.raises(UserError, match="cannot read"):
            extract(path)
    (tmp_path / "large.html").write_bytes(b"x" * 100)
    monkeypatch.setattr(sys.modules["irrl.report.extract"], "MOST_BYTES", 99)
    with pytest.raises(UserError, match="at most 99"):
        extract(tmp_path / "large.html")
