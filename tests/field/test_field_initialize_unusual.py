"""``initialize_`` on unusual models from public reports: wrapped, scripted, complex, expanded, computed by hand.

The second round. What is right was written down before the first run; each test names its source.
"""

import copy
import inspect as python_inspect
import re
import sys
import warnings

import pytest
import torch
import transformers
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from torch import nn

from zeroinit._common import InputError
from zeroinit.init import hash_tensor, initialize_

GPT2 = {
    "vocab_size": 30,
    "n_embd": 8,
    "n_layer": 1,
    "n_head": 2,
    "n_positions": 12,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def state(model: nn.Module) -> dict[str, str]:
    return {
        name: hash_tensor(value)
        for name, value in [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]
    }


def initialize(model: nn.Module, name: str = "normal_bias", **settings) -> tuple:
    """Return the record, all names that were set, and the warnings; the record is true of each."""
    before = state(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record = initialize_(model, name, generator=torch.Generator().manual_seed(0), **settings)
    done = {each for entry in record.parameters for each in (entry.name, *entry.aliases)}
    left = {each for entry in record.untouched for each in (entry.name, *entry.aliases)}
    assert done | left == {name for name, _ in model.named_parameters(remove_duplicate=False)}
    assert not done & left
    assert {key for key, value in state(model).items() if value != before[key]} <= done
    return record, done, [str(each.message) for each in caught]


def refused(model: nn.Module, match: str, name: str = "normal_bias", **settings) -> None:
    before = state(model)
    with pytest.raises(InputError, match=match):
        initialize_(model, name, **settings)
    assert state(model) == before


def adapted(model: nn.Module, config) -> nn.Module:
    with warnings.catch_warnings():  # peft and transformers do not always agree on names
        warnings.simplefilter("ignore")
        return get_peft_model(model, config)


def gpt2(kind: str = "GPT2LMHeadModel", **settings) -> nn.Module:
    return getattr(transformers, kind)(transformers.GPT2Config(**GPT2, **settings))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:.torch.jit:FutureWarning")
def test_a_scripted_model():
    """pytorch/pytorch#29092: isinstance is false for all layers of a scripted model; nothing is initialized."""
    model = torch.jit.script(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    refused(model, r"TorchScript.*initialize_ before torch.jit")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:.torch.jit:FutureWarning")
def test_a_scripted_part():
    """pytorch/pytorch#19348: the scripted part of a model is passed over. Somebody is told."""
    model = nn.Sequential(torch.jit.script(nn.Linear(8, 8)), nn.Linear(8, 2))
    record, done, told = initialize(model)
    assert done == {"1.weight", "1.bias"}
    assert len(told) == 1
    assert "'0.weight'" in told[0]
    assert {entry.name for entry in record.untouched} == {"0.weight", "0.bias"}


def test_expanded_parameters_of_heads():
    """lucidrains/titans-pytorch#64: all heads are one tensor, expanded; nothing can be written to it."""
    memory = nn.ParameterList([nn.Parameter(torch.randn(4, 4).expand(3, 4, 4))])
    model = nn.ModuleDict({"memory": memory, "out": nn.Linear(8, 8)})
    record, done, told = initialize(model)
    assert done == {"out.weight", "out.bias"}
    assert [entry.reason for entry in record.untouched] == ["no rule for ParameterList"]
    assert not told
    model["out"].weight = nn.Parameter(torch.randn(8).expand(8, 8))
    refused(model, r"out.weight: is expanded, so that several values are one place in memory; replace it by")


def test_all_frozen_but_a_tied_head():
    """huggingface/transformers#11903: GPT-2 is frozen except its head, which is the embedding."""
    model = gpt2().requires_grad_(False)
    model.lm_head.requires_grad_(True)
    assert model.transformer.wte.weight.requires_grad
    refused(model, r"frozen .*; shared by 'lm_head.weight' .*'transformer.wte.weight'.*frozen='set' or tied='set'")
    _, done, _ = initialize(model, "pytorch", tied="set")
    assert done == {"lm_head.weight", "transformer.wte.weight"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_one_seed_in_each_precision(dtype):
    """pytorch/pytorch#32535: another default type draws other values from one seed."""

    def make() -> nn.ModuleDict:
        attention, conv = nn.MultiheadAttention(8, 2, kdim=4), transformers.pytorch_utils.Conv1D(6, 8)
        normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 4))
        return nn.ModuleDict({"attention": attention, "conv": conv, "normed": normed})

    single, other = make(), make().to(dtype)
    for name in ("pytorch", "uniform_bias"):
        initialize(single, name)
        initialize(other, name)
        for key, parameter in single.named_parameters():
            if "original1" not in key or name == "pytorch":
                tolerance = 1e-6 if dtype is torch.float64 else 1e-2
                torch.testing.assert_close(other.get_parameter(key).float(), parameter, rtol=tolerance, atol=1e-6)


class EqualLinear(nn.Module):
    """StyleGAN's layer with an equalized learning rate: parameters of its own, scaled when used."""

    def __init__(self, inputs, units):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(units, inputs)), nn.Parameter(torch.zeros(units))


def test_layers_with_an_equalized_learning_rate():
    """rosinality/stylegan2-pytorch#162: EqualLinear is no nn.Linear; its weight has a size of its own on purpose."""
    refused(nn.Sequential(EqualLinear(4, 4)), "has no dense, convolutional or attention layer to initialize")
    model = nn.Sequential(EqualLinear(4, 8), EqualLinear(8, 8), nn.Linear(8, 1))
    _, done, told = initialize(model)
    assert done == {"2.weight", "2.bias"}
    assert len(told) == 1
    assert re.search(r"sets 8 of 104 weights.*'1.weight' \(EqualLinear\), '0.weight' \(EqualLinear\)", told[0])


def test_complex_weights_of_a_spectral_convolution():
    """neuraloperator/neuraloperator#521: weights of a spectral convolution are complex."""

    class SpectralConv(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 4, 3, dtype=torch.complex64))

    model = nn.ModuleDict({"spectral": SpectralConv(), "skip": nn.Conv1d(4, 4, 1), "head": nn.Linear(4, 8)})
    record, done, told = initialize(model)
    assert {name.partition(".")[0] for name in done} == {"skip", "head"}
    assert [entry.reason for entry in record.untouched] == ["no rule for SpectralConv"]
    assert not told
    refused(nn.Linear(3, 3, dtype=torch.complex64), "weight: has dtype torch.complex64, which is not floating point")


