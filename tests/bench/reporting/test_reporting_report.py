"""The report: self-contained, escaped, honest about what it rests on, and the same for the same results."""

import json
import re
from dataclasses import replace
from functools import cache

import pytest
import torch
from markupsafe import Markup, escape

from zeroinit._common import InputError, __version__
from zeroinit.bench import result as stored
from zeroinit.bench.reporting import inspections
from zeroinit.bench.reporting import report as module
from zeroinit.bench.reporting.analysis import CurveSummary
from zeroinit.bench.reporting.inspections import inspect_start
from zeroinit.bench.reporting.pictures import Picture
from zeroinit.bench.reporting.report import build_report, claim_records, write_report, write_seeds
from zeroinit.bench.running import start
from zeroinit.bench.running.runner import execute
from zeroinit.bench.spec import Claim, Curve, Figure, Run
from zeroinit.bench.stats import mean_interval
from zeroinit.bench.store import Failure, Store

BASE, NORMAL, ZERO = "Logistic regression", "Normal <script>alert(1)</script>", "Zero & nothing"
FIGURE = Figure(
    "study",
    "A <script>alert('title')</script> & more",
    (
        Curve(BASE, Run(model="logistic_regression", epochs=3)),
        Curve(NORMAL, Run(initializer="normal_bias", epochs=3)),
        Curve(ZERO, Run(initializer="zero", epochs=3)),
    ),
    published_results={BASE: 0.92, NORMAL: 0.95},
    claims=(
        Claim("S1-gain", "normal <b>beats</b> the rest", "greater", NORMAL, BASE),
        Claim("S2-one-class", "zero stays at one class", "not_above", ZERO, margin=0.01),
    ),
    remarks=("Because <i>of</i> this & that.",),
)
NO_CHART: dict = {"panels": [], "grids": []}
FINALS = {BASE: [0.920, 0.922, 0.921], NORMAL: [0.970, 0.971, 0.972]}
FILES = [
    "claims.json",
    "figures/study-paper-corrected.png",
    "figures/study-paper-corrected.svg",
    "index.html",
    "report.md",
]


@pytest.fixture(scope="module")
def written(tmp_path_factory, fill_store):
    """Writes the report of the figure's made-up results, once for each profile and protocol; returns its folder."""

    @cache
    def write(profile="paper", protocol="corrected"):
        folder = tmp_path_factory.mktemp(f"{profile}-{protocol}")
        store = Store(folder / "results")
        fill_store(store, FIGURE, FINALS, profile, protocol)
        write_report(build_report([FIGURE], store, range(5), profile, protocol), folder / "report")
        return folder / "report"

    return write


@pytest.fixture
def write(monkeypatch, store, tmp_path):
    """Writes the report of what is stored, without the drawings; returns its folder."""
    monkeypatch.setattr(module, "draw_summary", lambda *_: [Picture(Markup("<svg></svg>"), NO_CHART)])

    def make(*figures, seeds=range(5)):
        write_report(build_report(figures, store, seeds, "paper", "corrected"), tmp_path / "report")
        return tmp_path / "report"

    return make


def page_without_drawings(folder) -> str:
    return re.sub(r"<svg.*?</svg>", "[drawing]", (folder / "index.html").read_text(), flags=re.DOTALL)


def strict_json(text: str):
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_what_is_written(written):
    folder = written()
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == FILES


def test_the_page_needs_nothing_but_itself(written):
    page = (written() / "index.html").read_text()
    assert page.count("<svg") == page.count("</svg>") == 1
    assert not re.search(r"<(link|img|iframe|object|embed|base|source)\b", page)
    assert set(re.findall(r"<script[^>]*>", page)) == {"<script>", '<script type="application/json">'}
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket|eval)\b", page.partition("<script>")[2])
    assert not re.search(r"@import|url\((?!#)", page)
    targets = re.findall(r"""\b(?:src|href|action|data)\s*=\s*["']?([^"'\s>]+)""", page)
    assert targets
    assert all(target.startswith("#") for target in targets)


def test_the_first_screen_counts_the_claims_and_filters_them(written):
    """Sentences and buttons come before the first drawing; a button has the verdict of the rows that it leaves."""
    page = (written() / "index.html").read_text()
    first = page[: page.index("<svg")]
    buttons = re.findall(r'data-verdict="([^"]*)" aria-pressed="false"( disabled)?>(\d+) ([^<]*)<', first)
    assert [each[0] for each in buttons] == ["supported", "refuted", "inconclusive", "not run"]
    rows = re.findall(r'<tr data-verdict="([^"]*)">', page)
    assert [int(count) for _, _, count, _ in buttons] == [rows.count(verdict) for verdict, *_ in buttons]
    assert [bool(off) for _, off, _, _ in buttons] == [verdict not in rows for verdict, *_ in buttons]
    assert sum(int(count) for _, _, count, _ in buttons) == len(rows) > 0
    assert re.search(r'<p class="sentence">[^<]*: Logistic regression 92\.1\u00a0±\u00a00\.\d\u00a0%; ', first)


