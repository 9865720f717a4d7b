"""A page that shows what came out of runs: one HTML file, which needs no network and which a script can read back."""

from irrl.report.document import Section, report
from irrl.report.extract import extract

__all__ = ["Section", "extract", "report"]
