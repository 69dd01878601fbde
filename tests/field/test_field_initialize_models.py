"""``initialize_`` on models from public reports. What is right was written down before the first run.

Each test names its source. The models are small ones of the same make.
"""

import inspect as python_inspect
import math
import re
import sys
import warnings

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from zeroinit._common import InputError
from zeroinit.init import InitWarning, SymmetryWarning, hash_tensor, initialize_

BERT = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
GPT2 = {
    "vocab_size": 30,
    "n_embd": 8,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 12,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def gpt2() -> nn.Module:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2))


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


def why(record, name: str) -> str:
    return next(entry.reason for entry in record.untouched if name in (entry.name, *entry.aliases))


def refused(model: nn.Module, match: str, name: str = "normal_bias", **settings) -> None:
    before = state(model)
    with pytest.raises(InputError, match=match):
        initialize_(model, name, **settings)
    assert state(model) == before


def within(values: torch.Tensor, fan: int) -> bool:
    """Whether values fill U(-1/sqrt(fan), 1/sqrt(fan)), and nothing else."""
    return bool(0.8 < values.abs().max() * fan**0.5 <= 1)


def test_the_tied_head_of_gpt2():
    """huggingface/transformers#3799: is lm_head right, although no checkpoint holds it? It is the token embedding."""
    model = gpt2()
    embedding = model.transformer.wte.weight.clone()
    _, done, told = initialize(model)
    assert torch.equal(model.transformer.wte.weight, embedding)
    assert len(done) == 2 * 4 * 2
    assert not any(block.attn.c_attn.weight.any() or block.mlp.c_proj.weight.any() for block in model.transformer.h)
    assert len(told) == 1
    assert re.search(r"'lm_head.weight' \(Linear\).*'transformer.wte.weight' \(Embedding\).*tied='set'", told[0])
    _, done, told = initialize(model, "zero", tied="set")
    assert not told
    assert {"transformer.wte.weight", "lm_head.weight"} <= done
    assert model.lm_head.weight is model.transformer.wte.weight
    assert not model.lm_head.weight.any()


def test_no_layer_of_gpt2_is_missed():
    """huggingface/peft#2991: an initialization looked for nn.Linear and found none of GPT-2's Conv1D."""
    model = gpt2()
    _, done, _ = initialize(model, "pytorch", exclude="lm_head")
    assert {name for name in done if name.endswith(".weight")} == {
        f"transformer.h.{block}.{layer}.weight"
        for block in range(2)
        for layer in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    assert within(model.transformer.h[0].attn.c_attn.weight, 8)
    assert within(model.transformer.h[0].mlp.c_proj.weight, 32)


def test_a_copy_of_conv1d():
    """huggingface/transformers#2035: GPT's Conv1D, a dense layer with its weight transposed, in a file of one's own."""

    class Conv1D(nn.Module):
        def __init__(self, nf, nx):
            super().__init__()
            self.nf = nf
            self.weight, self.bias = nn.Parameter(torch.empty(nx, nf)), nn.Parameter(torch.zeros(nf))

        def forward(self, x):
            return torch.addmm(self.bias, x, self.weight)

    model, twin = (
        nn.Sequential(Conv1D(24, 8), nn.GELU(), Conv1D(8, 24)),
        nn.Sequential(nn.Linear(8, 24), nn.GELU(), nn.Linear(24, 8)),
    )
    nn.init.normal_(model[0].weight)
    nn.init.normal_(model[2].weight)
    initialize(model, "pytorch")
    initialize(twin, "pytorch")
    inputs = torch.randn(3, 8)
    torch.testing.assert_close(model(inputs), twin(inputs))


class LoRALinear(nn.Linear):
    """A dense layer with its low-rank update beside it, as loralib has it."""

    def __init__(self, inputs, units, rank=2):
        super().__init__(inputs, units)
        self.lora_A, self.lora_B = nn.Parameter(torch.randn(rank, inputs)), nn.Parameter(torch.zeros(units, rank))
        self.weight.requires_grad_(False)


def test_the_frozen_base_of_loralib():
    """microsoft/LoRA#55: layers with pretrained weights were drawn anew once they were LoRA layers."""
    model = nn.Sequential(LoRALinear(4, 4), nn.ReLU(), LoRALinear(4, 3))
    base = model[0].weight.clone()
    record, done, told = initialize(model)
    assert torch.equal(model[0].weight, base)
    assert done == {"0.bias", "2.bias"}
    assert why(record, "0.weight").startswith("frozen")
    assert why(record, "0.lora_A") == "no rule for LoRALinear"
    assert len(told) == 1
    assert "less than half" in told[0]
    for layer in (model[0], model[2]):
        layer.bias.requires_grad_(False)
    refused(model, r"every parameter of the chosen layers would stay as it is \(frozen")


def lora_on_gpt2() -> nn.Module:
    with warnings.catch_warnings():  # peft and transformers do not always agree on names
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(gpt2(), LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))


