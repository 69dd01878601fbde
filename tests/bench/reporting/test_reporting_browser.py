"""The report in a real browser: every control by keyboard, no request, no overflow, and what axe-core finds."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.reporting.report import build_report, write_report
from zeroinit.bench.reporting.verdicts import WORDS
from zeroinit.bench.store import Store

sync_api = pytest.importorskip("playwright.sync_api", reason="they need playwright")
axe_package = pytest.importorskip(
    "axe_playwright_python", reason="the report's browser tests need axe-playwright-python"
)
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="they need Debian's package chromium")

ROOT = Path(__file__).parents[3]
SHOWN = ("fig3", "plateau", "three_starts", "recommended")
AXE = Path(axe_package.__file__).with_name("axe.min.js")
FORMS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced colors": {"forced_colors": "active"},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A report of four stored figures, one for each kind of control, and what it was made of."""
    folder = tmp_path_factory.mktemp("report")
    figures = [replace(FIGURES[name], inspected=False) for name in SHOWN]  # inspections take the longest
    report = build_report(figures, Store(ROOT / "docs" / "results" / "runs"), range(40), "paper", "corrected")
    write_report(report, folder)
    return report, folder


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser, written):
    """Opens the report; fails at the end if it asked for anything but itself or complained."""
    contexts, requests, complaints = [], [], []

    def open_page(width=1280, height=800, path=written[1] / "index.html", fragment="", **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{path.as_uri()}{fragment}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert {url.partition("#")[0].rpartition("/")[2] for url in requests} <= {"index.html"}
    assert complaints == []


def focus(page, selector: str):
    page.focus(selector)
    return page.locator(selector)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", [360, 400, 768, 1280])
def test_nothing_is_wider_than_the_screen(visit, form, width):
    page = visit(width, 860, **FORMS[form])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure svg").first.is_visible()


CUT = """() => {
    const found = [...document.querySelectorAll("h1, h2, h3, p, td, th, li, summary, button, output, dd")].filter(
        (each) => each.offsetParent && each.scrollWidth > each.clientWidth + 1 && each.clientWidth)
    for (const svg of document.querySelectorAll("figure svg")) {
        const page = svg.getBoundingClientRect()
        found.push(...[...svg.querySelectorAll("g[id*=text_]")].filter((each) => {
            const box = each.getBoundingClientRect()
            return box.left < page.left - 2 || box.right > page.right + 2 || box.bottom > page.bottom + 2
        }))
    }
    return found.map((each) => each.textContent)
}"""


@pytest.mark.parametrize("width", [360, 1280])
def test_no_text_is_cut(visit, width):
    """Neither in the page nor in a drawing, with the fonts of the browser."""
    page = visit(width, 860)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert page.evaluate(CUT) == []


def test_a_text_that_is_cut_is_found(visit):
    page = visit()
    page.evaluate("""() => {
        document.querySelector("h1").style.cssText = "overflow: hidden; white-space: nowrap; width: 40px"
        document.querySelector("figure svg g[id*=text_]").setAttribute("transform", "translate(-900 0)")
    }""")
    assert len(page.evaluate(CUT)) == 2


@pytest.mark.parametrize("form", FORMS)
def test_axe_finds_nothing(visit, form):
    page = visit(**FORMS[form])
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.add_script_tag(content=AXE.read_text())
    found = page.evaluate("axe.run().then((result) => result.violations)")
    assert [(each["id"], each["nodes"][0]["html"][:160]) for each in found] == []


def test_axe_finds_a_button_without_a_name(visit):
    page = visit()
    page.evaluate("document.querySelector('.counts button').textContent = ''")
    page.add_script_tag(content=AXE.read_text())
    assert "button-name" in page.evaluate("axe.run().then((result) => result.violations.map((each) => each.id))")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (400, 860)])
def test_the_first_screen_has_sentences_counts_and_the_first_chart(visit, width, height):
    page = visit(width, height)
    tops = [page.locator(each).first.bounding_box()["y"] for each in ("h1", ".line", ".sentence", ".counts", "figure")]
    assert tops == sorted(tops)
    assert tops[-1] < height


def test_the_counts_filter_the_claims_by_keyboard(visit, written):
    page = visit()
    records = json.loads((written[1] / "claims.json").read_text())
    verdicts = [each["verdict"] for each in records]
    focus(page, '.counts button[data-verdict="supported"]')
    page.keyboard.press("Enter")
    shown = page.locator("tr[data-verdict]:visible")
    assert shown.count() == verdicts.count("supported") > 0
    assert page.locator(".counts output").inner_text() == f"{shown.count()} of {len(records)} claims are shown"
    assert "verdict=supported" in page.url
    again = visit(fragment="#verdict=supported")
    assert again.locator("tr[data-verdict]:visible").count() == shown.count()
    page.keyboard.press("Enter")
    assert page.locator("tr[data-verdict]:visible").count() == len(records)


def test_what_is_read_is_what_is_stored(visit, written):
    page = visit()
    records = json.loads((written[1] / "claims.json").read_text())
    rows = page.locator("tr[data-verdict]").all()
    for row, record in zip(rows, records, strict=True):
        text = row.inner_text()
        assert record["statement"] in text
        assert record["reason"] in text
        assert [f"{100 * share:.1f}" in text for share in record["shares"]] == [True] * len(record["shares"])
        assert text.strip().endswith(WORDS.get(record["verdict"], record["verdict"]))


