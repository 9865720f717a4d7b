import base64
import hashlib
import json
import re
from importlib.resources import files

from irrl.report.page import json_text, number

VENDOR = files("irrl.report").joinpath("vendor")


def test_the_chart_library_is_the_one_that_was_built():
    wanted, name = VENDOR.joinpath("echarts.js.sha256").read_text().split()
    content = VENDOR.joinpath(name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == wanted
    for version in ("ECharts 6.1.0", "zrender 6.1.0", "tslib 2.3.0"):
        assert version.encode() in content[:200]
    for licence in ("Apache License", "Baidu Inc", "Permission to use, copy, modify"):
        assert licence in VENDOR.joinpath("LICENSES").read_text()


def test_no_asset_can_end_its_element():
    for name in ("vendor/echarts.js", "page.js", "page.css"):
        text = files("irrl.report").joinpath(name).read_text()
        assert not re.search(r"</(script|style)|<!--", text, re.IGNORECASE)


def test_embedded_json_holds_no_markup():
    value = ["</script>", "<!--", "&amp;", "\u2028\u2029", 0.1]
    text = json_text(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_numbers_are_short():
    values = [480, 9999, 65_536, 250_000, 1_200_000, 11_100_000, 12_345_678, 0.5]
    assert [number(each) for each in values] == ["480", "9999", "65,536", "250k", "1.2M", "11.1M", "12,345,678", "0.5"]


def test_policy_allows_our_scripts_and_nothing_else(tmp_path):
    from irrl.report import Section, report
    from report_runs import TASK, write_bandit

    page = report("page", [Section(TASK, [write_bandit(tmp_path / "run")])], tmp_path / "r.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].replace("&#39;", "'").split("; "))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"

    def hashes(parts):
        return {f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" for part in parts}

    assert set(rules["script-src"].split()) == hashes(re.findall(r"<script>(.*?)</script>", page, re.DOTALL))
    assert set(rules["style-src-elem"].split()) == hashes(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
