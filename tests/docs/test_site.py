"""The site is built offline without a warning, makes no request, and has a twin in Markdown for each page."""

import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("sphinx") is None, reason="Sphinx is not installed; pip install '.[docs]' brings it"),
]
LOADED = r'<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc="([^"]+)"|<link\b[^>]*\bhref="([^"]+)"'


def outside(page: str) -> list[str]:
    """What a page would fetch from elsewhere; links that a reader may follow do not count."""
    found = ["".join(each) for each in re.findall(LOADED, page)]
    found += re.findall(r"url\(['\"]?([^)'\"]+)", page) + re.findall(r"@import ['\"]([^'\"]+)", page)
    return [each for each in found if re.match(r"(?:\w+:)?//", each)]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Built from a copy of what is under version control, with a wrong proxy in the way of every request."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("runs", "api", "cli.md"))
    shutil.copytree(ROOT / "src", folder / "src")
    began = time.monotonic()
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-W",
            "--keep-going",
            "-q",
            "-d",
            folder / "trees",
            folder / "docs",
            folder / "built",
        ],
        env={"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin", "https_proxy": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert time.monotonic() - began < 180
    return folder / "built"


def test_no_page_makes_a_request(site):
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert outside(path.read_text(encoding="utf-8")) == [], path.relative_to(site)


def test_each_page_has_a_twin_and_a_line_in_the_list(site):
    without = {"genindex", "search", "py-modindex", "_static/webpack-macros"}
    pages = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")} - without
    pages = {page for page in pages if not re.fullmatch(r"results/\w+/index", page)}  # reports of studies
    listed = set(re.findall(r"\]\((.*?)\.md\)", (site / "llms.txt").read_text(encoding="utf-8")))
    assert pages == listed
    assert all((site / f"{page}.md").read_text(encoding="utf-8").startswith("# ") for page in pages)
    assert "reference/findings/ZI006" in pages
    twin = (site / "reference" / "api" / "zeroinit.md").read_text(encoding="utf-8")
    assert "## initialize_\n" in twin
    assert "eval-rst" not in twin


def test_links_of_the_site_lead_somewhere(site):
    for path in site.rglob("*.html"):
        if re.fullmatch(r"results/\w+/index.html", path.relative_to(site).as_posix()):
            continue
        for link in re.findall(r'<a\b[^>]*\bhref="([^"#?]+)', path.read_text(encoding="utf-8")):
            assert re.match(r"\w+:", link) or (path.parent / link).exists(), f"{path.relative_to(site)}: {link}"


@pytest.mark.parametrize(
    "page",
    ['<script src="https://a.org/b.js">', '<link rel="x" href="//a.org/b.css">', "a { b: url('http://a.org/c') }"],
)
def test_a_request_is_seen(page):
    assert len(outside(page)) == 1


def test_what_is_no_request_is_left_alone():
    assert outside('<a href="https://a.org">a</a><script src="_static/a.js"></script><p>url(a.png)</p>') == []