def test_names_are_escaped(written):
    folder = written()
    page, _, code = (folder / "index.html").read_text().partition("<script>\nconst all")
    assert re.findall("<script[^>]*>", page) == ['<script type="application/json">']
    assert "alert" not in code
    assert "A &lt;script&gt;alert(&#39;title&#39;)&lt;/script&gt; &amp; more" in page
    assert "Normal &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "normal &lt;b&gt;beats&lt;/b&gt; the rest" in page
    assert "Because &lt;i&gt;of&lt;/i&gt; this &amp; that." in page
    assert "<script" not in (folder / "figures" / "study-paper-corrected.svg").read_text()


def test_claims_json(written):
    records = strict_json((written() / "claims.json").read_text())
    first, second = records
    low, high = first.pop("interval")
    assert low < first.pop("estimate") < high
    assert first.pop("reason").startswith(f"{NORMAL} minus {BASE}: 5.00 ± 0.")
    assert first.pop("shares") == pytest.approx([0.971, 0.921])
    assert first == {
        "id": "S1-gain",
        "figure": "study",
        "statement": "normal <b>beats</b> the rest",
        "verdict": "supported",
        "level": 0.95,
        "num_seeds": 3,
        "dataset": "mnist",
        "profile": "paper",
        "protocol": "corrected",
    }
    assert second == {
        "id": "S2-one-class",
        "figure": "study",
        "statement": "zero stays at one class",
        "verdict": "not run",
        "reason": "runs are missing",
        "estimate": None,
        "interval": None,
        "level": None,
        "shares": [],
        "num_seeds": 0,
        "dataset": "mnist",
        "profile": "paper",
        "protocol": "corrected",
    }


def test_what_was_not_run_says_so_on_every_page(written):
    """And is never called inconclusive."""
    folder = written()
    assert '<td class="verdict not-run">not run</td>' in page_without_drawings(folder)
    assert (
        "| S2-one-class | zero stays at one class | – | **not run** | runs are missing |"
        in (folder / "report.md").read_text()
    )
    for page in ("index.html", "report.md", "claims.json"):
        text = re.sub("<button.*?</button>", "", (folder / page).read_text())
        assert ">inconclusive" not in text
        assert "**inconclusive" not in text
        assert '"inconclusive' not in text


def test_one_seed_has_an_estimate_and_no_interval(fill, store, tmp_path):
    fill(FIGURE, {label: finals[:1] for label, finals in FINALS.items()})
    folder = tmp_path / "report"
    write_report(build_report([FIGURE], store, range(5), "paper", "corrected"), folder)
    record = strict_json((folder / "claims.json").read_text())[0]
    assert record["estimate"] == pytest.approx(0.05)
    assert record["interval"] == [None, None]
    assert (record["verdict"], record["num_seeds"]) == ("inconclusive", 1)
    assert "<td>one seed</td>" in page_without_drawings(folder)
    assert "nan" not in page_without_drawings(folder)


def test_a_claim_names_the_data_of_its_own_figure(store, fill):
    other = replace(
        FIGURE,
        name="other",
        curves=tuple(Curve(curve.label, replace(curve.run, dataset="digits")) for curve in FIGURE.curves),
        claims=(replace(FIGURE.claims[0], id="S3-digits"),),
    )
    fill(FIGURE, FINALS)
    fill(other, FINALS)
    report = build_report([FIGURE, other], store, range(5), "paper", "corrected")
    assert report.datasets == ["digits", "mnist"]
    assert {record["id"]: record["dataset"] for record in claim_records(report)} == {
        "S1-gain": "mnist",
        "S2-one-class": "mnist",
        "S3-digits": "digits",
    }


def test_the_report_states_what_it_rests_on(written):
    folder = written()
    text, page = (folder / "report.md").read_text(), page_without_drawings(folder)
    for name, value in (("Profile", "paper"), ("Data set", "mnist"), ("Seeds", "0-2")):
        assert f"* {name.lower()}: {value}\n" in text
    for content in (text, page):
        assert "zeroinit 0.1.0, python 3.11.7, torch 2.9.0, numpy 2.0.0, platform Linux x86_64, cpu, 1 thr" in content
        assert "as the paper meant it" in content
    line = re.search(r'<p class="line">(.*?)</p>', page)[1]
    assert line == f"mnist · seeds 0-2 · paper profile · 6 runs, 9.0 s of computing · zeroinit {__version__}"