def test_pretrained_weights_under_lora():
    """fishaudio/fish-speech#1163: LoRA trained on top of random weights, since an initialization came after loading."""
    model = lora_on_gpt2()
    base = {name: value for name, value in state(model).items() if "lora_" not in name}
    record, done, _ = initialize(model, "pytorch")
    assert {name: value for name, value in state(model).items() if "lora_" not in name} == base
    assert {re.search(r"lora_[AB]", name)[0] for name in done} == {"lora_A", "lora_B"}
    assert why(record, "base_model.model.transformer.h.0.attn.c_attn.base_layer.weight").startswith("frozen")


def test_two_zero_factors():
    """nvidia-cosmos/cosmos-predict2.5#15: zero weights after the adapters: both factors were zero, nothing trained."""
    model = lora_on_gpt2()
    _, done, told = initialize(model, "normal_bias")
    assert any("lora_A" in text and "lora_B" in text and "no bias" in text for text in told)
    model = lora_on_gpt2()
    kept = {name: value for name, value in state(model).items() if "lora_A" in name}
    _, done, _ = initialize(model, "zero", exclude="*lora_A*")
    assert all("lora_B" in name for name in done)
    assert {name: value for name, value in state(model).items() if "lora_A" in name} == kept


def test_initialization_after_weight_norm():
    """jik876/hifi-gan#145: it had no effect after weight_norm. Here it has one."""
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.LeakyReLU(), nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 2, 3)))
    for name in ("pytorch", "normal_bias", "pytorch"):
        initialize(model, name)
        assert within(model[2].weight, 12) if name == "pytorch" else not model[2].weight.any()
        assert model(torch.ones(1, 2, 9)).isfinite().all()


def test_spectral_norm_is_not_disturbed():
    """pytorch/pytorch#48181: weight is computed by a hook from weight_orig, and so is not what was set."""
    for norm in (nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm):
        model = nn.Sequential(nn.Linear(3, 4), norm(nn.Linear(4, 4)))
        refused(model, r"1.weight: is computed by SpectralNorm and cannot be set in place; exclude the layer")
        _, done, _ = initialize(model, exclude="1")
        assert done == {"0.weight", "0.bias"}


def test_packed_and_separate_projections():
    """pytorch/pytorch#166378: the packed projection of nn.MultiheadAttention is smaller than separate ones."""
    packed, apart = nn.MultiheadAttention(64, 4), nn.MultiheadAttention(64, 4, kdim=32, vdim=16)
    for attention in (packed, apart):
        initialize(attention, "pytorch")
    assert all(within(part, 64) for part in packed.in_proj_weight.chunk(3))
    assert within(apart.q_proj_weight, 64)
    assert within(apart.k_proj_weight, 32)
    assert within(apart.v_proj_weight, 16)


def test_the_output_projection_of_attention():
    """pytorch/pytorch#57117: MultiheadAttention's own initialization leaves out_proj.weight out."""
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    record, done, told = initialize(model, "normal_bias")
    assert not told
    names = ("self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.bias")
    assert {f"layers.{layer}.{name}" for layer in range(2) for name in names} <= done
    assert {why(record, name) for name in dict(model.named_parameters()) if "norm" in name} == {"no rule for LayerNorm"}
    assert model(torch.randn(2, 3, 8)).isfinite().all()


