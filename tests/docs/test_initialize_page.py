"""The page on initializing a model: its code runs and prints what the page shows."""

import re
from pathlib import Path

import torch

PAGE = (Path(__file__).parents[2] / "docs" / "initialize.md").read_text()


def test_code_prints_what_the_page_shows(capsys):
    ((code, shown),) = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)
    assert PAGE.count("```python") == 1
    with torch.random.fork_rng():
        exec(compile(code, "initialize.md", "exec"), {"__name__": "a_page"})
    assert capsys.readouterr().out == shown
