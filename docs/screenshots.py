"""Take the pictures of README, site and report under docs/images: build the site first.

    make docs && .venv/bin/python docs/screenshots.py

Needs the extras ``test`` and ``docs``, and Debian's package chromium.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parent.parent
IMAGES, SITE = ROOT / "docs" / "images", ROOT / "build" / "site"
REPORT = ROOT / "docs" / "results" / "corrected" / "index.html"
WIDE, NARROW, LONG = (1280, 800), (400, 860), (1280, 1600)
GUIDE = SITE / "guides" / "loss_does_not_move.html"
STYLE = """
:root { color-scheme: light dark; --line: #d1d9e0; --back: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3d444d; --back: #151b23; }
  body { background: #0d1117; color: #f0f6fc; }
}
body { font: 16px/1.5 Helvetica, Arial, sans-serif; max-width: 1012px; margin: 32px auto; }
h1, h2 { border-bottom: 1px solid var(--line); padding-bottom: .3em; }
pre { background: var(--back); padding: 16px; border-radius: 6px; overflow: hidden; }
code { background: var(--back); padding: .2em .4em; border-radius: 6px; font-size: 85%; }
pre code { padding: 0; }
table { border-collapse: collapse; } td, th { border: 1px solid var(--line); padding: 6px 13px; }
img { max-width: 100%; }
"""


def readme(folder: Path) -> Path:
    """Write the README as a page that looks as on a code host; return its place."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace('"docs/', f'"{ROOT.as_uri()}/docs/')
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    page = folder / "readme.html"
    page.write_text(f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>{body}', encoding="utf-8")
    return page


def take(browser: Browser, page: Path, name: str, size: tuple[int, int], is_dark: bool = False) -> None:
    """Take the first screen of a page."""
    scheme = "dark" if is_dark else "light"
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(page.as_uri())
    opened.wait_for_timeout(500)
    path = IMAGES / f"{name}{'-dark' * is_dark}.png"
    opened.screenshot(path=path)
    context.close()
    picture = Image.open(path).convert("RGB")
    assert len(picture.getcolors(2**24)) > 16, f"{path} is empty"
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Take all pictures."""
    for page in (GUIDE, REPORT):
        if not page.is_file():
            sys.exit(f"{page} is missing: run `make docs` first")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for is_dark in (False, True):
            take(browser, readme(Path(folder)), "readme", LONG, is_dark)
            take(browser, SITE / "index.html", "site-home", WIDE, is_dark)
            take(browser, REPORT, "report", WIDE, is_dark)
            take(browser, REPORT, "report-400", NARROW, is_dark)
        take(browser, SITE / "index.html", "site-home-400", NARROW)
        take(browser, GUIDE, "site-guide", WIDE)


if __name__ == "__main__":
    main()