def test_depthwise_convolutions():
    """pytorch/pytorch#23854: the fan of a depthwise convolution is that of one channel."""
    model = nn.Sequential(nn.Conv2d(64, 64, 3, groups=64), nn.Conv2d(64, 8, 1))
    initialize(model, "pytorch")
    assert within(model[0].weight, 9)
    assert within(model[1].weight, 64)


def test_grouped_convolutions():
    """ml-explore/mlx#4536: the fan-in of a grouped convolution took the channels of all groups."""
    layer = nn.Conv1d(256, 64, 3, groups=4)
    initialize(layer, "pytorch")
    assert within(layer.weight, 64 * 3)


def test_transposed_convolutions_in_a_generator():
    """akanimax/pro_gan_pytorch#52: which fan-in has a transposed convolution, inputs or inputs times positions?"""
    model = nn.Sequential(nn.ConvTranspose2d(64, 32, 4), nn.ConvTranspose2d(32, 3, 4, stride=2))
    initialize(model, "pytorch")
    assert within(model[0].weight, 32 * 16)  # as torch has it
    record, _, _ = initialize(model, "normal_bias", scale="auto")
    rules = {entry.name: entry.rule for entry in record.parameters}
    assert rules["0.bias"] == f"N(0, 1) * {3 / (32 * 4) ** 0.5:g}"  # as many as a position of the next layer sums


class TextTower(nn.Module):
    """CLIP's text encoder: parameters of the model itself beside a transformer."""

    def __init__(self):
        super().__init__()
        self.transformer = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 32, batch_first=True), 1)
        self.token_embedding = nn.Embedding(20, 8)
        self.positional_embedding = nn.Parameter(torch.full((5, 8), math.nan))
        self.text_projection = nn.Parameter(torch.full((8, 8), math.nan))
        self.logit_scale = nn.Parameter(torch.tensor(math.nan))


def test_empty_parameters_of_a_models_own():
    """openai/CLIP#15: parameters made by torch.empty, and nothing sets them. The record has to name them."""
    record, _, told = initialize(TextTower(), "pytorch")
    assert not told
    for name in ("positional_embedding", "text_projection", "logit_scale"):
        assert why(record, name) == "no rule for TextTower"
        assert f"{name} " in str(record)


def test_attention_scores_of_a_graph_network():
    """gordicaleksa/pytorch-GAT#11: nn.Parameter(torch.Tensor(...)) may hold NaN and has no initializer."""

    class GraphAttention(nn.Module):
        def __init__(self):
            super().__init__()
            self.projection = nn.Linear(6, 8, bias=False)
            self.source, self.target = (nn.Parameter(torch.full((1, 2, 4), math.nan)) for _ in range(2))
            self.bias = nn.Parameter(torch.full((8,), math.nan))

    record, done, told = initialize(GraphAttention(), "pytorch")
    assert done == {"projection.weight"}
    assert {entry.name for entry in record.untouched} == {"source", "target", "bias"}
    assert not told  # 48 of 64 weights are set


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
def test_layers_without_inputs():
    """pytorch/pytorch#133818: a dense layer without inputs has a bias alone; its initialization warns or fails."""
    model = nn.Sequential(nn.Linear(0, 3), nn.Linear(3, 0))
    for name in ("pytorch", "zero", "normal_bias"):
        _, done, told = initialize(model, name)
        assert len(done) == 4
        assert not told
        assert model[0].bias.isfinite().all()
    initialize(model, scale="auto")


def test_a_sharded_stand_in():
    """deepspeedai/DeepSpeed#2650: ZeRO-3 leaves empty stand-ins; an initialization of them does nothing, silently."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    for layer in model:
        layer.weight.data, layer.bias.data = torch.empty(0), torch.empty(0)
    refused(model, r"0.weight: .*sharded.*ZeRO-3")


def test_flat_parameters():
    """facebookresearch/fairscale#490: after wrapping, a weight is a slice of one flat parameter."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[1].weight = nn.Parameter(model[1].weight.detach().reshape(-1))
    refused(model, r"1.weight: .*flattened.*FSDP")


