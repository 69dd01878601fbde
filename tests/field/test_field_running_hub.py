"""Forty models of ``transformers`` of different kinds, trained as documented: no crash, and no false warning."""

import pytest
import torch

from zeroinit.symmetry import inspect

from .hub_kinds import KINDS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_type_checks")]

RIGHT = {
    # Its class token and its distillation token start at zero, and so do their positions. The head takes the mean of
    # both, so they are one token for ever.
    "ast": {("ZI004", "audio_spectrogram_transformer.embeddings")},
}
"""Warnings that are right, with the reason."""
UNUSED = {
    # Its pooler is computed, and a loss over masked tokens does not use it.
    "fnet_masked": {"fnet.pooler.dense"},
}


def test_there_are_forty():
    assert len(KINDS) >= 40


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_no_crash_and_no_false_warning(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, batch = KINDS[name]()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    report = inspect(model, batch)
    found = {(finding.code, finding.path) for finding in report.warnings}
    assert {each for each in found if each[1] not in UNUSED.get(name, set())} == RIGHT.get(name, set())
    assert report.notes == ()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["llama", "bert", "t5", "vit", "wav2vec2", "mixtral", "mamba"])
def test_a_fault_in_each_family_is_found(name):
    """The first matrix of some inner layer, and what multiplies it, are set to zero."""
    torch.manual_seed(0)
    model, batch = KINDS[name]()
    zeroed = [each for path, each in model.named_parameters() if "layers.0." in path or "layer.0." in path]
    zeroed = zeroed or [each for path, each in model.named_parameters() if ".0." in path]
    for each in zeroed:
        torch.nn.init.zeros_(each)
    assert len(inspect(model, batch).warnings) > 0
