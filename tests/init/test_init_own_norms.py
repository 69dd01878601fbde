"""Norms of other libraries: a trial shows what multiplies and what is added, so each starts as its class means it."""

import pytest
import torch
from torch import nn

from zeroinit._modules.norms import parts_by_trial
from zeroinit.init import initialize_, make_initializer

FAMILIES = {
    **dict.fromkeys(["llama.LlamaRMSNorm", "t5.T5LayerNorm", "mistral.MistralRMSNorm", "cohere.CohereLayerNorm"], 1.0),
    **dict.fromkeys(["olmo2.Olmo2RMSNorm", "mamba.MambaRMSNorm", "deepseek_v3.DeepseekV3RMSNorm"], 1.0),
    **dict.fromkeys(["gemma.GemmaRMSNorm", "gemma3.Gemma3RMSNorm", "qwen3_next.Qwen3NextRMSNorm"], 0.0),
}


def family(path: str, size: int = 8) -> nn.Module:
    package, name = path.split(".")
    module = pytest.importorskip(f"transformers.models.{package}.modeling_{package}")
    return getattr(module, name)(size)


@pytest.mark.parametrize("path", FAMILIES)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_norms_of_transformers_start_as_their_class_builds_them(path, device):
    norm = family(path)
    assert torch.equal(norm.weight, torch.full((8,), FAMILIES[path]))
    nn.init.normal_(norm.weight)
    model = nn.Sequential(nn.Linear(8, 8), norm).to(device)
    record = initialize_(model, "kaiming_normal", seed=0, device="cpu")
    assert torch.equal(norm.weight, torch.full((8,), FAMILIES[path]))
    assert not [each for each in record.untouched if each.name == "1.weight"]


class ScaleNorm(nn.Module):
    def __init__(self, how: str):
        super().__init__()
        self.scale, self.shift, self.how = nn.Parameter(torch.rand(8)), nn.Parameter(torch.rand(8)), how

    def forward(self, x):
        if self.how == "no norm":
            return x * self.scale + self.shift
        if self.how == "power":
            return nn.functional.layer_norm(x, (8,)) * self.scale.exp() + self.shift
        if self.how == "fails":
            return nn.functional.layer_norm(x, (3, 8)) * self.scale + self.shift
        return nn.functional.layer_norm(x, (8,)) * self.scale + self.shift


@pytest.mark.parametrize("how", ["norm", "no norm", "power", "fails"])
def test_a_norm_of_your_own_is_known_by_what_it_does(how):
    norm = ScaleNorm(how)
    seen = []
    norm.register_forward_hook(lambda *given: seen.append(given))
    before = {name: each.clone() for name, each in norm.named_parameters()}
    assert parts_by_trial(norm) == ({"scale": "gamma", "shift": "beta"} if how == "norm" else {})
    assert not seen
    assert all(torch.equal(each, before[name]) for name, each in norm.named_parameters())
    record = initialize_(nn.Sequential(nn.Linear(8, 8), norm), "kaiming_normal", seed=0)
    assert len(record.untouched) == (0 if how == "norm" else 2)
    if how == "norm":
        assert torch.equal(norm.scale, torch.ones(8))
        assert not norm.shift.any()


def test_a_default_type_and_a_default_device_do_not_matter():
    norm = ScaleNorm("norm")
    dtype = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            assert parts_by_trial(norm) == {"scale": "gamma", "shift": "beta"}
    finally:
        torch.set_default_dtype(dtype)
    assert parts_by_trial(norm.to(torch.bfloat16)) == {"scale": "gamma", "shift": "beta"}


class PostNorm(nn.Module):
    """x + norm(down(relu(up(x)))), as in OLMo 2 and Gemma."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.up, self.down, self.norm = nn.Linear(8, 8), nn.Linear(8, 8), norm

    def forward(self, x):
        return x + self.norm(self.down(torch.relu(self.up(x))))


@pytest.mark.parametrize(("path", "by_norm"), [("olmo2.Olmo2RMSNorm", True), ("gemma.GemmaRMSNorm", False)])
def test_the_norm_that_ends_a_branch_starts_it_at_zero_if_it_multiplies(path, by_norm):
    block = PostNorm(family(path))
    model, inputs = nn.Sequential(nn.Linear(6, 8), block), torch.randn(4, 6)
    initialize_(model, make_initializer("zero_branch", at="any"), seed=0, probe=inputs)
    assert bool(block.norm.weight.any()) is False
    assert bool(block.down.weight.any()) is by_norm
    torch.testing.assert_close(model(inputs), model[0](inputs))