def test_lazy_layers():
    """pytorch/pytorch#125861: a lazy layer has nothing to initialize before the first pass."""
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
    with pytest.raises(InputError, match=r"0.weight: is lazy and has no shape yet; run one forward pass first"):
        initialize_(model, "normal_bias")
    model(torch.zeros(1, 3, 5, 5))
    _, done, _ = initialize(model)
    assert len(done) == 4


def test_tied_weights_after_the_meta_device():
    """Modalities/modalities#357: to_empty unties the head from its embedding. The record shows two parameters then."""
    with torch.device("meta"):
        model = nn.ModuleDict(
            {"wte": nn.Embedding(9, 4), "body": nn.Linear(4, 4), "lm_head": nn.Linear(4, 9, bias=False)}
        )
        model["lm_head"].weight = model["wte"].weight
    with pytest.raises(InputError, match=r"body.weight: is on the meta device .* model.to_empty"):
        initialize_(model, "pytorch", exclude="lm_head")
    model.to_empty(device="cpu")
    is_tied = model["lm_head"].weight is model["wte"].weight
    _, done, told = initialize(model, "pytorch")
    assert ("lm_head.weight" in done) == (not is_tied)
    assert bool(told) == is_tied


def test_uninitialized_scalars():
    """karpathy/nanochat#686: two scalars of the model's own were never set after to_empty, and were NaN."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.smear_lambda, self.backout_lambda = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.tensor(0.2))
            self.gate = nn.Linear(4, 1, bias=False)

    record, done, _ = initialize(Model(), "zero")
    assert done == {"gate.weight"}
    assert [(entry.name, entry.shape) for entry in record.untouched] == [("smear_lambda", (1,)), ("backout_lambda", ())]


def test_the_bias_of_a_router():
    """pytorch/torchtitan#2450: the router's bias was left uninitialized; NaN under deterministic algorithms."""
    router = nn.ModuleDict({"gate": nn.Linear(4, 3), "up": nn.Linear(4, 8)})
    for layer in router.values():
        layer.weight.data.fill_(math.nan)
        layer.bias.data.fill_(math.nan)
    for name in ("pytorch", "zero", "normal_bias", "uniform_bias", "constant_bias"):
        _, done, _ = initialize(router, name)
        assert len(done) == 4
        assert all(parameter.isfinite().all() for parameter in router.parameters())


def test_a_head_with_a_size_of_its_own():
    """PufferAI/PufferLib#459: a wrapper drew all weights anew, also the policy's head that was small on purpose."""
    policy = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3))
    nn.init.normal_(policy[2].weight, std=1e-4)
    model = nn.ModuleDict({"policy": policy, "lstm": nn.LSTM(8, 8)})
    kept = policy[2].weight.clone()
    _, done, told = initialize(model, "pytorch", exclude=["policy.2", "lstm"])
    assert torch.equal(policy[2].weight, kept)
    assert done == {"policy.0.weight", "policy.0.bias"}
    assert not told


def test_recurrent_layers_are_named():
    """vwxyzjn/cleanrl#358: gates are packed into one matrix, and an initialization of the whole is wrong for each."""
    model = nn.ModuleDict({"network": nn.Linear(4, 4), "lstm": nn.LSTM(4, 4), "actor": nn.Linear(4, 2)})
    record, done, told = initialize(model, "pytorch")
    assert done == {"network.weight", "network.bias", "actor.weight", "actor.bias"}
    assert why(record, "lstm.weight_hh_l0") == "no rule for LSTM"
    assert len(told) == 1
    assert "'lstm.weight_ih_l0' (LSTM)" in told[0]


def test_the_padding_row_of_an_embedding():
    """pytorch/pytorch#6411: a custom initialization overwrites the row of padding_idx."""
    model = nn.Sequential(nn.Embedding(6, 4, padding_idx=0), nn.Linear(4, 6))
    for name in ("pytorch", "normal_bias"):
        initialize(model, name)
        assert not model[0].weight[0].any()
        assert model[0].weight[1:].any()