class NoisyLinear(nn.Linear):
    """torchrl's layer: a subclass of nn.Linear whose weight is a property that adds noise."""

    def __init__(self, inputs, units):
        nn.Module.__init__(self)
        self.in_features, self.out_features = inputs, units
        self.weight_mu, self.weight_sigma = (nn.Parameter(torch.rand(units, inputs)) for _ in range(2))
        self.bias_mu, self.bias_sigma = (nn.Parameter(torch.rand(units)) for _ in range(2))
        self.register_buffer("reads", torch.zeros(()))

    @property
    def weight(self):
        self.reads += 1
        return self.weight_mu + self.weight_sigma * torch.randn(self.out_features, self.in_features)

    @property
    def bias(self):
        return self.bias_mu + self.bias_sigma * torch.randn(self.out_features)


def test_a_weight_that_is_a_property():
    """pytorch/rl#3082: NoisyLinear computes its weight from mean and noise each time it is read."""
    model = nn.Sequential(nn.Linear(4, 4), NoisyLinear(4, 2))
    refused(model, r"1.weight: is computed by other code and cannot be set in place; exclude the layer")
    _, done, told = initialize(model, exclude="1")
    assert done == {"0.weight", "0.bias"}
    assert not told
    initialize(model, scale="auto", exclude="1")
    assert model[1].reads == 0


def test_the_prior_of_a_detection_head():
    """xingyizhou/CenterNet#826: the bias of the heat map's last convolution starts at -2.19 on purpose."""
    model = nn.ModuleDict(
        {"body": nn.Conv2d(3, 4, 3), "hm": nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))}
    )
    model["hm"][-1].bias.data.fill_(-2.19)
    _, done, _ = initialize(model, exclude="hm.2")
    assert (model["hm"][-1].bias == -2.19).all()
    assert {"hm.0.weight", "hm.0.bias"} <= done
    record, _, _ = initialize(model, "zero")
    assert next(entry for entry in record.parameters if entry.name == "hm.2.bias").changed


def test_a_teacher_that_is_a_frozen_copy():
    """arxyzan/data2vec-pytorch#12: the teacher is a copy of the student, frozen; the record says that it stays."""
    student = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model = nn.ModuleDict({"student": student, "teacher": copy.deepcopy(student).requires_grad_(False)})
    record, done, _ = initialize(model)
    assert all(name.startswith("student") for name in done)
    assert {entry.reason for entry in record.untouched} == {"frozen (requires_grad is False)"}


def test_one_layer_in_three_places():
    """huggingface/transformers#3052: ALBERT's layers are one layer, called several times."""
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    model = nn.ModuleList([layer] * 3)
    record, done, told = initialize(model)
    assert not told
    assert len(record.parameters) == 8
    assert all(len(entry.aliases) == 2 for entry in record.parameters)
    assert "2.self_attn.in_proj_weight" in done
    _, done, _ = initialize(model, exclude="1.self_attn")
    assert not any("self_attn" in name for name in done)


def test_three_layers_with_one_weight():
    """ssnl/PyTorch-Reparam-Module#4: several layers share the weight of the first."""
    net = nn.Sequential(*(nn.Linear(10, 10) for _ in range(4)))
    net[-1].weight = net[-2].weight = net[0].weight
    record, done, told = initialize(net, "pytorch")
    assert not told
    assert record.parameters[0].aliases == ("2.weight", "3.weight")
    assert len(done) == 8


