"""The page in a real Chromium: every control, no network, nothing of a stranger's run executed, no barrier (axe-core).

`make browser` installs what is needed; without it these tests are skipped.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from command_line import run as irrl
from irrl.digits.task import TASK as DIGITS
from irrl.report import Section, report
from report_runs import HOSTILE, TASK, start_of, write_bandit, write_digits

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: make browser")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield launched
        launched.close()


@pytest.fixture
def opened(browser):
    """Opens pages; at the end none has asked for anything but files, nor said a word on the console."""
    said, contexts = [], []

    def ask(route):
        if not route.request.url.startswith("file:"):
            said.append(f"asked for {route.request.url[:100]}")
            return route.abort()
        return route.continue_()

    def open_page(path: Path, **options):
        context = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
        contexts.append(context)
        context.route("**/*", ask)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not said


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed, end in ((1, 0.5), (2, 0.6), (3, 0.9)):
        write_digits(folder / "linear" / f"seed-{seed}", np.linspace(0.1, end, 60), seed=seed)
    start = start_of("digits", "train", "--out", "a b")
    return [
        folder / "linear",
        write_digits(folder / "log", np.linspace(0.1, 0.3, 60), starts=[start], reward="log"),
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory, runs):
    folder = tmp_path_factory.mktemp("page")
    bandits = [write_bandit(folder / reward, reward=reward) for reward in ("clipped-linear", "log")]
    sections = [Section(DIGITS, runs), Section(TASK, bandits)]
    return report("two tasks", sections, folder / "report.html")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """60 runs with hostile names, settings, commands and metrics; of one of them the curve has 10 000 points."""
    folder, name = tmp_path_factory.mktemp("hostile"), HOSTILE.replace("/", "\N{DIVISION SLASH}").replace("\ud800", "")
    runs = [
        write_digits(
            folder / f"{number} {name}",
            np.random.default_rng(number).random(10),
            {f"{number // 3}{HOSTILE}": HOSTILE},
            [start_of(HOSTILE, "\x1b[31m")],
            data="fresh",
            train_size=1000 + number // 3,
            seed=number % 3,
        )
        for number in range(60)
    ]
    with (runs[0] / "metrics.jsonl").open("a") as metrics:
        for epoch in range(11, 10_001):
            metrics.write(json.dumps({"step": epoch, "epoch": epoch, "validation_accuracy": epoch % 7 / 7}) + "\n")
        metrics.write(json.dumps({"step": 10**6, "epoch": 10_001, HOSTILE: 1, "{b|x}": float("nan")}) + "\n")
    return report(HOSTILE, [Section(DIGITS, runs)], folder / "report.html")


def hover(page, chart):
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2)
    tip = page.locator(".tip")
    tip.wait_for()
    return tip.inner_text()


def test_numbers_on_the_page_are_those_of_compare(opened, page, runs, capsys):
    assert irrl("digits", "compare", *runs, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    shown = opened(page).locator("#section-0 .results tbody tr")
    assert shown.count() == len(rows)
    for row, cells in zip(rows, shown.all(), strict=True):
        told = [cell.inner_text() for cell in cells.locator("th, td").all()]
        interval = row["interval"] and "[{:.1f}, {:.1f}]".format(*(100 * end for end in row["interval"]))
        published = "-" if row["published"] is None else f"{100 * row['published']:.1f}"
        reached = ["-" if at is None else str(at) for at in row["reached"].values()]
        score, best = (f"{100 * row[name]:.1f}" for name in ("interquartile_mean", "best"))
        assert told == [row["label"], str(len(row["seeds"])), score, interval or "-", best, published, *reached]


def test_curves_follow_every_control(opened, page):
    page = opened(page)
    section = page.locator("#section-0")
    drawn = section.locator(".chart svg")
    assert drawn.count() == 1

    def changes(act):
        before = drawn.inner_html()
        act()
        assert drawn.inner_html() != before

    changes(lambda: section.get_by_label("each seed").check())
    changes(lambda: section.get_by_label("logarithmic", exact=True).check())
    changes(lambda: section.get_by_label("logarithmic epoch").check())
    changes(lambda: section.get_by_label("Metric").select_option("reward"))
    assert "published" not in section.locator(".legend").inner_text()
    # All losses are below 0.
    section.get_by_label("Metric").select_option("loss")
    assert "nothing above 0" in section.locator(".empty").inner_text()
    section.get_by_label("logarithmic", exact=True).uncheck()
    assert section.locator(".empty").inner_text() == ""
    section.get_by_label("Metric").select_option("validation_accuracy")
    section.get_by_label("logarithmic epoch").uncheck()
    section.get_by_label("each seed").uncheck()
    button = section.get_by_role("button", name="clipped-linear", exact=True)
    button.focus()
    changes(lambda: page.keyboard.press("Enter"))
    button = section.get_by_role("button", name="clipped-linear", exact=True)
    assert button.get_attribute("aria-pressed") == "false"
    assert button.evaluate("element => element === document.activeElement")
    changes(button.click)
    section.get_by_text("The curves as a table").click()
    last = section.locator(".as-table tbody tr").last.inner_text().split()
    assert last[0] == "60" and set(last[1:3]) == {"66.67", "30"}
    assert "66.67 at the end" in (section.locator(".chart").get_attribute("aria-label") or "")


def test_hovering_tells_the_numbers(opened, page):
    page = opened(page)
    tip = hover(page, page.locator("#section-0 .chart"))
    # The published curve's next point is at 100: the middle is at 50.
    assert tip.split("\n") == [
        *("epoch 50", "clipped-linear", "57.06", "clipped-linear, published", "36.1"),
        *("log", "26.61", "log, published", "20"),
    ]


def test_the_bar_below_looks_closer(opened, page):
    page = opened(page)
    chart = page.locator("#section-0 .chart")
    chart.scroll_into_view_if_needed()
    before, box = chart.locator("svg").text_content(), chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 24, box["y"] + box["height"] - 12)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 12, steps=5)
    page.mouse.up()
    page.wait_for_function(
        "before => document.querySelector('#section-0 .chart svg').textContent !== before", arg=before
    )


def test_slider_runs_and_play(opened, page):
    page = opened(page)
    section = page.locator("#section-1")
    name, image, slider = section.locator(".stop-name"), section.locator(".sample"), section.get_by_label("Checkpoint")
    assert name.inner_text() == "pull 300" and image.get_attribute("alt") == "what it does after 300 pulls"
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 40
    last = image.get_attribute("src")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert name.inner_text() == "pull 200" and slider.get_attribute("aria-valuetext") == "pull 200"
    assert image.get_attribute("src") != last
    section.locator(".run").select_option(label="log, seed 1")
    assert name.inner_text() == "pull 300"
    section.get_by_role("button", name="Play").click()
    assert name.inner_text() == "pull 100"
    page.wait_for_function("() => document.querySelector('#section-1 .stop-name').textContent === 'pull 300'")
    assert section.get_by_role("button", name="Play").get_attribute("aria-pressed") == "false"


def test_commands_are_copied_and_numbers_downloaded(opened, page, tmp_path, capsys):
    shown = opened(page, permissions=["clipboard-read", "clipboard-write"])
    for number in (0, 1):
        for summary in shown.locator(f"#section-{number} details:not([open]) > summary").all()[::-1]:
            summary.click()
    shown.get_by_text("a processor").wait_for()
    shown.get_by_role("button", name="Copy the command").first.click()
    shown.get_by_text("Copied").wait_for()
    assert shown.evaluate("navigator.clipboard.readText()") == "irrl digits train --out 'a b'"
    with shown.expect_download() as download:
        shown.get_by_role("button", name="Download the numbers").click()
    download.value.save_as(tmp_path / "numbers.json")
    assert irrl("report", "--extract", page) == 0
    assert json.loads((tmp_path / "numbers.json").read_text()) == json.loads(capsys.readouterr().out)


def test_light_and_dark(opened, page):
    def ground(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light, dark = opened(page), opened(page, color_scheme="dark")
    assert ground(light) == "rgb(255, 255, 255)" != ground(dark)
    for each in (light, dark):
        before, drawn = ground(each), each.locator(".chart svg").first.inner_html()
        each.get_by_role("button", name="Dark").click()
        assert ground(each) != before and each.locator(".chart svg").first.inner_html() != drawn
    assert ground(light) == "rgb(22, 22, 24)" and ground(dark) == "rgb(255, 255, 255)"


def test_on_a_phone_and_on_paper(opened, page, tmp_path):
    phone = opened(page, viewport={"width": 360, "height": 740}, color_scheme="dark")
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    assert len(phone.pdf(path=tmp_path / "report.pdf")) > 10_000
    assert phone.locator("details[open]").count() == phone.evaluate("document.querySelectorAll('details[open]').length")
    phone.emulate_media(media="print")
    assert phone.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not phone.locator(".controls").first.is_visible()


def test_a_strangers_text_is_shown_and_not_run(opened, hostile):
    page = opened(hostile)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src='x']").count() == 0
    assert page.locator("h1").inner_text().startswith("</script><script>window.hacked=1</script>\"'><img src=x")
    assert page.locator(".results tbody tr").count() == 20 == page.locator(".legend button[aria-pressed]").count()
    assert page.locator(".provenance").count() == 60
    page.get_by_label("Metric").select_option(index=3)
    page.get_by_label("Metric").select_option(index=0)
    assert "clipped-linear, train_size" in hover(page, page.locator(".chart"))
    page.get_by_text("The curves as a table").click()
    for summary in page.locator("summary").all()[:5]:
        summary.click()
    page.locator(".legend button").first.click()
    assert page.evaluate("window.hacked") is None


def test_the_policy_stops_a_script_that_slipped_through(browser, page, tmp_path):
    broken = tmp_path / "broken.html"
    slipped = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'><img src=https://example.org/x>"
    broken.write_text(page.read_text().replace("<h1>", f"{slipped}<h1>"))
    shown, stopped = browser.new_page(), {}
    shown.on("requestfailed", lambda request: stopped.update({request.url: request.failure}))
    shown.on("response", lambda response: stopped.update({response.url: "answered"}))
    shown.goto(broken.as_uri())
    shown.locator(".chart svg").first.wait_for()
    assert shown.evaluate("window.hacked") is None
    assert stopped.get("https://example.org/x") == "csp"
    shown.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_no_barrier(opened, page, scheme, width):
    axe = Path(pytest.importorskip("axe_playwright_python").__file__).parent / "axe.min.js"
    shown = opened(page, color_scheme=scheme, viewport={"width": width, "height": 800})
    shown.locator(".chart svg").first.wait_for()
    shown.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    shown.evaluate(axe.read_text())
    found = shown.evaluate("axe.run().then(result => result.violations)")
    assert not [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]
