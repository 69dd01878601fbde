"""The verdict is one sentence, and one cause is told once."""

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
