"""Models of the hub's library: no warning on those that learn; where the batch is too small, one cause that says so."""

import pytest

from zeroinit.symmetry import inspect

from .hub import MODELS, SMALL_IMAGES, built

pytestmark = [
    pytest.mark.usefixtures("without_type_checks"),
    pytest.mark.filterwarnings("ignore"),
]


RELATIVES = {
    *("llama", "qwen2", "qwen3", "gemma", "phi", "opt", "falcon", "qwen2_moe", "bert_masked", "roberta", "distilbert"),
    *("electra", "mobilebert", "bart", "pegasus", "deit", "beit", "hubert", "mamba2"),
}
"""Built like one of the others: slow runs have them."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in RELATIVES else name for name in MODELS]
)
def test_no_warning(name):
    report = inspect(*built(MODELS[name]))
    assert [f"{each} -> {each.suggestion}" for each in report.warnings] == []
    assert report.verdict.startswith("Will learn: ")


@pytest.mark.parametrize("name", SMALL_IMAGES)
def test_one_cause_where_the_images_are_too_small(name):
    report = inspect(*built(SMALL_IMAGES[name]))
    assert len({each.cause for each in report.warnings}) == 1, str(report)
    said = " ".join(str(report).split())
    assert "its inputs are so small that one place is left" in said or "is over one value" in said
