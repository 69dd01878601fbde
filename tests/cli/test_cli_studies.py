"""The two studies of what the paper left open, from the command to the page, in the quick profile."""

import json
import re
from dataclasses import replace
from pathlib import Path

from zeroinit.bench.catalogue import FIGURES
from zeroinit.bench.store import Store


def test_both_studies_run_and_are_drawn(zeroinit, monkeypatch):
    for name in ("gap", "large_bias"):
        short = {**FIGURES[name].overrides.get("quick", {}), "epochs": 3, "num_train": 640}
        monkeypatch.setitem(FIGURES, name, replace(FIGURES[name], overrides={"quick": short}))
    ended = zeroinit("reproduce", "gap", "large_bias", "--profile", "quick", "--jobs", "1", "--seeds", "1")
    assert ended.code == 0
    curves = {curve.run for name in ("gap", "large_bias") for curve in FIGURES[name].at("quick", "corrected")}
    results = {result.run: result.history["test_accuracy"][-1] for result in Store("results")}
    assert set(results) == curves
    records = json.loads(Path("report/claims.json").read_text())
    assert {record["figure"] for record in records} == {"gap", "large_bias"}
    page = Path("report/index.html").read_text()
    assert len(re.findall("<figure[^>]*><svg", page)) == 2
    assert "Gap closed" in page
    assert "Share of the loss" in page
    large = {curve.label: results[curve.run] for curve in FIGURES["large_bias"].at("quick", "corrected")}
    assert large["Biases ×1"] > large["Biases ×100"] + 0.05