def test_a_shared_embedding_of_encoder_and_decoder():
    """huggingface/transformers#26441: T5's head, its shared embedding, and which of them an initialization reaches."""
    settings = {"vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**settings, decoder_start_token_id=0))
    shared = model.shared.weight.clone()
    record, done, told = initialize(model, "pytorch")
    assert torch.equal(model.shared.weight, shared)
    assert model.encoder.embed_tokens.weight is model.shared.weight
    is_tied = model.lm_head.weight is model.shared.weight
    assert ("lm_head.weight" in done) == (not is_tied)
    assert any("lm_head.weight" in text for text in told) == is_tied
    assert within(model.encoder.block[0].layer[1].DenseReluDense.wo.weight, 16)
    assert "no rule" in why(record, "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight")


def test_both_halves_of_an_autoencoder():
    """rasbt/deeplearning-models#79: the encoder was initialized twice, the decoder never."""
    model = nn.ModuleDict({"linear_1": nn.Linear(8, 4), "linear_2": nn.Linear(4, 8)})
    _, done, _ = initialize(model)
    assert len(done) == 4


def test_an_autoencoder_with_tied_weights():
    """BVLC/caffe#670: the decoder's weight is the encoder's, transposed: one memory, two parameters."""
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8))
    model[2].weight = nn.Parameter(model[0].weight.data.t())
    record, done, told = initialize(model, "normal_bias")
    assert {"0.weight", "2.weight"} <= done
    assert not model[2].weight.any()
    assert len([entry for entry in record.parameters if "weight" in entry.name]) == 1
    model[0].weight.data.normal_()
    _, done, told = initialize(model, "pytorch")  # the bounds differ: 1/sqrt(8) and 1/sqrt(4)
    assert done == {"0.bias", "2.bias"}
    assert len(told) == 1


def test_a_tied_weight_that_the_model_uses_itself():
    """chainer/chainer#34: the decoder is F.linear with the encoder's weight; the model has a second name for it."""

    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(8, 4)
            self.tied, self.decoder_bias = self.encoder.weight, nn.Parameter(torch.zeros(8))

        def forward(self, x):
            return F.linear(self.encoder(x), self.tied.t(), self.decoder_bias)

    _, done, told = initialize(Autoencoder(), "pytorch")
    assert done == {"encoder.bias"}
    assert len(told) == 1
    assert "'encoder.weight' (Linear) and 'tied' (Autoencoder), which has no rule" in told[0]
    _, done, told = initialize(Autoencoder(), "pytorch", tied="set")
    assert done == {"tied", "encoder.weight", "encoder.bias"}
    assert not told


def test_the_bias_of_berts_head():
    """huggingface/transformers#3799, a variant: BERT's head shares its weight with the embedding, its bias upwards."""
    model = transformers.BertForMaskedLM(transformers.BertConfig(**BERT))
    embedding = model.bert.embeddings.word_embeddings.weight.clone()
    _, done, told = initialize(model)
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, embedding)
    assert {"cls.predictions.bias", "cls.predictions.decoder.bias"} <= done  # the head's own bias, under two names
    assert len(told) == 1
    assert "1 parameter keeps" in told[0]
    assert "cls.predictions.decoder.weight" in told[0]


