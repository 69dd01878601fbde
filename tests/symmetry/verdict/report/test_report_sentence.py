"""The verdict is one sentence, and one cause is told once."""

import pytest
import torch

from zeroinit.symmetry import inspect
from zeroinit.symmetry.verdict.report.sentence import by_cause, first_sentence

from ...zoo import VECTORS, Branch, mlp


def test_one_cause_is_told_once_and_first():
    report = inspect(Branch(), VECTORS)
    groups = by_cause(report.warnings)
    assert len(groups) == 1
    assert {each.path for each in groups[0]} == {"norm", "down", "up"}
    assert report.verdict == "4 of 6 parameters will not learn: `down.weight` and `up.weight` both start at zero."
    assert groups[0][0].suggestion == "Start with `nn.init.normal_(model.down.weight, std=0.02)`."
    assert all(each.passed for each in inspect(mlp(), VECTORS).checks)
    assert not all(each.passed for each in report.checks)


def test_the_first_sentence():
    assert first_sentence("The ReLU in `1.act` is off. It stays so.") == "the ReLU in `1.act` is off"
    assert first_sentence("NaN comes first.") == "NaN comes first"


@pytest.mark.parametrize("switched_off", [torch.no_grad, torch.inference_mode])
def test_gradients_that_are_off_are_told(switched_off):
    model = mlp()
    with switched_off():
        report = inspect(model, VECTORS)
    assert report.verdict.startswith("Will learn once gradients are switched on: all ")
    assert "`torch.set_grad_enabled(True)` switches them on" in " ".join(str(report).split())
    with switched_off():
        assert inspect(Branch(), VECTORS).verdict.endswith("Gradients are off here, so your own backward pass fails.")
    assert "switched on" not in str(inspect(model, VECTORS))