def test_results_of_two_machines_are_both_stated(write, store, fill, make_result):
    fill(FIGURE, FINALS)
    result = make_result(FIGURE.curves[0].run, 3, [0.9])
    store.save(replace(result, environment={**result.environment, "device": "A <fast> GPU", "threads": 8}))
    page = page_without_drawings(write(FIGURE))
    assert re.search(r"<dt>Run with</dt><dd>[^<]*A &lt;fast&gt; GPU, 8 threads</dd>", page)
    assert re.search(r"<dt>and with</dt><dd>[^<]*cpu, 1 thr[^<]*</dd>", page)


def test_the_table_of_paper_and_ours(written):
    folder = written()
    rows = re.findall(r"<tr>(<td.*?)</tr>", page_without_drawings(folder).split('id="study"')[1], flags=re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL) for row in rows]
    assert cells[0] == [BASE, "92.0", "92.1", "[91.9, 92.3]", "+0.1", "46.0", "3"]
    assert cells[1][1:] == ["95.0", "97.1", "[96.9, 97.3]", "+2.1", "48.5", "3"]
    assert len(cells) == 2
    assert '<td class="n notable">+2.1</td>' in rows[1]
    assert "notable" not in rows[0]
    assert "Not run: Zero &amp; nothing." in page_without_drawings(folder)
    assert "| +2.1 (!) |" in (folder / "report.md").read_text()


def test_a_study_of_your_own_has_no_column_for_the_paper(write, fill):
    fill(FIGURE, FINALS)
    page = page_without_drawings(write(replace(FIGURE, published_results={})))
    assert ">Ours</th>" in page
    assert ">Paper" not in page
    assert "− paper" not in page


def test_remarks_explain_the_paper_profile_alone(written):
    assert "Because &lt;i&gt;" in page_without_drawings(written())
    assert "Because" not in page_without_drawings(written("quick"))


@pytest.mark.parametrize(
    ("dataset", "profile", "remark", "badge"),
    [
        ("mnist", "paper", "The study&#39;s data, networks and number of epochs", ""),
        ("mnist", "quick", "images) instead of the study&#39;s data, and", "not the study&#39;s data"),
        ("digits", "quick", "The study&#39;s data, with the settings of the quick profile", ""),
    ],
)
def test_a_report_of_a_study_does_not_speak_of_the_paper(dataset, profile, remark, badge, tmp_path, fill_store):
    curves = tuple(replace(each, run=replace(each.run, dataset=dataset)) for each in FIGURE.curves)
    study = replace(FIGURE, curves=curves, in_paper=False, published_results={})
    store = Store(tmp_path / "results")
    fill_store(store, study, FINALS, profile, "corrected")
    write_report(build_report([study], store, range(5), profile, "corrected"), tmp_path / "report")
    page = page_without_drawings(tmp_path / "report")
    assert f"<title>{escape(study.title)} (corrected protocol)</title>" in page
    assert remark in page
    assert re.findall(r'class="badge">(.*?)<', page) == [badge] * bool(badge)
    drawing = (tmp_path / "report" / "figures" / f"study-{profile}-corrected.svg").read_text()
    for content in (page.partition("Protocol <em>")[0], drawing):
        assert "paper&#39;s" not in content
        assert "paper's" not in content


def test_a_quick_report_never_looks_like_the_papers_result(written):
    folder = written("quick")
    page, text = page_without_drawings(folder), (folder / "report.md").read_text()
    headline = "Zero weights, random biases: the paper's figures on small digits"
    assert f"<title>{escape(headline)} (corrected protocol)</title>" in page
    assert text.startswith(f"# {headline} (corrected protocol)")
    assert '<span class="badge">not the paper&#39;s data</span>' in page
    assert "8x8 digits (1,347 training and 450 test images) instead of the paper&#39;s data" in page
    for content in (page, text):
        assert len(re.findall(r"Paper \(other data\)", content)) == 1
    assert "+2.1" not in page  # no difference from a result on other data
    drawing = (folder / "figures" / "study-quick-corrected.svg").read_text()
    assert "<!-- 8x8 digits, not the paper's data. Not run yet: Zero &amp; nothing. -->" in drawing
    for record in strict_json((folder / "claims.json").read_text()):
        assert (record["profile"], record["dataset"]) == ("quick", "digits")