def test_quantized_weights_under_lora():
    """bitsandbytes-foundation/bitsandbytes#1203: four-bit weights are stored as uint8, frozen, below adapters."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[0].weight = nn.Parameter(torch.ones(8, 1, dtype=torch.uint8), requires_grad=False)
    record, done, _ = initialize(model)
    assert done == {"0.bias", "1.weight", "1.bias"}
    assert why(record, "0.weight").startswith("frozen")
    refused(model, "0.weight: has dtype torch.uint8", frozen="set")


def test_a_model_is_reset_between_folds():
    """havakv/pycox#151: only direct children were reset between folds, and the optimizer still held the old values."""
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Sequential(nn.Sequential(nn.Linear(8, 1))))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    initialize(model, "pytorch")
    fresh = state(model)
    for _ in range(2):
        model(torch.ones(3, 4)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        assert all(value != fresh[name] for name, value in state(model).items())
        initialize(model, "pytorch")
        assert state(model) == fresh


def test_pruned_weights():
    """Lightning-AI/pytorch-lightning#13643: weights are reset, and what was pruned has to stay so."""
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    prune.random_unstructured(model[0], "weight", amount=12)
    mask = model[0].weight_mask.clone()
    _, done, _ = initialize(model, "pytorch")
    assert done == {"0.weight_orig", "0.bias", "2.weight", "2.bias"}
    model(torch.ones(1, 6))
    assert torch.equal(model[0].weight != 0, mask.bool())


def test_the_frozen_stem_of_a_detector():
    """facebookresearch/detectron2#2893: the stem of a backbone is frozen, its norms are buffers alone."""

    class FrozenBatchNorm(nn.Module):
        def __init__(self, channels):
            super().__init__()
            for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
                self.register_buffer(name, torch.full((channels,), value))

    stem = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), FrozenBatchNorm(4)).requires_grad_(False)
    model = nn.ModuleDict({"stem": stem, "head": nn.Conv2d(4, 2, 1)})
    record, done, told = initialize(model, norm_aware=True)
    assert done == {"head.weight", "head.bias"}
    assert record.without_bias == ()  # the stem has none, but keeps its weights
    assert not told


def test_zero_convolutions_alone():
    """lllyasviel/ControlNet#510: zero convolutions are zero on purpose, what is between them is not."""
    model = nn.ModuleDict(
        {
            "zero_convs": nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(3)),
            "blocks": nn.ModuleList([nn.Conv2d(4, 4, 3)]),
        }
    )
    kept = model["blocks"][0].weight.clone()
    _, done, told = initialize(model, "zero", include="zero_convs.*")
    assert torch.equal(model["blocks"][0].weight, kept)
    assert len(done) == 6
    assert not told


def test_a_fan_in_from_the_wrong_axis():
    """udacity/deep-reinforcement-learning#14: the fan-in was read off the axis of the units."""
    layer = nn.Linear(100, 4)
    initialize(layer, "pytorch")
    assert within(layer.weight, 100)
    assert layer.bias.abs().max() <= 0.1


def test_pretrained_weights_that_training_would_override():
    """zshn25/DINOv2_mmseg#1: init_weights of the whole model ran after the backbone was loaded."""
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    model = nn.ModuleDict({"backbone": backbone, "neck": nn.Conv2d(4, 4, 1), "head": nn.Linear(4, 2)})
    kept = {name: value for name, value in state(model).items() if name.startswith("backbone")}
    _, done, told = initialize(model, norm_aware=True, exclude="backbone.*")
    assert {name: value for name, value in state(model).items() if name.startswith("backbone")} == kept
    assert done == {"neck.weight", "neck.bias", "head.weight", "head.bias"}
    assert not told


def test_the_first_layer_of_a_frozen_detector_from_scratch():
    """pytorch/vision#2164: layers stay frozen although their weights are random; nobody is told."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3).requires_grad_(False), nn.Conv2d(4, 2, 1))
    record, done, _ = initialize(model)
    assert done == {"1.weight", "1.bias"}
    assert str(record).count("frozen (requires_grad is False)") == 2
    _, done, told = initialize(model, frozen="set")
    assert len(done) == 4
    assert not told
    assert not model[0].weight.requires_grad


def test_all_layers_without_a_bias():
    """TheDenk/cogvideox-controlnet#18: a zero convolution without a bias."""
    model = nn.Sequential(nn.Conv1d(4, 4, 1, bias=False), nn.Linear(4, 2))
    with pytest.warns(SymmetryWarning, match="1 of 2 layers have no bias"):
        initialize_(model, "normal_bias")
    refused(model, "strict=True: normal_bias: 1 of 2 layers have no bias", strict=True)


def test_every_test_names_its_source():
    tests = [each for name, each in vars(sys.modules[__name__]).items() if name.startswith("test_")]
    named = [each for each in tests if re.match(r"[\w.-]+/[\w.-]+#\d+", python_inspect.getdoc(each) or "")]
    assert len(named) == len(tests) - 1 >= 39
    assert issubclass(InitWarning, UserWarning)