def test_convolutions_without_a_bias():
    """vkola-lab/tmi2022#19: 'NoneType' object has no attribute 'data'."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False), nn.Linear(4, 2))
    for name in ("pytorch", "zero"):
        record, done, told = initialize(model, name)
        assert done == {"0.weight", "2.weight", "2.bias"}
        assert record.without_bias == ("0",)
        assert not told


def test_a_block_that_is_called_conv():
    """knazeri/edge-connect#154: a module whose class name contains "Conv" and that has no weight."""
    kind = type("Conv1D", (nn.Sequential,), {})
    model = nn.Sequential(kind(nn.Conv2d(3, 4, 3), nn.ReLU()), kind(nn.Conv2d(4, 2, 1)))
    _, done, told = initialize(model)
    assert len(done) == 4
    assert not told


def test_an_orthogonal_weight():
    """lezcano/geotorch#5: a weight with a constraint is set by assignment, and not to any value."""
    model = nn.Sequential(nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)), nn.Linear(4, 4))
    refused(model, r"0.weight: is computed by Orthogonal and cannot be set in place; exclude the layer")
    _, done, _ = initialize(model, exclude="0")
    assert done == {"1.weight", "1.bias"}


def test_parameters_that_lie_in_one_buffer():
    """pytorch/pytorch#185014: parameters made of views share a larger storage, and not their values."""
    layers = [nn.Linear(4, 4) for _ in range(3)]
    flat = torch.randn(3 * 20)
    for number, layer in enumerate(layers):
        part = flat[number * 20 : (number + 1) * 20]
        layer.weight, layer.bias = nn.Parameter(part[:16].view(4, 4)), nn.Parameter(part[16:])
    record, done, told = initialize(nn.Sequential(*layers), "constant_bias")
    assert not told
    assert len(done) == 6
    assert not any(entry.aliases for entry in record.parameters)
    assert flat.sum() == 12


def test_a_head_that_is_saved_beside_adapters():
    """microsoft/LoRA#55, a variant: peft keeps the old head, frozen, beside the one that trains."""
    model = adapted(gpt2("GPT2ForSequenceClassification", pad_token_id=0), LoraConfig(task_type="SEQ_CLS", r=2))
    record, done, _ = initialize(model, "pytorch")
    heads = {name for name in done if "score" in name}
    assert len(heads) == 1
    assert "modules_to_save" in heads.pop()
    assert all("lora_" in name or "score" in name for name in done)
    assert any("score.original_module" in entry.name and "frozen" in entry.reason for entry in record.untouched)


def test_a_soft_prompt_alone():
    """jxhe/unify-parameter-efficient-tuning#14: what does an initialization of the whole model do beside a prefix?"""
    model = adapted(gpt2(), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    refused(model, r"every parameter of the chosen layers would stay as it is \(frozen")


def test_the_norm_of_a_weight_norm():
    """sony/nnabla#862: g has to be the norm of what was drawn, so that the size of the weight is kept."""
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(50, 20))
    layer.parametrizations.weight.original0.data.fill_(99.0)
    initialize(layer, "pytorch")
    parts = layer.parametrizations.weight
    torch.testing.assert_close(parts.original0, parts.original1.norm(dim=1, keepdim=True))
    assert 0.8 < layer.weight.abs().max() * 50**0.5 <= 1.001


def test_a_resized_head():
    """huggingface/transformers#45079: a resized head was drawn anew by a later initialization."""
    model = gpt2(tie_word_embeddings=False)
    model.resize_token_embeddings(33)
    assert model.lm_head.weight is not model.transformer.wte.weight
    kept = model.lm_head.weight.clone()
    _, done, told = initialize(model, "pytorch", exclude="lm_head")
    assert torch.equal(model.lm_head.weight, kept)
    assert not told
    _, done, told = initialize(model, "zero")
    assert "lm_head.weight" in done
    assert not told


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, torch.compile, torch.fx.symbolic_trace], ids=["parallel", "compiled", "traced"]
)
def test_wrapped_models(wrap):
    """lianghongzhuo/PointNetGPD#15: a model comes in a wrapper, and its layers have other names."""
    plain = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    wrapped = wrap(copy.deepcopy(plain))
    _, done, told = initialize(wrapped)
    initialize(plain)
    assert not told
    assert len(done) == 4
    for ours, theirs in zip(wrapped.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_every_test_names_its_source():
    tests = [each for name, each in vars(sys.modules[__name__]).items() if name.startswith("test_")]
    named = [each for each in tests if re.match(r"[\w.-]+/[\w.-]+#\d+", python_inspect.getdoc(each) or "")]
    assert len(named) == len(tests) - 1