def test_a_paper_report_does_not_warn(written):
    folder = written()
    page, text = page_without_drawings(folder), (folder / "report.md").read_text()
    assert "Zero weights, random biases: the paper&#39;s figures (corrected protocol)" in page
    drawing = (folder / "figures" / "study-paper-corrected.svg").read_text()
    for content in (page.split("</style>")[1], text, drawing):
        assert "quick" not in content.lower()
        assert "other data" not in content


def test_the_published_protocol_is_stated(written):
    folder = written(protocol="published")
    page = page_without_drawings(folder)
    assert "(published protocol)" in page
    assert "one order for all epochs, evaluation in train mode" in page
    assert "95 % interval (percentile_bootstrap)" in page
    assert (folder / "figures" / "study-paper-published.svg").exists()


def test_the_same_results_give_the_same_bytes(written, store, fill, tmp_path):
    first, protocol = written(protocol="published"), "published"
    fill(FIGURE, FINALS, protocol=protocol)
    write_report(build_report([FIGURE], store, range(5), "paper", protocol), tmp_path / "second")
    fill(FIGURE, {ZERO: [0.1, 0.1]}, protocol=protocol)
    write_report(build_report([FIGURE], store, range(5), "paper", protocol), tmp_path / "third")
    files = [path.relative_to(first) for path in first.rglob("*") if path.is_file()]
    assert len(files) == len(FILES)
    for file in files:
        assert (first / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
        assert (first / file).read_bytes() != (tmp_path / "third" / file).read_bytes()


def test_a_diverged_run_is_shown_as_diverged(store, tmp_path, diverging):
    figure = Figure("wild", "Diverged", (Curve("Large steps", diverging), Curve("Short", replace(diverging, epochs=2))))
    for curve in figure.curves:
        store.save(execute(curve.run, 0))
    report = build_report([figure], store, [0], "paper", "corrected")
    assert [entry.num_diverged for entry in report.summaries[0].curves] == [1, 1]
    write_report(report, tmp_path / "report")
    assert '<td class="n">1, 1 diverged</td>' in page_without_drawings(tmp_path / "report")
    assert "| 1, 1 diverged |" in (tmp_path / "report" / "report.md").read_text()
    assert strict_json((tmp_path / "report" / "claims.json").read_text()) == []


def test_a_figure_without_results_is_listed_beside_one_with(write, fill):
    fill(FIGURE, FINALS)
    longer = tuple(Curve(curve.label, replace(curve.run, epochs=9)) for curve in FIGURE.curves)
    page = page_without_drawings(write(FIGURE, replace(FIGURE, name="empty", claims=(), curves=longer)))
    assert f"Not run: {BASE}, Normal &lt;script&gt;" in page
    assert page.count("<figure") == 1


def test_no_result_at_all(store):
    with pytest.raises(InputError) as caught:
        build_report([FIGURE], store, [0, 1, 4], "paper", "corrected")
    assert str(caught.value) == (
        f"results={str(store.root)!r}: holds no result of study (paper profile, corrected protocol, seeds 0-1, 4); "
        "run `zeroinit reproduce study --profile paper` first"
    )


def test_a_report_folder_that_cannot_be_written_to(store, fill, tmp_path):
    fill(FIGURE, FINALS)
    (tmp_path / "file").write_text("kept")
    report = build_report([FIGURE], store, range(5), "paper", "corrected")
    with pytest.raises(InputError, match=r"^cannot write .*file/figures/.*svg: Not a directory; choose a folder"):
        write_report(report, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_damaged_results_are_left_out_and_named(store, fill, tmp_path):
    """All of them, on the page, too; with nothing else there is no report."""
    fill(FIGURE, FINALS)
    curve = FIGURE.curves[1]
    whole = build_report([FIGURE], store, range(5), "paper", "corrected")
    assert whole.problems == ()
    for seed in (0, 1):
        path = store.path(curve.run, seed)
        path.write_text(path.read_text()[: 100 + seed])
    report = build_report([FIGURE], store, range(5), "paper", "corrected")
    assert len(report.results) == len(whole.results) - 2
    assert [problem.partition(": cannot be read")[0] for problem in report.problems] == [
        str(store.path(curve.run, seed)) for seed in (0, 1)
    ]
    write_report(report, tmp_path / "report")
    for name in ("index.html", "report.md"):
        text = (tmp_path / "report" / name).read_text()
        assert all(str(store.path(curve.run, seed)) in text for seed in (0, 1))
    for path in store.root.glob("*/*.json"):
        path.write_text("{")
    with pytest.raises(InputError, match=r"holds no result of .*\); .*seed-0.json: cannot be read as"):
        build_report([FIGURE], Store(store.root), range(5), "paper", "corrected")


def test_runs_that_failed_are_named_with_their_reason(store, fill, tmp_path):
    """On the page, too; a run that has a result since then is not. With nothing else there is no report."""
    fill(FIGURE, FINALS)
    runs, reason = [curve.run for curve in FIGURE.curves], "RuntimeError: <no> luck"
    for run, seed in ((runs[1], 4), (runs[1], 9), (runs[0], 0)):  # seed 9 is not asked for
        store.save_failure(Failure(run, seed, "2026-01-01T00:00:00+00:00", ("x", reason)))
    report = build_report([FIGURE], store, range(5), "paper", "corrected")
    path = store.failure_path(runs[1], 4)
    assert report.problems == (
        f"study: {NORMAL}, seed 4: failed 2 times, last on 2026-01-01T00:00:00+00:00: {reason}; see {path}",
    )
    write_report(report, tmp_path / "report")
    assert "seed 4: failed 2 times" in (tmp_path / "report" / "report.md").read_text()
    page = (tmp_path / "report" / "index.html").read_text()
    assert "RuntimeError: &lt;no&gt; luck; see" in page
    assert "Left out, because they are damaged or failed:" in page
    for each in store.root.glob("*/seed-*.json"):
        each.unlink()
    with pytest.raises(InputError, match=r"holds no result of .*\); study: .*, seed 0: failed 2 times, last on .*luck"):
        build_report([FIGURE], Store(store.root), range(5), "paper", "corrected")


@pytest.mark.parametrize(
    ("seeds", "text"), [([], ""), ([3], "3"), ([0, 1], "0-1"), ([0, 2, 3, 4, 9], "0, 2-4, 9"), (range(10), "0-9")]
)
def test_seeds_written_shortly(seeds, text):
    assert write_seeds(seeds) == text


def test_the_format_is_part_of_every_file(store, fill):
    fill(FIGURE, FINALS)
    files = list(store.root.glob("*/seed-*.json"))
    assert len(files) == 6
    assert {json.loads(path.read_text())["format"] for path in files} == {stored.FORMAT}


def test_the_page_shows_what_the_inspector_says(fill_store, tmp_path):
    """Zero weights and biases lock all but the output; random ones do not. Only figures that ask for it show it."""
    store = Store(tmp_path / "results")
    asks = replace(FIGURE, inspected=True)
    fill_store(store, asks, FINALS | {ZERO: [0.1, 0.1, 0.1]}, "quick", "corrected")
    write_report(build_report([asks], store, range(5), "quick", "corrected"), tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    fragments = re.findall(r"<details>.*?</details>", page, flags=re.DOTALL)
    assert [label in fragment for label, fragment in zip(["Logistic", "Normal", "Zero &amp;"], fragments, strict=True)]
    assert ["ZI006" in fragment for fragment in fragments] == [False, False, True]
    assert "alert(1)</script>" not in page
    write_report(build_report([FIGURE], store, range(5), "quick", "corrected"), tmp_path / "without")
    assert "<details>" not in (tmp_path / "without" / "index.html").read_text()


def test_a_start_is_inspected_without_data(monkeypatch):
    """And with the run's own ablation and settings: default weights of rank one have one direction alone."""
    monkeypatch.setattr(start, "load", None)
    ablated = inspect_start(Run(dataset="digits", hidden="32", spoiler="rank_one"))
    usual = inspect_start(Run(dataset="digits", hidden="32"))
    assert ablated.layers[0].diversity["stable_rank_weights"] == pytest.approx(1, abs=0.01)
    assert usual.layers[0].diversity["stable_rank_weights"] > 2


def test_equal_starts_are_inspected_once(monkeypatch):
    plain, inspected = inspections.inspect, []
    monkeypatch.setattr(inspections, "inspect", lambda *args, **more: inspected.append(1) or plain(*args, **more))
    for hidden, seed in (("7", 0), ("7", 0), ("6", 0), ("7", 1)):
        inspect_start(Run(dataset="digits", hidden=hidden, epochs=1001), seed)
    assert len(inspected) == 3


def test_starts_are_inspected_with_one_thread_and_the_others_come_back(monkeypatch, make_result):
    run, seen = Run(dataset="digits"), []

    class Said:
        def to_html(self) -> str:
            seen.append(torch.get_num_threads())
            return ""

    monkeypatch.setattr(inspections, "inspect_start", lambda run, seed: Said())
    curve = CurveSummary(Curve("A", run), {0: make_result(run, 0, [0.5])}, mean_interval([0.5]), None, 0.5)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert inspections.inspect_curves([curve]) == [("A", "")]
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