def test_the_arrow_keys_read_the_curves(visit, written):
    page = visit()
    focus(page, "#fig3 figure")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    text = page.locator("#fig3 .said").inner_text()
    assert text.startswith("Epoch 3: ")
    (summary,) = (each for each in written[0].summaries if each.figure.name == "fig3")
    for entry in summary.curves:
        mean = np.mean([result.history["test_accuracy"][2] for result in entry.results.values()])
        assert f"{entry.curve.label} {100 * mean:.1f} %" in text
    page.keyboard.press("ArrowLeft")
    assert page.locator("#fig3 .said").inner_text().startswith("Epoch 2: ")
    focus(page, "#plateau figure")
    page.keyboard.press("ArrowRight")
    first = page.locator("#plateau .said").inner_text()
    page.keyboard.press("ArrowDown")
    assert "PyTorch's default" in first
    assert "PyTorch's default" not in page.locator("#plateau .said").inner_text()


def test_a_pointer_reads_the_curve_under_it(visit):
    page = visit()
    page.locator("#fig3 figure").scroll_into_view_if_needed()
    mean = page.locator("#fig3 [data-curve='1'][data-part='mean']").bounding_box()
    page.mouse.move(mean["x"] + 3, mean["y"] + 3)
    assert page.locator("#fig3 .said").inner_text().startswith("Epoch 1: ")
    page.mouse.move(mean["x"] + mean["width"] - 3, mean["y"] + 3)
    assert page.locator("#fig3 .said").inner_text().startswith("Epoch 10: ")


def test_curves_and_seeds_are_switched_off_by_keyboard(visit):
    page = visit()
    assert page.locator("#fig3 [data-curve='0'][data-part='mean']").is_visible()
    focus(page, "#fig3 [data-start='0']")
    page.keyboard.press("Space")
    assert page.locator("#fig3 [data-curve='0']:visible").count() == 0
    assert page.locator("#fig3 [data-curve='1']:visible").count() > 0
    assert page.locator("#plateau [data-curve='0']:visible").count() > 0  # another figure's curves stay
    focus(page, "#fig3 [data-seeds]")
    page.keyboard.press("Space")
    assert page.locator("#fig3 [data-part='seed']:visible").count() == 0
    focus(page, "#fig3 figure")
    page.keyboard.press("ArrowRight")
    name = page.locator("#fig3 [data-start='0']").inner_text()
    assert name not in page.locator("#fig3 .said").inner_text()
    again = visit(fragment="#" + page.url.partition("#")[2])
    assert again.locator("#fig3 [data-curve='0']:visible, #fig3 [data-part='seed']:visible").count() == 0


def test_the_slider_counts_layers_by_keyboard(visit):
    page = visit()
    said = page.locator("#three_starts .said")
    assert said.inner_text().startswith("Update 5: all zero 0 of 4 layers; PyTorch's default 4 of 4 layers; ")
    focus(page, "#three_starts input[type=range]")
    page.keyboard.press("Home")
    assert said.inner_text().endswith("zero weights, normal biases 1 of 4 layers")
    assert page.locator("#three_starts .later").count() == 3 * 4 * 4
    page.keyboard.press("ArrowRight")
    assert said.inner_text().endswith("zero weights, normal biases 2 of 4 layers")
    assert "three_starts.step=2" in page.url


def test_play_moves_the_slider_unless_less_motion_is_asked_for(visit):
    page = visit(reduced_motion="no-preference")
    focus(page, "#three_starts [data-play]")
    page.keyboard.press("Enter")
    said = page.locator("#three_starts .said")
    assert said.inner_text().startswith("Update 1: ")
    sync_api.expect(said).to_have_text(re.compile("^Update 3: "))
    page.keyboard.press("Enter")
    assert page.locator("#three_starts [data-play]").inner_text() == "Play"
    assert not visit(reduced_motion="reduce").locator("#three_starts [data-play]").is_visible()


def test_colors_follow_the_system_or_the_choice(visit):
    look = """() => [document.body, document.querySelector('#fig3 [style*="stroke: #222222"]')].map(
        (each) => getComputedStyle(each)).flatMap((style) => [style.backgroundColor, style.stroke])"""
    page = visit(color_scheme="light")
    light, dark = page.evaluate(look), visit(color_scheme="dark").evaluate(look)
    assert (light[0], light[3]) == ("rgb(255, 255, 255)", "rgb(34, 34, 34)")
    assert (dark[0], dark[3]) == ("rgb(13, 17, 23)", "rgb(230, 237, 243)")
    focus(page, ".theme select")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(look) == dark
    assert visit(color_scheme="dark", fragment="#theme=light").evaluate(look) == light


def test_zoom_makes_a_drawing_larger(visit):
    page = visit()
    before = page.locator("#recommended figure svg").bounding_box()["width"]
    focus(page, "#recommended [data-zoom]")
    page.keyboard.press("Enter")
    assert page.locator("#recommended figure svg").bounding_box()["width"] > 1.3 * before
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_tables_are_copied_as_csv_and_latex(visit):
    page = visit()
    for form, ends in (("CSV", "\n"), ("LaTeX", "\\\\\n")):
        focus(page, f"#fig3 [data-copy={form}]")
        page.keyboard.press("Enter")
        text = page.locator("#fig3 textarea").input_value()
        rows = page.locator("#fig3 details:has(textarea) table tr")
        assert text.count(ends) == rows.count() - (form == "CSV")
        for cell in rows.nth(2).locator("td").all():
            assert cell.inner_text() in text


def test_without_scripts_there_are_figures_and_tables_and_no_controls(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("figure svg:visible").count() >= len(SHOWN)
    assert page.locator("details table").first.is_visible()
    assert page.locator("table.claims").first.is_visible()
    assert page.locator(".controls:visible, .theme:visible, textarea:visible").count() == 0


def test_the_paper_fits_on_eight_pages(visit):
    """The stored report of all figures and 41 claims."""
    page = visit(path=ROOT / "docs" / "results" / "corrected" / "index.html")
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))
    assert 3 < pages <= 8
