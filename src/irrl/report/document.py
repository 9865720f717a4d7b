"""A report, from run folders to the file."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import irrl
from irrl.errors import UserError
from irrl.files import check_folder, replace_file
from irrl.report.extract import FORMAT, VERSION
from irrl.report.numbers import POINTS, Section, numbers_of, read_section
from irrl.report.page import page_of
from irrl.report.pictures import pictures_of
from irrl.report.tables import tables_of
from irrl.report.text import bounded

__all__ = ["MOST_BYTES", "Section", "report"]

MOST_BYTES = 2_000_000
"""Of the page: curves get as many points as there is room for."""


def report(title: str, sections: Sequence[Section], out: Path) -> Path:
    """Write a page that shows runs: compared, along training, at work, and where they come from.

    Args:
        title: the page's heading.
        sections: what it shows, one for each task.
        out: the HTML file.

    Returns:
        The file.

    Raises:
        UserError: a section holds no run with a score yet, or not of its task; there are too many runs for a page; or
            the file cannot lie there.
        OSError: the file cannot be written; the older one, if any, still stands.
    """
    check_report(out)
    if not sections:
        raise UserError("a report of nothing: give at least one section")
    chapters = [read_section(section) for section in sections]
    pictures = pictures_of(chapters)
    numbers: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "title": bounded(title),
        "made": {"irrl": irrl.__version__, "at": datetime.now(UTC).isoformat(timespec="seconds")},
    }
    for share in POINTS:
        numbers["sections"] = [numbers_of(chapter, share) for chapter in chapters]
        tables = [tables_of(chapter, each) for chapter, each in zip(chapters, numbers["sections"], strict=True)]
        page = page_of(numbers, pictures, tables)
        if len(page) <= MOST_BYTES:
            out.parent.mkdir(parents=True, exist_ok=True)
            replace_file(out, page)
            return out
    raise UserError(f"these runs do not fit on a page of {MOST_BYTES:,} bytes: give fewer of them")


def check_report(out: Path) -> None:
    """Refuse, before anything is computed, a place where no HTML file can lie.

    Raises:
        UserError: why.
    """
    if out.suffix not in (".html", ".htm"):
        raise UserError(f"`out={out}`: its name must end with .html")
    if out.is_dir():
        raise UserError(f"`out={out}`: a folder lies there")
    check_folder(out.parent)
